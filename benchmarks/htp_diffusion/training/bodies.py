"""Bodies: the same motion by another person, in the joints of the recording or in those of a 2D detector.

A motion capture skeleton is not what a detector sees. In CMU's the forearm ends at 14 percent of the person's
height where detected wrists lie at 20, the hip joints lie 7 cm before the pelvis, and neck and head stand
straight above the shoulders, while the ears, of which a detector's head is made, lie before them.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.pose.conversions import CMU_TRUNK
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training.draws import Draws
from htp_diffusion.training.variety import Variety

_HIPS, _SHOULDERS = (4, 1), (11, 14)  # left, right
_LIMBS = ((5, 6), (2, 3), (12, 13), (15, 16))  # the bones of a limb, by the joints where they end
_WRISTS = (13, 16)
_NECK, _HEAD = 9, 10
_LEAN = 50.0  # degrees: how far forward the ears lie of the line up from the shoulders, at most
_NECK_LENGTH = (0.9, 1.35)


def _ancestors() -> Float[Tensor, "joints joints"]:
    """1 where a bone (named by its child joint) lies on the way from the root to a joint."""
    way = torch.zeros(H36M_17.num_joints, H36M_17.num_joints)
    for joint, parent in enumerate(H36M_17.parents):
        if parent >= 0:
            way[joint] = way[parent]
            way[joint, joint] = 1.0
    return way


def another_body(
    positions: Float[Tensor, "batch frames joints 3"], variety: Variety, draws: Draws
) -> Float[Tensor, "batch frames joints 3"]:
    """The same motion of another body, drawn for every window: bones of other lengths, limbs bent.

    Args:
        positions: Joints in the world, metres.
        variety: How bodies differ.
        draws: Random numbers.
    """
    device = positions.device
    parents = torch.tensor(H36M_17.parents, device=device).clamp(min=0)
    mirror = torch.tensor(H36M_17.mirror, device=device)
    spread = 1.0 + variety.limb * draws.uniform(H36M_17.num_joints, low=-1.0)
    spread = (spread + spread[:, mirror]) / 2
    body = 1.0 + variety.body * draws.uniform(low=-1.0)
    bones = (positions - positions[:, :, parents]) * (spread * body[:, None])[:, None, :, None]
    root = positions[:, :, :1] * body[:, None, None, None]
    if variety.joints == "recorded":
        return root + _ancestors().to(device) @ bones
    bones[:, :, _WRISTS] *= draws.ratio(variety.forearm)[:, None, None, None]
    bones = _bent(bones, body_axes(positions), math.radians(variety.bend), draws)
    return _as_detected(root + _ancestors().to(device) @ bones, draws)


def body_axes(positions: Float[Tensor, "*batch joints 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The trunk's left, up and forward, as columns."""
    hips, shoulders = (positions[..., list(pair), :] for pair in (_HIPS, _SHOULDERS))
    up = torch.nn.functional.normalize(shoulders.mean(dim=-2) - hips.mean(dim=-2), dim=-1)
    left = shoulders[..., 0, :] - shoulders[..., 1, :]
    left = torch.nn.functional.normalize(left - (left * up).sum(dim=-1, keepdim=True) * up, dim=-1)
    return torch.stack((left, up, torch.linalg.cross(left, up)), dim=-1)


def _bent(
    bones: Float[Tensor, "batch frames joints 3"],
    axes: Float[Tensor, "batch frames 3 3"],
    spread: float,
    draws: Draws,
) -> Float[Tensor, "batch frames joints 3"]:
    """Arms and legs turned by rotations that stay as they are in the trunk's axes over a window."""
    turn = torch.zeros(draws.count, len(_LIMBS), 2, 3, 3, device=bones.device)
    x, y, z = (spread * draws.normal(len(_LIMBS), 2, 3).clamp(-3, 3)).unbind(dim=-1)
    for (row, column), value in {(2, 1): x, (0, 2): y, (1, 0): z}.items():
        turn[..., row, column], turn[..., column, row] = value, -value
    upper, lower = torch.linalg.matrix_exp(turn).unbind(dim=2)
    # The lower bone turns with the upper one, and on its own.
    turns = torch.stack((upper, upper @ lower), dim=2)[:, None]
    limbs = [joint for limb in _LIMBS for joint in limb]
    seen = (bones[:, :, limbs] @ axes).unflatten(2, (len(_LIMBS), 2))
    turned = (turns @ seen[..., None])[..., 0].flatten(2, 3) @ axes.mT
    return bones.index_copy(2, torch.tensor(limbs, device=bones.device), turned)


def _as_detected(
    positions: Float[Tensor, "batch frames joints 3"], draws: Draws
) -> Float[Tensor, "batch frames joints 3"]:
    """Trunk, neck and head where the rule ``cmu`` places them from a detector's hips, shoulders and ears."""
    hips = positions[:, :, _HIPS].mean(dim=2)
    shoulders = positions[:, :, _SHOULDERS].mean(dim=2)
    made = {H36M_17.index(joint): hips.lerp(shoulders, way) for joint, way in CMU_TRUNK.items()}
    axes = body_axes(positions)
    angle = math.radians(_LEAN) * draws.uniform()
    up, forward = angle.cos(), angle.sin()
    length = draws.ratio(_NECK_LENGTH)
    lean = torch.eye(3, device=positions.device).repeat(draws.count, 1, 1)
    lean[:, 1, 1], lean[:, 1, 2], lean[:, 2, 1], lean[:, 2, 2] = up, -forward, forward, up
    lean = (lean * length[:, None, None])[:, None]
    for joint in (_NECK, _HEAD):
        seen = ((positions[:, :, joint] - shoulders)[:, :, None] @ axes)[:, :, 0]
        made[joint] = shoulders + (axes @ (lean @ seen[..., None]))[..., 0]
    joints = torch.tensor(list(made), device=positions.device)
    return positions.index_copy(2, joints, torch.stack(list(made.values()), dim=2))
