"""What a 2D detector gets wrong, for a whole batch of training windows at once.

Two models: the synthetic noise of the test clips (:func:`htp_diffusion.pose.cameras.detector_noise`), and one
with the figures of a real detector, which were measured on video whose 3D poses were triangulated from three
cameras: per joint and axis, in percent of the person's height in the image, at 60 frames a second.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_diffusion.pose.cameras import FILTER_LENGTH, IMAGE_SIZE, detector_like
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training.draws import Draws

# In the order of the joints: pelvis, right and left leg, spine, thorax, neck, head, left and right arm.
_SPREAD = (0.9, 1.2, 1.6, 2.4, 1.2, 1.6, 2.4, 0.5, 0.8, 2.0, 1.8, 1.1, 1.8, 2.5, 1.1, 1.8, 2.5)
_BIAS = (0.8, 1.0, 1.1, 1.2, 1.0, 1.1, 1.2, 0.7, 0.7, 1.3, 1.3, 0.9, 1.1, 1.2, 0.9, 1.1, 1.2)
_WHITE = (0.1, 0.1, 0.3, 0.3, 0.1, 0.3, 0.3, 0.1, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3)
"""Of the variance, what changes from frame to frame; the rest is slow."""
_WITH_PARENT = {2: 0.5, 3: 0.5, 5: 0.5, 6: 0.5, 12: 0.45, 13: 0.6, 15: 0.45, 16: 0.6}
"""Correlation of a limb joint's slow error with that of the joint before it."""
_SLOW = 0.92  # correlation of the slow error from one frame to the next
_SHIFT = 1.5  # of all joints together, constant over a window
_SIZE = (0.5, 1.6)  # of everything: detectors differ
_TAIL_RATE, _TAIL = 0.02, (1.5, 6.0)  # of the limb joints' frames, and how far they jump
_OCCLUDED_SHARE, _OCCLUDED = 1 / 3, (2.0, 4.0)  # of the windows, one limb; factor on its errors
_HELD_RATE, _HELD_FRAMES = 0.005, 8.0  # of a limb joint that is missed: starts a frame, mean run
_SWAPPED_SHARE, _SWAPPED_FRAMES = 0.07, 12  # of the windows, left for right; longest run
_LIMBS = ((2, 3), (5, 6), (12, 13), (15, 16))
_ENDS = (2, 3, 5, 6, 12, 13, 15, 16)


def synthetic_noise(draws: Draws, frames: int) -> Float[Tensor, "batch frames joints 2"]:
    """The noise of the test clips, in half image widths."""
    joints = H36M_17.num_joints
    pixels = detector_like(
        draws.normal(4, joints, 2, frames).movedim(1, 0),
        draws.normal(joints, 2, FILTER_LENGTH - 1),
        draws.uniform(joints, 1, frames),
    )
    return pixels * (2.0 / IMAGE_SIZE[0])


def measured_noise(
    pose_2d: Float[Tensor, "batch frames joints 2"],
    height: Float[Tensor, " batch"],
    draws: Draws,
    mirror: Int64[Tensor, " joints"],
) -> Float[Tensor, "batch frames joints 2"]:
    """2D poses as a real detector would report them.

    Args:
        pose_2d: True 2D poses.
        height: Of the standing person in the image, in the poses' unit.
        draws: Random numbers.
        mirror: For each joint, the joint on the other side.
    """
    frames, joints = pose_2d.shape[1:3]
    spread, bias, white = (
        torch.tensor(part, device=pose_2d.device)[:, None] for part in (_SPREAD, _BIAS, _WHITE)
    )
    limb = _occluded_limbs(draws, frames, joints)
    slow = _slow_error(draws, frames, joints) * (1 - white).sqrt()
    errors = spread * limb * (slow + draws.normal(frames, joints, 2) * white.sqrt())
    errors = errors + limb * bias * draws.normal(1, joints, 2) + _SHIFT * draws.normal(1, 1, 2)
    errors = errors + _jumps(draws, frames, joints)
    scale = height * draws.ratio(_SIZE) / 100.0
    seen = pose_2d + scale[:, None, None, None] * errors
    return _swapped(_held(seen, draws), draws, mirror)


