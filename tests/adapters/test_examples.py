"""The examples run as they stand, without a warning, and are short."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples"
WALKTHROUGH = FOLDER / "walkthrough.py"
EXAMPLES = sorted(path for path in FOLDER.glob("*.py") if path != WALKTHROUGH)
# Each in a child of a process that has imported torch, and what a count on the meta device imports: it takes
# longer than most of them.
RUN = """
import json, os, runpy, sys
import torch, torch._dynamo
ends = {}
for path in sys.argv[1:]:
    child = os.fork()
    if not child:
        sys.argv, sys.path[0] = [path], os.path.dirname(path)
        for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
            os.dup2(os.open(os.path.basename(path) + "." + name, os.O_WRONLY | os.O_CREAT), stream.fileno())
        os.chdir("empty")
        runpy.run_path(path, run_name="__main__")
        sys.exit()
    ends[path] = os.waitpid(child, 0)[1]
print(json.dumps(ends))
"""


def test_the_examples(tmp_path):
    assert len(EXAMPLES) == 5
    (tmp_path / "empty").mkdir()
    command = [sys.executable, "-W", "error", "-c", RUN, *map(str, EXAMPLES)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    ends = json.loads(done.stdout)
    for path in EXAMPLES:
        out, err = ((tmp_path / f"{path.name}.{name}").read_text(encoding="utf-8") for name in ("out", "err"))
        assert ends[str(path)] == 0, err
        assert err == "", path
        assert "frames kept" in out, path
        assert "False" not in out.replace("patched is False", ""), path
        assert len(path.read_text(encoding="utf-8").splitlines()) < 60, path
    assert not list((tmp_path / "empty").iterdir())


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
