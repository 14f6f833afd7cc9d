"""Motion capture skeletons to the 17 Human3.6M joints: which point of a skeleton each joint is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Motion
from htp_diffusion.pose.layout import H36M_17

ASF_POINTS = {
    "pelvis": "root",
    "right_hip": "rhipjoint",
    "right_knee": "rfemur",
    "right_ankle": "rtibia",
    "left_hip": "lhipjoint",
    "left_knee": "lfemur",
    "left_ankle": "ltibia",
    "spine": "upperback",
    "thorax": "thorax",
    "neck": "upperneck",
    "head": "head",
    "left_shoulder": "lclavicle",
    "left_elbow": "lhumerus",
    "left_wrist": "lradius",
    "right_shoulder": "rclavicle",
    "right_elbow": "rhumerus",
    "right_wrist": "rradius",
}
"""The bone of a CMU skeleton at whose far end each joint is; the pelvis is at the root."""

BVH_POINTS = {
    "pelvis": "Hips",
    "right_hip": "RightUpLeg",
    "right_knee": "RightLeg",
    "right_ankle": "RightFoot",
    "left_hip": "LeftUpLeg",
    "left_knee": "LeftLeg",
    "left_ankle": "LeftFoot",
    "spine": "Spine1",
    "thorax": "Neck",
    "neck": "Head",
    "head": "Head end",
    "left_shoulder": "LeftArm",
    "left_elbow": "LeftForeArm",
    "left_wrist": "LeftHand",
    "right_shoulder": "RightArm",
    "right_elbow": "RightForeArm",
    "right_wrist": "RightHand",
}
"""The same points in the public BVH conversions of the CMU database, where a joint is the start of its bone.

Those conversions leave out the length of the thorax bone (the offset of Neck is 0), so that spine and thorax
coincide and the shoulders and the head are as much too low; ``coincident_joints`` tells.
"""

_COINCIDENT = 1e-6  # metres
_JUMP = 0.2  # metres, in one frame; a runner's wrist does 0.1 at 120 frames a second
_APART = 5.0  # times as far as all but a twentieth of the later steps


def to_motion(
    name: str,
    points: Mapping[str, Float64[np.ndarray, "frames 3"]],
    joints: Mapping[str, str],
    fps: float,
    step: int = 1,
) -> Motion:
    """The 17 joints of a recording.

    Args:
        name: The motion's name.
        points: The recording's points by name: world, metres, y up.
        joints: The point at which each Human3.6M joint is, such as ``ASF_POINTS``.
        fps: The recording's frames a second.
        step: Take every so many frames, the first one first.

    Returns:
        The motion with z up: (x, y, z) becomes (x, -z, y).

    Raises:
        BenchmarkError: A point is missing, or a coordinate is not finite in float32.
    """
    missing = [joints[joint] for joint in H36M_17.joints if joints[joint] not in points]
    if missing:
        raise BenchmarkError(
            f"{name}: the skeleton lacks {', '.join(missing)}; the names of the CMU database are expected"
        )
    stacked = np.stack([points[joints[joint]][::step] for joint in H36M_17.joints], axis=1)
    x, y, z = np.moveaxis(stacked, -1, 0)
    positions = torch.from_numpy(np.stack([x, -z, y], axis=-1)).to(torch.float32)
    if not torch.isfinite(positions).all():
        raise BenchmarkError(f"{name}: joint positions that are not finite")
    return Motion(name=name, positions=positions, fps=fps / step)


@dataclass(frozen=True, kw_only=True)
class FirstJump:
    """A recording whose first frame is no part of its motion, as a T-pose that a conversion put there.

    Attributes:
        first: How far a joint moves from the first frame to the second, at most; metres.
        later: How far one moves in any later step, at most.
    """

    first: float
    later: float


def first_jump(
    points: Mapping[str, Float64[np.ndarray, "frames 3"]], joints: Mapping[str, str]
) -> FirstJump | None:
    """The jump after the first frame of a recording, where no later motion is nearly as fast.

    Args:
        points: The recording's points, as for ``to_motion``, at its own rate.
        joints: The point at which each Human3.6M joint is.
    """
    positions = np.stack([points[point] for point in joints.values() if point in points], axis=1)
    steps = np.linalg.norm(np.diff(positions, axis=0), axis=-1).max(axis=1)
    if len(steps) < 2 or steps[0] < max(_JUMP, _APART * float(np.quantile(steps[1:], 0.95))):
        return None
    return FirstJump(first=float(steps[0]), later=float(steps[1:].max()))


def coincident_joints(motion: Motion) -> list[tuple[str, str]]:
    """The bones that have no length in any frame, by the names of their two joints."""
    names, positions = H36M_17.joints, motion.positions
    return [
        (names[parent], names[child])
        for parent, child in H36M_17.bones
        if (positions[:, parent] - positions[:, child]).abs().amax() <= _COINCIDENT
    ]
