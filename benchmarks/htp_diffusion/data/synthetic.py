"""Procedural human motion: walking, sitting down and standing up, reaching.

Joint angles are drawn as smooth curves in time, forward kinematics turns them into positions (so bone lengths
are constant), and the root is moved so that the lower foot stays where it is. Nothing here is recorded data.
Body axes: x forward, y to the left, z up; angles in radians.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Motion
from htp_diffusion.pose.layout import H36M_17

# Metres from each joint's parent, standing, arms hanging; near the mean of adult bodies as motion capture
# skeletons of these 17 joints have them.
_HIP, _SHOULDER = (0.0, 0.095, -0.095), (0.0, 0.185, 0.065)
_THIGH, _SHANK, _UPPER_ARM, _FOREARM = 0.42, 0.42, 0.285, 0.225
_SPINE, _CHEST, _NECK, _HEAD = 0.235, 0.12, 0.185, 0.10
_ANKLE_HEIGHT = 0.07  # metres above the ground, with the foot flat

_PELVIS, _SPINE_JOINT, _THORAX, _NECK_JOINT = 0, 7, 8, 9
_HIPS, _KNEES, _ANKLES = (4, 1), (5, 2), (6, 3)  # left, right
_SHOULDERS, _ELBOWS = (11, 14), (12, 15)
_SIDES = (1.0, -1.0)  # the sign of y on the left and on the right


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=generator, dtype=torch.float64).item()


def _curve(knots: Float[Tensor, " knots"], frames: int) -> Float[Tensor, " frames"]:
    """A smooth curve through evenly spread knots, which it rounds a little: linear, then a Hann average."""
    linear = functional.interpolate(knots.view(1, 1, -1), size=frames, mode="linear", align_corners=True)
    return _hann_average(linear.view(-1), 0.7 * frames / (len(knots) - 1))


def _hann_average(curve: Float[Tensor, "*curves frames"], width: float) -> Float[Tensor, "*curves frames"]:
    """A moving average over about ``width`` frames with a Hann window; the ends are held."""
    half = max(1, round(width / 2))
    window = torch.hann_window(2 * half + 3, periodic=False, dtype=curve.dtype)[1:-1]
    padded = functional.pad(curve.reshape(-1, 1, curve.shape[-1]), (half, half), mode="replicate")
    return functional.conv1d(padded, (window / window.sum()).view(1, 1, -1)).view(curve.shape)


def _knots(
    generator: torch.Generator, seconds: float, period: float, low: float, high: float
) -> Float[Tensor, " knots"]:
    """Independent uniform draws, one a period, at least two."""
    count = max(2, round(seconds / period) + 1)
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


def _tempo(generator: torch.Generator, frames: int, fps: float) -> Float[Tensor, " frames"]:
    """How fast a motion runs over time: 0 in pauses, up to 1.5 in quick phases."""
    knots = _knots(generator, frames / fps, 0.8, 0.5, 1.5)
    pause = torch.rand(len(knots), generator=generator) < 0.25
    return _curve(torch.where(pause, 0.0, knots), frames)


def _sway(generator: torch.Generator, frames: int, fps: float, size: float) -> Float[Tensor, " frames"]:
    """A slow random wander around 0, for the angles that a motion leaves alone."""
    return _curve(_knots(generator, frames / fps, 0.7, -size, size), frames)


def _add(angles: Tensor, joints: tuple[int, int], axis: int, left: Tensor | float, right: Tensor | float):
    """Add an angle to both sides. About y the sign is the same on both sides, about x and z it mirrors."""
    for joint, side, value in zip(joints, _SIDES, (left, right), strict=True):
        angles[:, joint, axis] += value * (1.0 if axis == 1 else side)


def _standing(generator: torch.Generator, frames: int, fps: float) -> Float[Tensor, "frames joints 3"]:
    """Angles about x, y and z of every joint for a person who stands and sways."""
    angles = torch.zeros(frames, H36M_17.num_joints, 3, dtype=torch.float64)
    for joint, size in ((_SPINE_JOINT, 0.05), (_THORAX, 0.08), (_NECK_JOINT, 0.15), (_PELVIS, 0.03)):
        for axis in range(3):
            angles[:, joint, axis] += _sway(generator, frames, fps, size)
    bend = _uniform(generator, 0.1, 0.5)
    for shoulder, elbow, side in zip(_SHOULDERS, _ELBOWS, _SIDES, strict=True):
        angles[:, shoulder, 0] += side * (0.18 + _sway(generator, frames, fps, 0.1))
        angles[:, shoulder, 1] += _sway(generator, frames, fps, 0.15)
        angles[:, elbow, 1] += -bend + _sway(generator, frames, fps, 0.1)
    return angles


def _walking(generator: torch.Generator, frames: int, fps: float) -> Float[Tensor, "frames joints 3"]:
    """A gait whose phase runs at a varying tempo, on a curving path."""
    angles = _standing(generator, frames, fps)
    tempo = _tempo(generator, frames, fps)
    cadence, stride = _uniform(generator, 0.75, 1.1), _uniform(generator, 0.7, 1.2)
    start = _uniform(generator, 0.0, 2 * math.pi)
    phase = start + 2 * math.pi * cadence * torch.cumsum(tempo, 0) / fps
    # Legs come together when the walker halts: the size of the step follows the tempo.
    size = stride * (0.15 + 0.85 * tempo.clamp(max=1.0))
    for side, (hip, knee, shoulder, elbow) in enumerate(zip(_HIPS, _KNEES, _SHOULDERS, _ELBOWS, strict=True)):
        leg = phase + math.pi * side
        # A rounded triangle wave: a sine would halt the body at every step.
        angles[:, hip, 1] -= size * (0.42 * torch.asin(0.92 * torch.sin(leg)) / math.asin(0.92) + 0.1)
        # The knee bends twice a stride: a little under load, and fully while the leg swings forward.
        swing = torch.cos(leg).clamp(min=0.0) ** 2
        angles[:, knee, 1] += 0.05 + size * (0.9 * swing + 0.12 * torch.sin(leg).clamp(min=0.0) ** 2)
        angles[:, shoulder, 1] += size * 0.4 * torch.sin(leg)
        angles[:, elbow, 1] -= size * (0.2 - 0.2 * torch.sin(leg))
    angles[:, _PELVIS, 2] += 0.08 * size * torch.sin(phase)
    angles[:, _THORAX, 2] -= 0.16 * size * torch.sin(phase)
    turn = _curve(_knots(generator, frames / fps, 1.5, -0.7, 0.7), frames) * tempo
    angles[:, _PELVIS, 2] += torch.cumsum(turn, 0) / fps
    return angles


def _sitting(generator: torch.Generator, frames: int, fps: float) -> Float[Tensor, "frames joints 3"]:
    """Sitting down and standing up again, at a varying pace and to a varying depth, with rests between."""
    angles = _standing(generator, frames, fps)
    levels = _knots(generator, frames / fps, 1.4, 0.0, 1.0)
    first = int(torch.randint(2, (), generator=generator))
    levels[first::2] = (levels[first::2] * 2).clamp(0.85, 1.0)  # every other knot is a seat
    levels[1 - first :: 2] = (levels[1 - first :: 2] * 2 - 1).clamp(0.0, 0.85)  # half of the others: fully up
    depth = _curve(levels.repeat_interleave(2), frames)  # each level twice: hold, then move
    seat, knee = _uniform(generator, 1.35, 1.6), _uniform(generator, 1.4, 1.8)
    width = _uniform(generator, 0.02, 0.25)
    _add(angles, _HIPS, 1, -seat * depth, -seat * depth)
    _add(angles, _HIPS, 0, width * depth, width * depth)
    _add(angles, _KNEES, 1, knee * depth, knee * depth)
    moving = 4 * depth * (1 - depth)  # largest halfway: the trunk leans forward to keep its balance
    angles[:, _PELVIS, 1] += 0.45 * moving - 0.05 * depth
    angles[:, _SPINE_JOINT, 1] += 0.25 * moving + 0.1 * depth
    _add(angles, _SHOULDERS, 1, -0.6 * depth, -0.6 * depth)
    _add(angles, _ELBOWS, 1, -0.7 * depth, -0.7 * depth)
    return angles


def _reaching(generator: torch.Generator, frames: int, fps: float) -> Float[Tensor, "frames joints 3"]:
    """One arm or both reach out to random places, hold, and return, with trunk and knees helping."""
    angles = _standing(generator, frames, fps)
    for shoulder, elbow, side in zip(_SHOULDERS, _ELBOWS, _SIDES, strict=True):
        period = _uniform(generator, 0.35, 0.9)
        active = _knots(generator, frames / fps, period, 0.0, 1.0)
        reach = _curve((active * 3 - 1).clamp(0.0, 1.0), frames)  # a third rests, a third is held out
        lift = _curve(_knots(generator, frames / fps, period, 0.4, 2.6), frames)
        out = _curve(_knots(generator, frames / fps, period, -0.5, 1.0), frames)
        bend = _curve(_knots(generator, frames / fps, period, 0.0, 1.4), frames)
        angles[:, shoulder, 1] -= reach * lift
        angles[:, shoulder, 0] += side * reach * out
        angles[:, shoulder, 2] += side * reach * _sway(generator, frames, fps, 0.4)
        angles[:, elbow, 1] -= reach * bend
        low = reach * (1.2 - lift).clamp(min=0.0)  # what lies low is reached by bending
        angles[:, _SPINE_JOINT, 1] += 0.5 * low
        angles[:, _PELVIS, 1] += 0.4 * low
        angles[:, _THORAX, 2] -= side * 0.3 * reach
        _add(angles, _HIPS, 1, -0.9 * low, -0.9 * low)
        _add(angles, _KNEES, 1, 1.0 * low, 1.0 * low)
    turn = _curve(_knots(generator, frames / fps, 1.6, -0.4, 0.4), frames)
    angles[:, _PELVIS, 2] += torch.cumsum(turn, 0) / fps
    return angles


def _body(generator: torch.Generator) -> Float[Tensor, "joints 3"]:
    """Offsets from parent to child of a random body: stature first, then each segment by a few percent."""
    stature = _uniform(generator, 0.88, 1.1)

    def segment(x: float, y: float, z: float, jitter: float) -> Tensor:
        return (
            torch.tensor([x, y, z], dtype=torch.float64)
            * stature
            * _uniform(generator, 1 - jitter, 1 + jitter)
        )

    trunk = [segment(0.0, 0.0, length, 0.06) for length in (_SPINE, _CHEST, _NECK, _HEAD)]
    hip, shoulder = segment(*_HIP, 0.06), segment(*_SHOULDER, 0.1)
    leg = [segment(0.0, 0.0, -length, 0.05) for length in (_THIGH, _SHANK)]
    arm = [segment(0.0, 0.0, -length, 0.08) for length in (_UPPER_ARM, _FOREARM)]
    mirror = torch.tensor([1.0, -1.0, 1.0], dtype=torch.float64)
    root = torch.zeros(3, dtype=torch.float64)
    return torch.stack([root, hip * mirror, *leg, hip, *leg, *trunk, shoulder, *arm, shoulder * mirror, *arm])


def _rotations(angles: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotations about z, then x, then y of the turned body: Rz Rx Ry."""
    (sx, sy, sz), (cx, cy, cz) = angles.sin().unbind(-1), angles.cos().unbind(-1)
    rows = (
        (cz * cy - sz * sx * sy, -sz * cx, cz * sy + sz * sx * cy),
        (sz * cy + cz * sx * sy, cz * cx, sz * sy - cz * sx * cy),
        (-cx * sy, sx, cx * cy),
    )
    return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)


