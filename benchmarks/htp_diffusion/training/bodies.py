"""Bodies: the same motion by another person, in the joints of the recording or in those of a 2D detector.

A motion capture skeleton is not what a detector sees. In CMU's the forearm ends at 14 percent of the person's
height where detected wrists lie at 20, the hip joints lie 7 cm before the pelvis, and neck and head stand
straight above the shoulders, while the ears, of which a detector's head is made, lie before them.
"""

import math
from functools import cache
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_diffusion.pose.conversions import CMU_TRUNK
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training.draws import Draws
from htp_diffusion.training.variety import Variety

_HIPS, _SHOULDERS = (4, 1), (11, 14)  # left, right
_LEGS, _ARMS = ((5, 6), (2, 3)), ((12, 13), (15, 16))  # the bones of a limb, by the joints where they end
_LIMBS = (*_LEGS, *_ARMS)
_WRISTS = (13, 16)
_NECK_AND_HEAD = (9, 10)
_LEAN = 50.0  # degrees: how far forward the ears lie of the line up from the shoulders, at most
_NOD = 12.0  # degrees: how much further the head leans than the neck, at most
_NECK_LENGTH = (0.9, 1.35)


class Skeleton(NamedTuple):
    """Human3.6M's joints as tensors on a device.

    Attributes:
        parents: Each joint's parent; the root's is itself.
        mirror: Each joint's counterpart on the other side.
        ancestors: 1 where a bone (named by its child joint) lies on the way from the root to a joint.
    """

    parents: Int64[Tensor, " joints"]
    mirror: Int64[Tensor, " joints"]
    ancestors: Float[Tensor, "joints joints"]


@cache
def skeleton(device: torch.device) -> Skeleton:
    """The joints on a device, moved there once."""
    way = torch.zeros(H36M_17.num_joints, H36M_17.num_joints)
    for joint, parent in enumerate(H36M_17.parents):
        if parent >= 0:
            way[joint] = way[parent]
            way[joint, joint] = 1.0
    parents, mirror = torch.tensor(H36M_17.parents).clamp(min=0), torch.tensor(H36M_17.mirror)
    return Skeleton(parents.to(device), mirror.to(device), way.to(device))


def another_body(
    positions: Float[Tensor, "batch frames joints 3"], variety: Variety, draws: Draws
) -> Float[Tensor, "batch frames joints 3"]:
    """The same motion of another body, drawn for every window: bones of other lengths, limbs bent.

    Args:
        positions: Joints in the world, metres.
        variety: How bodies differ.
        draws: Random numbers.
    """
    parents, mirror, ancestors = skeleton(positions.device)
    spread = 1.0 + variety.limb * draws.uniform(H36M_17.num_joints, low=-1.0)
    spread = (spread + spread[:, mirror]) / 2
    body = 1.0 + variety.body * draws.uniform(low=-1.0)
    bones = (positions - positions[:, :, parents]) * (spread * body[:, None])[:, None, :, None]
    root = positions[:, :, :1] * body[:, None, None, None]
    if variety.joints == "recorded":
        return root + ancestors @ bones
    bones[:, :, _WRISTS] *= draws.ratio(variety.forearm)[:, None, None, None]
    axes = body_axes(positions)
    bones = _bent(_arms_of_others(bones, axes, variety.other_arms, draws), axes, variety, draws)
    return _as_detected(root + ancestors @ bones, draws)


