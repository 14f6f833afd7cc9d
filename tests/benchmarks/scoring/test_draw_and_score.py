"""Grading: each window with the noise of its number, the mean of its hypotheses over all frames."""

import pytest
import torch

from htp_diffusion.data.motion import Motion, view, windows
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.pose.cameras import virtual_cameras
from htp_diffusion.scoring.draw_and_score import grade


class Lifting(torch.nn.Module):
    """What it predicts depends on the 2D pose and on the noise."""

    def forward(self, pose_2d, noisy, timestep):
        return torch.nn.functional.pad(pose_2d, (0, 1)) + 0.3 * noisy


def test_a_grade_is_the_error_of_the_mean_over_every_frame_with_each_windows_own_noise():
    generator = torch.Generator().manual_seed(3)
    clips = []
    for length in (5, 16):  # one window, the last frame repeated, and three, two of which overlap
        positions = torch.rand(length, 17, 3, generator=generator) + torch.tensor([0.0, 0.0, 1.0])
        clip = view(Motion(name=str(length), positions=positions, fps=60.0), virtual_cameras(positions)[0])
        clips.append(windows(clip, 6))
    sampling = Sampling(hypotheses=3, steps=2, eta=1.0, flip=False, seed=7, batch_size=3)
    errors = grade(Lifting(), clips, sampling, torch.device("cpu"))

    pose_2d, target = (torch.cat([getattr(clip, name) for clip in clips]) for name in ("pose_2d", "pose_3d"))
    drawn = [sampling.draw(Lifting(), part, number) for number, part in enumerate((pose_2d[:3], pose_2d[3:]))]
    distance = (torch.cat(drawn).mean(dim=1) - target).norm(dim=-1).mean(dim=-1)
    frames = [  # window and frame, each frame of the clips once
        *((0, frame) for frame in range(5)),
        *((window, frame) for window in (1, 2) for frame in range(6)),
        *((3, frame) for frame in range(2, 6)),
    ]
    expected = 1000 * sum(float(distance[at]) for at in frames) / 21
    assert errors.mpjpe == pytest.approx(expected, rel=1e-5)
