"""Machine: what a GPU can tell and do, and what stands for it on a CPU."""

import os
import time

import torch

from htp_diffusion.base.device import Precision, free_memory
from htp_diffusion.base.execution import Mode

_PROBES = {"cpu": (512, 3), "cuda": (4096, 5)}
"""Size of a square product that runs near the device's best rate in milliseconds, and how many are timed."""

Way = tuple[Precision, Mode]

PLAIN: Way = ("fp32", "eager")

_FAST_WAYS: dict[str, tuple[Way, ...]] = {
    # The fastest is last but one: a CUDA graph gains nothing where kernels are long, as here.
    "cuda": (("tf32", "eager"), ("bf16", "eager"), ("bf16", "compiled"), ("bf16", "cuda-graph")),
    "cpu": (("bf16", "eager"),),
}


def fast_ways(device: torch.device) -> tuple[Way, ...]:
    """Precisions and modes that are faster than float32 run as it is, on this kind of device."""
    return _FAST_WAYS[device.type]


def training_precision(device: torch.device) -> Precision:
    """The fastest precision in which models of one architecture are trained at once."""
    return "tf32" if device.type == "cuda" else "fp32"


def free_bytes(device: torch.device) -> int:
    """Memory that a new tensor may take."""
    if device.type == "cuda":
        release(device)
        return free_memory(device)
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def release(device: torch.device) -> None:
    """Give memory of tensors that are gone back, so that the next part finds it."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def matmul_flops(device: torch.device) -> float:
    """Floating-point operations a second of float32 products, roughly: for estimates, not for tables."""
    size, calls = _PROBES[device.type]
    left = torch.ones(size, size, device=device)
    best = float("inf")
    for _ in range(3):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        for _ in range(calls):
            torch.mm(left, left)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 * calls / best
