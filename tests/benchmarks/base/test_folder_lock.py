"""A folder that one process has. Oracle: the system, which frees it whatever becomes of the process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from htp_diffusion.base import folder_lock
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.folder_lock import locked

HOLD = """
import sys, time
from pathlib import Path
from htp_diffusion.base.folder_lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has the folder."""
    root = Path(folder_lock.__file__).resolve().parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}{os.pathsep}{root / 'benchmarks'}"}
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_is_one_process_until_it_is_killed(tmp_path, holder):
    with pytest.raises(BenchmarkError, match="another process is training in"), locked(tmp_path):
        pass
    with locked(tmp_path.parent):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(tmp_path):
        pass
    with locked(tmp_path):  # a block that has ended leaves it free
        assert list(tmp_path.iterdir()) == []


def test_where_there_are_no_locks_nobody_is_refused(tmp_path, holder, monkeypatch):
    def cannot(descriptor, how):
        raise OSError(38, "not implemented")

    monkeypatch.setattr(folder_lock.fcntl, "flock", cannot)
    with locked(tmp_path), locked(tmp_path / "missing"):
        pass
    monkeypatch.setattr(folder_lock, "fcntl", None)
    with locked(tmp_path):
        pass
