"""The examples run as they stand, without a warning, and are short."""

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
WALKTHROUGH = FOLDER / "walkthrough.py"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if path != WALKTHROUGH)


def test_there_are_examples():
    assert len(EXAMPLES) == 5


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 60
    done = subprocess.run(
        [sys.executable, "-W", "error", str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "frames kept" in done.stdout
    assert "False" not in done.stdout.replace("patched is False", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.unhooked
def test_the_walkthrough_reaches_its_end(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    # Warnings are left to PyTorch's exporter, which has some of its own.
    command = [sys.executable, str(WALKTHROUGH)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "onnxruntime agrees" in done.stdout
    assert done.stdout.endswith("undone: patched is False\n")
    assert "False" not in done.stdout.replace("patched is False", "")
    assert not list(tmp_path.iterdir())