def forward_kinematics(
    angles: Float[Tensor, "frames joints 3"], offsets: Float[Tensor, "joints 3"]
) -> Float[Tensor, "frames joints 3"]:
    """Joint positions relative to the root, metres, from joint angles and the offset of each joint."""
    turn = list(_rotations(angles).unbind(1))
    position = [torch.zeros_like(angles[:, 0])] * len(turn)
    for parent, child in H36M_17.bones:
        position[child] = position[parent] + turn[parent] @ offsets[child]
        turn[child] = turn[parent] @ turn[child]
    return torch.stack(position, dim=1)


def _grounded(pose: Float[Tensor, "frames joints 3"], fps: float) -> Float[Tensor, "frames joints 3"]:
    """Move the root so that the lower ankle is at its height over the ground and hardly slides."""
    ankles = pose[:, list(_ANKLES)]
    share = torch.softmax(-ankles[..., 2] / 0.015, dim=1)  # over 1.5 cm the weight passes from foot to foot
    height = (share * ankles[..., 2]).sum(dim=1)
    step = -(share[:-1, :, None] * ankles[..., :2].diff(dim=0)).sum(dim=1)
    if len(step):  # momentum: a body does not brake each time that it changes feet
        step = _hann_average(step.T, 0.4 * fps).T
    path = functional.pad(torch.cumsum(step, dim=0), (0, 0, 1, 0))
    return pose + torch.cat([path, (_ANKLE_HEIGHT - height)[:, None]], dim=1)[:, None]


