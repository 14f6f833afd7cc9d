"""What tests share. The small training runs are a module of their own, which child processes run."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small checkpoints, one of every kind."""
    from written import write_checkpoints  # later than --jaxtyping-packages takes effect

    path = tmp_path_factory.mktemp("checkpoints")
    write_checkpoints(path)
    return path
