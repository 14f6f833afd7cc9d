"""A call that may take so long and so much memory and no more."""

import signal
from contextlib import contextmanager
from pathlib import Path

SECONDS = 20
MEBIBYTE = 2**20
_STATUS, _REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class HangError(BaseException):
    """It took too long; no reader takes it for an error of its own."""


@contextmanager
def within_seconds(seconds=SECONDS):
    def stop(*_):
        raise HangError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _resident(field):
    for line in _STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {field} in {_STATUS}")


def measured(call):
    """Call within the time: the result, and by how much the resident memory rose (0 where none tells)."""
    if not _REFERENCES.exists():  # not Linux
        with within_seconds():
            return call(), 0
    _REFERENCES.write_text("5")  # the peak counts from here
    before = _resident("VmRSS")
    with within_seconds():
        result = call()
    return result, _resident("VmHWM") - before