def body_axes(positions: Float[Tensor, "*batch joints 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The trunk's left, up and forward, as columns."""
    hips, shoulders = (positions[..., list(pair), :] for pair in (_HIPS, _SHOULDERS))
    up = torch.nn.functional.normalize(shoulders.mean(dim=-2) - hips.mean(dim=-2), dim=-1)
    left = shoulders[..., 0, :] - shoulders[..., 1, :]
    left = torch.nn.functional.normalize(left - (left * up).sum(dim=-1, keepdim=True) * up, dim=-1)
    return torch.stack((left, up, torch.linalg.cross(left, up)), dim=-1)


def _rotations(turns: Float[Tensor, "*axes 3"]) -> Float[Tensor, "*axes 3 3"]:
    """By the rotation vectors ``turns``: axes times angles, radians."""
    x, y, z = turns.unbind(dim=-1)
    zero = torch.zeros_like(x)
    rows = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1)
    return torch.linalg.matrix_exp(rows.unflatten(-1, (3, 3)))


def _turned(
    vectors: Float[Tensor, "batch frames bones 3"],
    axes: Float[Tensor, "batch frames 3 3"],
    turns: Float[Tensor, "batch turns 3 3"],
) -> Float[Tensor, "batch frames bones 3"]:
    """Vectors turned by matrices, one for each or one for all, that stay as they are in a body's axes."""
    return (turns[:, None] @ (vectors @ axes)[..., None])[..., 0] @ axes.mT


def _arms_of_others(
    bones: Float[Tensor, "batch frames joints 3"],
    axes: Float[Tensor, "batch frames 3 3"],
    share: float,
    draws: Draws,
) -> Float[Tensor, "batch frames joints 3"]:
    """A share of the arms moves about its trunk as that of the window before; its bones stay as long."""
    arms = [joint for arm in _ARMS for joint in arm]
    own = bones[:, :, arms]
    direction = torch.nn.functional.normalize(own @ axes, dim=-1).roll(1, dims=0) @ axes.mT
    another = (draws.uniform(len(_ARMS)) < share).repeat_interleave(2, dim=1)[:, None, :, None]
    mixed = bones.clone()
    mixed[:, :, arms] = torch.where(another, own.norm(dim=-1, keepdim=True) * direction, own)
    return mixed


def _bent(
    bones: Float[Tensor, "batch frames joints 3"],
    axes: Float[Tensor, "batch frames 3 3"],
    variety: Variety,
    draws: Draws,
) -> Float[Tensor, "batch frames joints 3"]:
    """Arms and legs turned by rotations that stay as they are in the trunk's axes over a window."""
    spread = bones.new_full((len(_LIMBS), 2, 1), math.radians(variety.bend))
    spread[len(_LEGS) :, 0] = math.radians(variety.shoulder_bend)
    upper, lower = _rotations(spread * draws.normal(len(_LIMBS), 2, 3).clamp(-3, 3)).unbind(dim=2)
    # The lower bone turns with the upper one, and on its own.
    turns = torch.stack((upper, upper @ lower), dim=2).flatten(1, 2)
    limbs = [joint for limb in _LIMBS for joint in limb]
    bent = bones.clone()
    bent[:, :, limbs] = _turned(bones[:, :, limbs], axes, turns)
    return bent


def _as_detected(
    positions: Float[Tensor, "batch frames joints 3"], draws: Draws
) -> Float[Tensor, "batch frames joints 3"]:
    """Trunk, neck and head where the rule ``cmu`` places them from a detector's hips, shoulders and ears."""
    hips = positions[:, :, _HIPS].mean(dim=2)
    shoulders = positions[:, :, _SHOULDERS].mean(dim=2)
    neck = math.radians(_LEAN) * draws.uniform()
    angle = torch.stack((neck, neck + math.radians(_NOD) * draws.uniform()), dim=-1)
    lean = _rotations(torch.stack((angle, torch.zeros_like(angle), torch.zeros_like(angle)), dim=-1))
    lean = lean * draws.ratio(_NECK_LENGTH)[:, None, None, None]
    up = positions[:, :, _NECK_AND_HEAD] - shoulders[:, :, None]
    moved = positions.clone()
    for joint, way in CMU_TRUNK.items():
        moved[:, :, H36M_17.index(joint)] = hips.lerp(shoulders, way)
    moved[:, :, _NECK_AND_HEAD] = shoulders[:, :, None] + _turned(up, body_axes(positions), lean)
    return moved
