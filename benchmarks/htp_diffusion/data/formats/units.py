"""The unit of a file's numbers: of 3D poses by the length of a thigh, of 2D poses by their size."""

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import Layout

_SCALES = {"millimetres": 1.0, "centimetres": 10.0, "metres": 1000.0}
_THIGH = (200.0, 1000.0)
"""Millimetres. Adults' thighs are 350 to 550; the units are too far apart for the margin to confuse them."""

_LEAST_PIXELS = 10.0
"""Half of a person's coordinates are above it in any image, and none are once normalised."""


def unit_of(poses: Float[Tensor, "frames joints 3"], layout: Layout) -> str | None:
    """The unit in which the thighs of a body have a human length; None if there is none.

    Args:
        poses: One person, in any frame of reference.
        layout: The order of the joints.
    """
    thighs = [
        poses[:, layout.index(f"{side}_hip")] - poses[:, layout.index(f"{side}_knee")]
        for side in ("left", "right")
    ]
    length = float(torch.stack(thighs).norm(dim=-1).median())
    for unit, millimetres in _SCALES.items():
        if _THIGH[0] <= length * millimetres <= _THIGH[1]:
            return unit
    return None


def require_pixels(pixels: Float[Tensor, "*frames joints 2"], what: str) -> None:
    """Check that 2D poses are pixels and not screen-normalised yet.

    Args:
        pixels: The poses.
        what: Where they come from, told in the error.

    Raises:
        BenchmarkError: Their coordinates are too small for pixels.
    """
    if float(pixels.abs().median()) < _LEAST_PIXELS:
        raise BenchmarkError(f"{what} is normalised already, expected pixels")


def require_unit(poses: Float[Tensor, "frames joints 3"], layout: Layout, unit: str, what: str) -> None:
    """Check the unit of poses.

    Args:
        poses: One person, in any frame of reference.
        layout: The order of the joints.
        unit: "millimetres" or "metres".
        what: Where the poses come from, told in the error.

    Raises:
        BenchmarkError: The thighs have no human length in this unit; the message names the unit they do have.
    """
    found = unit_of(poses, layout)
    if found == unit:
        return
    raise BenchmarkError(
        f"{what} is in {found}, expected {unit}"
        if found
        else f"{what}: its thighs have no human length in any unit, expected {unit} and layout {layout.name}"
    )