def _slow_error(draws: Draws, frames: int, joints: int) -> Float[Tensor, "batch frames joints 2"]:
    """First-order autoregressive, of unit variance, a limb's joints correlated along it."""
    past = FILTER_LENGTH - 1
    innovations = draws.normal(joints * 2, frames + past)
    response = _SLOW ** torch.arange(past, -1, -1.0, device=innovations.device)
    # An autoregressive process is white noise through an exponential response: one convolution, no loop.
    response = (response / response.norm()).expand(joints * 2, 1, -1)
    own = torch.nn.functional.conv1d(innovations, response, groups=joints * 2)
    parts = list(own.unflatten(1, (joints, 2)).permute(0, 3, 1, 2).unbind(2))
    for joint, share in _WITH_PARENT.items():  # a parent has a smaller number than its child
        parent = H36M_17.parents[joint]
        parts[joint] = share * parts[parent] + (1 - share**2) ** 0.5 * parts[joint]
    return torch.stack(parts, dim=2)


def _among(indices: tuple[int, ...], joints: int, device: torch.device) -> Float[Tensor, "joints 1"]:
    mask = torch.zeros(joints, 1)
    mask[list(indices)] = 1.0
    return mask.to(device)


def _run(draws: Draws, frames: int, longest: int) -> Float[Tensor, "batch frames 1 1"]:
    """1 during one run of frames of random place and length in each window."""
    frame = torch.arange(frames, device=draws.generator.device)
    first = draws.uniform(1) * frames
    last = first + 1 + draws.uniform(1) * longest
    return ((frame >= first.floor()) & (frame < last.floor())).float()[..., None, None]


def _occluded_limbs(draws: Draws, frames: int, joints: int) -> Float[Tensor, "batch frames joints 1"]:
    """A factor on each joint's error: several times as large where a limb is out of sight."""
    device = draws.generator.device
    limbs = torch.stack([_among(limb, joints, device) for limb in _LIMBS])
    chosen = limbs[(draws.uniform() * len(_LIMBS)).long()]
    hidden = (draws.uniform() < _OCCLUDED_SHARE).float()[:, None, None, None]
    factor = draws.uniform(low=_OCCLUDED[0], high=_OCCLUDED[1])[:, None, None, None]
    return 1.0 + hidden * (factor - 1.0) * _run(draws, frames, frames) * chosen[:, None]


def _jumps(draws: Draws, frames: int, joints: int) -> Float[Tensor, "batch frames joints 2"]:
    """Single frames in which a limb joint is somewhere else."""
    hit = (draws.uniform(frames, joints, 1) < _TAIL_RATE) * _among(_ENDS, joints, draws.generator.device)
    return (
        hit * draws.uniform(frames, joints, 1, low=_TAIL[0], high=_TAIL[1]) * draws.normal(frames, joints, 2)
    )


def _held(
    seen: Float[Tensor, "batch frames joints 2"], draws: Draws
) -> Float[Tensor, "batch frames joints 2"]:
    """Limb joints that were missed for some frames stay where they were last seen."""
    frames, joints = seen.shape[1:3]
    frame = torch.arange(frames, device=seen.device)[:, None]
    starts = draws.uniform(frames, joints) < _HELD_RATE * _among(_ENDS, joints, seen.device)[:, 0]
    length = 1.0 - _HELD_FRAMES * draws.uniform(frames, joints, low=1e-6).log()
    until = torch.where(starts, frame + length, 0.0).cummax(dim=1).values
    missed = (until > frame) & (frame > 0)
    source = torch.where(missed, 0, frame).cummax(dim=1).values
    return seen.gather(1, source[..., None].expand_as(seen))


def _swapped(
    seen: Float[Tensor, "batch frames joints 2"], draws: Draws, mirror: Int64[Tensor, " joints"]
) -> Float[Tensor, "batch frames joints 2"]:
    """Left taken for right, of the whole body, in a run of frames."""
    happens = (draws.uniform() < _SWAPPED_SHARE).float()[:, None, None, None]
    run = _run(draws, seen.shape[1], _SWAPPED_FRAMES) * happens > 0
    return torch.where(run, seen[:, :, mirror], seen)
