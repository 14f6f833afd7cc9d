"""PyTorch's settings of the precision of float32 products, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """``highest``: float32 throughout; ``high``: products on TensorFloat-32 units."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def backend_precision(backend: Any, name: str) -> Iterator[None]:
    """The same of one backend, by the settings of PyTorch 2.9 and later."""
    before = backend.fp32_precision
    backend.fp32_precision = name
    try:
        yield
    finally:
        backend.fp32_precision = before
