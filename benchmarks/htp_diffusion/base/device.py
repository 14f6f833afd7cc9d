"""Where a benchmark computes, and in which precision."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from htp_diffusion.base.errors import BenchmarkError

Precision = Literal["fp32", "tf32", "bf16", "fp16"]

_AUTOCAST: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}


def matmul_dtype(precision: Precision) -> torch.dtype:
    """The dtype of matrix products in a precision; with tf32 it is float32."""
    return _AUTOCAST.get(precision, torch.float32)


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name: ``cpu``, ``cuda``, ``cuda:1``, or ``auto`` for a GPU where there is one.

    Raises:
        BenchmarkError: Another name, or a GPU that this machine (or this build of PyTorch) does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise BenchmarkError(f"device expects auto, cpu, cuda or cuda:N, got {name!r}")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count <= (device.index or 0):
            raise BenchmarkError(
                f"device {name}: PyTorch {torch.__version__} sees {count or 'no'} CUDA device"
                f"{'' if count == 1 else 's'} here; use --device cpu"
            )
    return device


def device_name(device: torch.device) -> str:
    """The device's name for tables: its kind, and the model of a GPU."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def free_memory(device: torch.device) -> int:
    """Bytes of a GPU that tensors may still take, with those that PyTorch keeps back from earlier ones."""
    kept_back = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept_back


def check_precision(precision: Precision, device: torch.device) -> None:
    """Check that a precision exists on a device.

    Raises:
        BenchmarkError: TensorFloat-32 on a CPU, which has none.
    """
    if precision == "tf32" and device.type != "cuda":
        raise BenchmarkError("precision tf32 needs a CUDA device; use fp32, bf16 or fp16")


@contextmanager
def precision_of(precision: Precision, device: torch.device) -> Iterator[None]:
    """Compute in a precision inside the block.

    Args:
        precision: ``fp32``; ``tf32``, float32 with matrix products on TensorFloat-32 units; or ``bf16`` or
            ``fp16``, by autocast.
        device: Where.

    Raises:
        BenchmarkError: As ``check_precision``.
    """
    check_precision(precision, device)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        half = _AUTOCAST.get(precision)
        with torch.autocast(device.type, dtype=half or torch.bfloat16, enabled=half is not None):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
