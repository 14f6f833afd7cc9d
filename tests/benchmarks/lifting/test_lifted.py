"""Lifting: a clip of any length, by any denoiser."""

import dataclasses

import pytest
import torch
from written import TINY

from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.lifting.lifted import lift
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.contender import Contender

SAMPLING = Sampling(hypotheses=2, steps=2, eta=1.0, flip=True, seed=0, batch_size=3)


def contender(kind):
    config = TINY.denoiser(kind)
    return Contender(name=kind, config=config, denoiser=config.build().eval())


class Answer(torch.nn.Module):
    """A denoiser whose pose is its 2D input, and the frame's place in the window as depth."""

    def forward(self, pose_2d, noisy, timestep):
        depth = torch.zeros_like(pose_2d[..., :1])
        return torch.cat([pose_2d, depth], dim=-1)


def answering(num_frames):
    config = DenoiserConfig(kind="d3dp", num_frames=num_frames, dim=16, depth=4, num_heads=2)
    return Contender(name="answer", config=config, denoiser=Answer())


@pytest.mark.parametrize("length", [1, 3, 12, 13, 31])
def test_what_the_denoiser_knows_comes_out_frame_by_frame(length):
    pose_2d = torch.rand(length, 17, 2) - 0.5
    lifted = lift(answering(12), pose_2d, SAMPLING)
    torch.testing.assert_close(lifted.poses[..., :2], pose_2d)
    assert lifted.poses[..., 2].abs().max() == 0
    assert lifted.spread.abs().max() < 1e-6
    assert (lifted.windows, lifted.window_frames) == (max(1, -(-(length - 12) // 6) + 1), 12)


def test_another_frame_rate_is_sampled_there_and_back():
    time = torch.arange(31.0)
    pose_2d = (time / 40)[:, None, None].expand(-1, 17, 2) - 0.4  # a line: sampling it changes nothing
    lifted = lift(answering(12), pose_2d.contiguous(), SAMPLING, fps=30, model_fps=60)
    torch.testing.assert_close(lifted.poses[..., :2], pose_2d, atol=1e-5, rtol=0)
    assert len(lifted.spread) == 31
    assert lifted.windows == -(-(61 - 12) // 6) + 1  # of 61 frames at the model's rate


@pytest.mark.parametrize("kind", ["d3dp", "htp", "mixste", "htp-mixste"])
def test_every_kind_of_model(kind):
    pose_2d = torch.rand(20, 17, 2) - 0.5
    lifted = lift(contender(kind), pose_2d, SAMPLING)
    assert lifted.poses.shape == (20, 17, 3)
    assert torch.isfinite(lifted.poses).all()
    assert (lifted.spread.amax() > 0) == (kind in ("d3dp", "htp"))  # a lifter without noise has one answer
    assert (lifted.kept is None) == (kind in ("d3dp", "mixste"))
    if lifted.kept is not None:
        assert 0 < lifted.kept.sum() < 20


def test_kept_frames_are_those_of_the_window_that_counts_most():
    model = contender("htp")
    pose_2d = torch.rand(12, 17, 2) - 0.5  # one window
    lifted = lift(model, pose_2d, SAMPLING)
    kept = model.config.htp.frames_kept(12)
    assert lifted.kept is not None
    assert lifted.kept.sum() == kept
    resampled = lift(model, pose_2d[:6], dataclasses.replace(SAMPLING, seed=1), fps=30, model_fps=60)
    assert resampled.kept is not None
    assert resampled.kept.shape == (6,)


def test_the_same_seed_gives_the_same_poses_whatever_the_memory():
    model, pose_2d = contender("htp"), torch.rand(30, 17, 2) - 0.5
    one = lift(model, pose_2d, SAMPLING)
    other = lift(model, pose_2d, SAMPLING, memory_budget=1e-4)
    torch.testing.assert_close(one.poses, other.poses, atol=1e-5, rtol=1e-4)


def test_progress_is_told():
    seen = []
    lift(
        answering(12),
        torch.rand(50, 17, 2),
        SAMPLING,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
