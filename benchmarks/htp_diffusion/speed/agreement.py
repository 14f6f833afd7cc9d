"""Agreement: what is timed computes what it should, checked against float64 with attention written out."""

import copy

import torch
from torch import Tensor, nn

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import Mode, prepare_model
from htp_diffusion.speed.lineup import Entrant, random_inputs
from htp_modules import MGPTP, TCEP, KeptFrames, Record, TemporalMask, record

TOLERANCE: dict[Precision, float] = {
    "fp32": 1e-4,  # 24 bits: 1e-7 an operation, a thousand of them; D3DP's embedding of t is float32 in all
    "tf32": 1e-2,  # 11 bits: 5e-4 a product, averaged out over long sums, over ten layers and more
    "bf16": 8e-2,  # 8 bits: 4e-3 a product
    "fp16": 1e-2,  # 11 bits, as TensorFloat-32
}
"""Largest difference from float64, as a share of the largest output."""

_FUSED_TOLERANCE = 1e-9  # in float64, 53 bits
_CHECKED_FRAMES = 27  # at most: float64 is slow


def short_inputs(entrant: Entrant, frames: int, device: torch.device) -> tuple[Tensor, ...]:
    """Inputs of a clip short enough for float64; public code takes the length it was built for alone."""
    length = min(frames, _CHECKED_FRAMES) if entrant.own else frames
    return tuple(part.to(device) for part in random_inputs(entrant.host, 1, length))


@torch.no_grad()
def fused_difference(model: nn.Module, inputs: tuple[Tensor, ...]) -> float:
    """How far the fused attention is from the written-out one in float64, as a share of the largest output.

    In float64, as in less, rounding may tip the selection of frames: the outputs may then differ through the
    selection alone.

    Raises:
        BenchmarkError: They disagree, so that a time would be that of a wrong result.
    """
    fused = copy.deepcopy(model).double().eval()
    wide = _widened(inputs)
    difference = _share(fused(*wide), _written_out(model)(*wide))
    if not difference <= _FUSED_TOLERANCE:
        raise BenchmarkError(
            f"fused and written-out attention of {type(model).__name__} differ by {difference:.1e} of the "
            f"largest output, expected at most {_FUSED_TOLERANCE:.0e}: nothing is timed"
        )
    return difference


def exact_difference(
    entrant: Entrant, inputs: tuple[Tensor, ...], *, precision: Precision, mode: Mode, device: torch.device
) -> float | None:
    """How far a model in a precision and mode is from float64, as a share of the largest output.

    None where the model computes in float32 alone. The masks and kept frames are pinned to those of float64:
    a score that rounding tips over another selects another frame, which is no error of the arithmetic. What
    this does to poses is measured as drift.

    Args:
        entrant: The model.
        inputs: A short clip.
        precision: In which it computes.
        mode: How it is run.
        device: Where it is.

    Raises:
        BenchmarkError: More than the tolerance, or no such mode or precision here.
    """
    if not entrant.widens:
        return None
    with torch.no_grad(), record(exact := _written_out(entrant.twin)) as seen:
        expected = exact(*_widened(inputs))
    tried = copy.deepcopy(entrant.model).eval()
    pin(tried, seen)
    call = prepare_model(tried, mode, device, whole=entrant.own)
    with torch.inference_mode(), precision_of(precision, device):
        found = call(*inputs)
    difference = _share(found, expected)
    if not difference <= TOLERANCE[precision]:
        raise BenchmarkError(
            f"{entrant.name} in {precision}, {mode}, differs from float64 by {difference:.1e} of the largest "
            f"output, expected at most {TOLERANCE[precision]:.0e}: nothing is timed"
        )
    return difference


def pin(model: nn.Module, seen: Record) -> None:
    """Make a model use the masks and kept frames that another one used, whatever it would select itself."""
    tceps = [module for module in model.modules() if isinstance(module, TCEP)]
    mgptps = [module for module in model.modules() if isinstance(module, MGPTP)]
    for tcep, mask in zip(tceps, seen.masks, strict=True):
        _pin_mask(tcep, mask)
    for mgptp, kept in zip(mgptps, seen.kept, strict=True):
        _pin_kept(mgptp, kept)


def _pin_mask(tcep: TCEP, mask: TemporalMask) -> None:
    tcep.register_forward_hook(lambda _module, _inputs, result: (result[0], mask))


def _pin_kept(mgptp: MGPTP, kept: KeptFrames) -> None:
    mgptp.register_forward_hook(lambda _module, inputs, _result: (kept.gather(inputs[0]), kept))


def _written_out(model: nn.Module) -> nn.Module:
    exact = copy.deepcopy(model).double().eval()
    for module in exact.modules():
        if isinstance(getattr(module, "fused", None), bool):
            module.fused = False  # pyright: ignore[reportArgumentType]
    return exact


def _widened(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(part.double() if part.is_floating_point() else part for part in inputs)


def _share(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected.double()).abs().max() / expected.double().abs().max())
