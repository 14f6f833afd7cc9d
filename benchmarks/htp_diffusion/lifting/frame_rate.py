"""Frame rates: a clip at another rate, and back."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError

_ROUNDING = 1e-6  # frames


def positions_at(length: int, fps: float, wanted: float) -> Float[Tensor, " wanted_frames"]:
    """Places of a clip's frames at another rate, counted in frames at its own rate; the last is at its end.

    Args:
        length: Frames of the clip.
        fps: Its frames a second.
        wanted: The other rate.

    Raises:
        BenchmarkError: A rate that is not positive.
    """
    if not (fps > 0 and wanted > 0):
        raise BenchmarkError(f"frame rates expect frames a second above 0, got {fps:g} and {wanted:g}")
    step = fps / wanted
    count = math.ceil((length - 1) / step - _ROUNDING) + 1
    return (torch.arange(count, dtype=torch.float64) * step).clamp(max=length - 1)


def places_among(
    frames: Float[Tensor, " frames"], positions: Float[Tensor, " places"]
) -> Float[Tensor, " frames"]:
    """Where frames lie among ascending positions: 1.5 is half-way between the second and the third."""
    if len(positions) == 1:
        return torch.zeros_like(frames)
    after = torch.searchsorted(positions, frames).clamp(1, len(positions) - 1)
    before = positions[after - 1]
    return after - 1 + (frames - before) / (positions[after] - before)


def sample_at(
    values: Float[Tensor, " frames *rest"], positions: Float[Tensor, " wanted"]
) -> Float[Tensor, " wanted *rest"]:
    """Values at places between frames, on the line between the two; beyond the ends those of the ends."""
    positions = positions.clamp(0, len(values) - 1)
    before = positions.floor().long().clamp(max=max(0, len(values) - 2))
    after = (before + 1).clamp(max=len(values) - 1)
    share = (positions - before).to(values.dtype).view(-1, *[1] * (values.ndim - 1))
    return values[before] * (1 - share) + values[after] * share


def nearest(length: int, positions: Float[Tensor, " wanted"]) -> Int64[Tensor, " wanted"]:
    """The frame nearest to each place."""
    return positions.round().long().clamp(0, length - 1)
