"""Running a model on a device: in a precision, from a graph, with nothing waited for, deterministically."""

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from htp_diffusion.base.execution import Replayed, capture_cuda
from htp_modules import MGPTP, TCEP, Record

_WAITS = ("_local_scalar_dense", "nonzero", "lift_fresh", "equal")  # a value read, or written by the host


def share(found: Tensor, expected: Tensor) -> float:
    """Largest difference, as a share of the largest value expected."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).abs().max() / expected.abs().max())


def moved(inputs: tuple[Tensor, ...], to: torch.device | torch.dtype) -> tuple[Tensor, ...]:
    """The inputs on a device; or in a dtype, those that are floating."""
    if isinstance(to, torch.device):
        return tuple(part.to(to) for part in inputs)
    return tuple(part.to(to) if part.is_floating_point() else part for part in inputs)


def exact(model: nn.Module) -> nn.Module:
    """A copy in float64 with attention written out."""
    wide = copy.deepcopy(model).double()
    for module in wide.modules():
        if isinstance(getattr(module, "fused", None), bool):
            module.fused = False
    return wide


def pin(model: nn.Module, seen: Record, device: torch.device) -> nn.Module:
    """Make a model use the masks and frames seen elsewhere: rounding may tip a score over another."""
    tceps = [module for module in model.modules() if isinstance(module, TCEP)]
    mgptps = [module for module in model.modules() if isinstance(module, MGPTP)]
    for tcep, mask in zip(tceps, seen.masks, strict=True):
        mask = mask.to(device)
        tcep.register_forward_hook(lambda _m, _x, result, mask=mask: (result[0], mask))
    for mgptp, kept in zip(mgptps, seen.kept, strict=True):
        kept = type(kept)(kept.index.to(device), kept.num_frames)
        mgptp.register_forward_hook(lambda _m, x, _result, kept=kept: (kept.gather(x[0]), kept))
    return model


@contextmanager
def deterministic() -> Iterator[None]:
    """Operations without a deterministic algorithm raise."""
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


class _NoValues(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        # In float64 is the noise schedule, which stays on the host.
        host = bool(args) and isinstance(args[0], Tensor) and args[0].dtype == torch.float64
        if not host and func._schema.name.removeprefix("aten::") in _WAITS:
            raise RuntimeError(f"called a synchronizing operation: {func}")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting(device: torch.device) -> Iterator[None]:
    """What waits for the device raises; on a CPU, what would do so elsewhere."""
    if device.type == "cpu":
        with _NoValues():
            yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the mode is a prototype
        torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _run_again(function: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    result = function()
    return lambda: result.copy_(function()), result


def graphed(function: Callable[..., Tensor], device: torch.device) -> Replayed:
    """The function replayed from a CUDA graph; on a CPU run again on the same buffers."""
    return Replayed(function, capture_cuda if device.type == "cuda" else _run_again)
