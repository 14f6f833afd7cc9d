"""How a skeleton is looked at: bones with the colours of their sides, and poses turned towards the viewer."""

import math

import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from torch import Tensor

from htp_diffusion.pose.layout import H36M_17, Layout

LEFT, RIGHT, MIDDLE = "#2a6f97", "#c8553d", "#4a4e57"
"""Colours: a person's own left and right are told apart at a glance."""


def bone_colour(child: int, layout: Layout = H36M_17) -> str:
    """The colour of the bone that ends at a joint."""
    return LEFT if child in layout.left else RIGHT if child in layout.right else MIDDLE


def seen_from(poses: Float[Tensor, "*batch joints 3"], azimuth: float) -> Float[Tensor, "*batch joints 2"]:
    """Where joints lie for a viewer who has walked around the person, without perspective.

    Args:
        poses: Camera frame: x to the right, y down, z forward.
        azimuth: Degrees around the vertical; 0 is the camera's own view.

    Returns:
        x to the right and y up, in the poses' unit.
    """
    angle = math.radians(azimuth)
    x, y, z = poses.unbind(dim=-1)
    return torch.stack([x * math.cos(angle) - z * math.sin(angle), -y], dim=-1)


def draw_bones(
    axes: Axes,
    places: Float[Tensor, "joints 2"],
    *,
    layout: Layout = H36M_17,
    width: float = 1.8,
    colour: str | None = None,
) -> None:
    """Draw a skeleton.

    Args:
        axes: Where.
        places: Of the joints, in the axes' units.
        layout: Which joints they are.
        width: Of a bone, points.
        colour: Of all bones; None for the colours of their sides.
    """
    ends = [places[[parent, child]].tolist() for parent, child in layout.bones]
    colours = [colour or bone_colour(child, layout) for _, child in layout.bones]
    axes.add_collection(LineCollection(ends, colors=colours, linewidths=width, capstyle="round"))