ACTIONS: dict[str, Callable[[torch.Generator, int, float], Float[Tensor, "frames joints 3"]]] = {
    "walking": _walking,
    "sitting": _sitting,
    "reaching": _reaching,
}


def synthetic_motions(seed: int = 0, count: int = 3, frames: int = 486, fps: float = 60.0) -> list[Motion]:
    """Draw motions; the actions take turns.

    Each has its own body, heading, pace and curves. The pace varies within a motion: there are pauses and
    quick phases. Same arguments, same motions; the first motions do not depend on ``count``.

    Args:
        seed: Seed of the only source of randomness.
        count: Number of motions.
        frames: Frames of each.
        fps: Frames a second.

    Returns:
        Motions named "synthetic/walking_000" and so on; world, metres, z up, the start near the origin.

    Raises:
        BenchmarkError: ``count``, ``frames`` or ``fps`` is not positive.
    """
    if count < 1 or frames < 1 or fps <= 0:
        raise BenchmarkError(
            "synthetic motion needs a positive count, frames and fps, "
            f"got count={count}, frames={frames}, fps={fps}"
        )
    generator = torch.Generator().manual_seed(seed)
    motions = []
    for index in range(count):
        action = tuple(ACTIONS)[index % len(ACTIONS)]
        angles = ACTIONS[action](generator, frames, fps)
        angles[:, _PELVIS, 2] += _uniform(generator, -math.pi, math.pi)
        positions = _grounded(forward_kinematics(angles, _body(generator)), fps)
        motions.append(Motion(name=f"synthetic/{action}_{index:03d}", positions=positions.float(), fps=fps))
    return motions
