"""Training killed at random moments: nothing that cannot be read, and the same weights in the end.

pytest tests/benchmarks/fuzz/test_kills.py --kills 50
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path, kills):
    """In a process of its own, which forks before torch has started a thread."""
    command = [sys.executable, str(HERE / "killed_runs.py"), str(tmp_path), str(kills)]
    paths = [str(HERE.parents[2]), str(HERE.parents[2] / "benchmarks"), str(HERE.parent)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert f"{kills} kills" in done.stdout
    assert signal.SIGKILL.name in done.stdout
