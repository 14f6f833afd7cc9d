"""Networks of five joints whose results are known, and what they are sampled from."""

import torch


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def poses_2d(batch=2, frames=4, joints=5, dtype=torch.float64):
    return torch.rand(batch, frames, joints, 2, generator=seeded(7), dtype=dtype) * 1.6 - 0.8


def lift(pose_2d, noisy, timestep):
    """Know the clean pose: half of the 2D pose, its y twice as depth."""
    return torch.cat([pose_2d, pose_2d[..., 1:]], dim=-1) / 2


def flip_joints(pose):
    """Mirror five joints, of which 1, 3 and 2, 4 are pairs."""
    mirrored = pose[..., [0, 3, 4, 1, 2], :]
    return torch.cat([-mirrored[..., :1], mirrored[..., 1:]], dim=-1)


def lopsided(pose_2d, noisy, timestep):
    """Depend on every input, at different weights left and right, and leave the limits at times."""
    weight = torch.linspace(0.2, 2, noisy.shape[2], dtype=noisy.dtype)[:, None]
    time = (timestep.to(noisy.dtype) / 1000).view(-1, 1, 1, 1)
    return weight * (noisy + 0.3) * (1 - time / 2) + lift(pose_2d, noisy, timestep)


def equivariant(pose_2d, noisy, timestep):
    return 0.6 * noisy * noisy[..., 1:2].cos() + 0.5 * lift(pose_2d, noisy, timestep)


class Recorder:
    """Pass on to a denoiser and keep what it was called with."""

    def __init__(self, denoise):
        self.denoise, self.calls = denoise, []

    def __call__(self, pose_2d, noisy, timestep):
        self.calls.append((pose_2d, noisy, timestep))
        return self.denoise(pose_2d, noisy, timestep)
