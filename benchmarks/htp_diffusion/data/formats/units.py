"""The unit of a file's numbers: of 3D poses by the length of a thigh, of 2D poses by their size."""

import math
from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import Layout

Unit = Literal["metres", "centimetres", "millimetres", "inches", "cmu"]

UNITS: dict[str, float] = {
    "metres": 1.0,
    "centimetres": 0.01,
    "millimetres": 0.001,
    "inches": 0.0254,
    "cmu": 0.0254 / 0.45,  # inches / 0.45, as the CMU motion capture database has
}
"""Metres in each ``Unit``."""

_SPOKEN = {"cmu": "CMU's inches / 0.45"}

_THIGH = (0.2, 0.75)
"""Metres. Adults' thighs are 0.35 to 0.55, children's shorter."""

_USUAL_THIGH = 0.45

_LEAST_PIXELS = 10.0
"""Half of a person's coordinates are above it in any image, and none are once normalised."""


def thigh_length(poses: Float[Tensor, "frames joints 3"], layout: Layout) -> float:
    """The median length of both thighs, in the poses' unit."""
    thighs = [
        poses[:, layout.index(f"{side}_hip")] - poses[:, layout.index(f"{side}_knee")]
        for side in ("left", "right")
    ]
    return float(torch.stack(thighs).norm(dim=-1).median())


def unit_of(poses: Float[Tensor, "frames joints 3"], layout: Layout) -> str | None:
    """The unit in which the thighs of a body have a human length, the most usual one if several fit.

    Args:
        poses: One person, in any frame of reference.
        layout: The order of the joints.

    Returns:
        A key of ``UNITS``; None if there is none.
    """
    length = thigh_length(poses, layout)
    fitting = [unit for unit, metres in UNITS.items() if _human(length * metres)]
    return min(fitting, key=lambda unit: abs(math.log(length * UNITS[unit] / _USUAL_THIGH)), default=None)


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


def require_unit(
    poses: Float[Tensor, "frames joints 3"],
    layout: Layout,
    unit: str | float,
    what: str,
    option: Callable[[str], str] | None = None,
) -> None:
    """Check the unit of poses.

    Args:
        poses: One person, in any frame of reference.
        layout: The order of the joints.
        unit: What they are taken for: a key of ``UNITS``, or the metres in it.
        what: Where the poses come from, told in the error.
        option: Turns the unit that would fit into the option that sets it, for the error.

    Raises:
        BenchmarkError: The thighs have no human length in this unit; the message names the unit that would
            fit.
    """
    length = thigh_length(poses, layout)
    if _human(length * (UNITS[unit] if isinstance(unit, str) else unit)):
        return
    expected = _SPOKEN.get(unit, unit) if isinstance(unit, str) else f"a unit of {unit:.4g} m"
    found = unit_of(poses, layout)
    if found is None:
        raise BenchmarkError(
            f"{what}: its thighs ({length:.4g} long) have no human length in any unit, expected {expected} "
            f"and layout {layout.name}"
        )
    remedy = "" if option is None else f": give {option(found)}"
    raise BenchmarkError(f"{what} is in {_SPOKEN.get(found, found)}, expected {expected}{remedy}")


def _human(metres: float) -> bool:
    return _THIGH[0] <= metres <= _THIGH[1]
