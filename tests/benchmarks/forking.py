"""Children of one process that has imported torch once, which takes longer than what they do.

Fork before torch has started a thread.
"""

import os
import signal
import socket
import sys

KILLED = "killed"


def forked(function, *arguments):
    """Run a function in a child process; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        function(*arguments)
        sys.stdout.flush()
        os._exit(0)
    except BaseException as error:
        print(f"{function.__name__}{arguments}: {error!r}", file=sys.stderr)
        os._exit(1)


def ended(child):
    """Wait for a child: its exit code, or that it was killed."""
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return KILLED
    return os.waitstatus_to_exitcode(status)


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def as_rank(rank, world, port):
    """Take the environment that torchrun gives one of its processes."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "test"}
