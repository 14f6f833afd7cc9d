"""Every test here runs on a CPU and, where there is one, on a GPU, by the same code."""

import os
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).resolve().parent.parent

# The models that tests share, and the helpers beside this file.
sys.path[:0] = [str(TESTS / part) for part in ("cuda", "adapters", "adapters/upstream")]

# cuBLAS reads it once, before its first product, and is deterministic with it alone.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)
