"""Poses that lie in the image, given metres by the height of the person."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.lifting.lifted import Lifted
from htp_diffusion.models.contender import Contender
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.space import CAMERA_METRES, PoseSpace

_IN_IMAGE = "image, root-relative"
_SCALED = PoseSpace(layout=H36M_17, unit="metre", frame=_IN_IMAGE)
_ANKLE = 0.039  # of a person's height is below the ankle (Winter, Biomechanics and Motor Control, Fig. 4.1)
_TRUNK = ("pelvis", "spine", "thorax", "neck", "head")
_LEG = ("hip", "knee", "ankle")
_LEAST, _MOST = 0.3, 3.0  # metres


def space_of_files(contender: Contender, height: float | None) -> PoseSpace:
    """What the lifted poses are.

    Args:
        contender: The model.
        height: The person's, metres; for a model that predicts in the image.

    Raises:
        BenchmarkError: The model predicts in the image and no height is given, or the other way round; the
            height is none; the model's poses are of another space.
    """
    own = contender.space
    if own is None or own.frame != _IN_IMAGE:
        if height is not None:
            raise BenchmarkError(
                f"height is for models that predict in the image; {contender.name} knows metres"
            )
        if own is not None:
            own.require(CAMERA_METRES, f"{contender.source} is not made for poses in metres")
        return CAMERA_METRES
    replace(own, unit="metre").require(_SCALED, f"{contender.source} is not made for this skeleton")
    if height is None:
        raise BenchmarkError(
            f"{contender.name} predicts in the image, which has no metres: tell the person's --height"
        )
    if not _LEAST <= height <= _MOST:
        raise BenchmarkError(f"height expects metres from {_LEAST} to {_MOST}, got {height:g}")
    return _SCALED


def body_length(poses: Float[Tensor, "frames joints 3"]) -> float:
    """From the ankles to the top of the head along the bones, in the poses' unit: the frames' median."""
    length = _along(poses, _TRUNK)
    for side in ("left", "right"):
        length = length + _along(poses, tuple(f"{side}_{joint}" for joint in _LEG)) / 2
    return float(length.median())


def scaled_to(lifted: Lifted, height: float) -> Lifted:
    """The poses and their spread in metres, by one factor for the whole clip.

    Args:
        lifted: Poses in any unit.
        height: The person's, metres.

    Raises:
        BenchmarkError: The model found a body without length.
    """
    length = body_length(lifted.poses)
    if not length > 0:
        raise BenchmarkError("the model found a body without length: its weights fit nothing here")
    factor = (1 - _ANKLE) * height / length
    return replace(lifted, poses=factor * lifted.poses, spread=factor * lifted.spread)


def _along(poses: Float[Tensor, "frames joints 3"], joints: tuple[str, ...]) -> Float[Tensor, " frames"]:
    """Length of the bones from joint to joint."""
    chain = poses[:, [H36M_17.index(joint) for joint in joints]]
    return torch.linalg.vector_norm(chain.diff(dim=1), dim=-1).sum(dim=1)
