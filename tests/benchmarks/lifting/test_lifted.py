"""Lifting: a clip of any length, by any denoiser."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from written import TINY

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.observed import observe
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.lifting.height import scaled_to
from htp_diffusion.lifting.lifted import Lifted, lift
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.contender import Contender
from htp_diffusion.pose.layout import H36M_17
from htp_modules import record

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


class Damaged(Answer):
    """A denoiser that loses one number of the last frame."""

    def forward(self, pose_2d, noisy, timestep):
        poses = super().forward(pose_2d, noisy, timestep)
        poses[:, -1, 4, 2] = float("nan")
        return poses


@pytest.mark.parametrize("rates", [{}, {"fps": 30, "model_fps": 60}])
def test_poses_that_are_not_finite_are_refused(rates):
    damaged, pose_2d = dataclasses.replace(answering(12), denoiser=Damaged()), torch.rand(12, 17, 2) - 0.5
    with pytest.raises(BenchmarkError, match="answer gives poses that are not finite"):
        lift(damaged, pose_2d, SAMPLING, **rates)


class Unsure(torch.nn.Module):
    """A denoiser whose pose depends on its noise."""

    def forward(self, pose_2d, noisy, timestep):
        return torch.nn.functional.pad(pose_2d, (0, 1)) + 0.2 * noisy


def test_the_uncertainty_is_the_root_mean_square_distance_from_the_mean():
    unsure, pose_2d = dataclasses.replace(answering(12), denoiser=Unsure()), torch.rand(12, 17, 2) - 0.5
    four = dataclasses.replace(SAMPLING, hypotheses=4, batch_size=1)
    [drawn] = four.draw(Unsure(), pose_2d[None])
    lifted = lift(unsure, pose_2d, four)
    for frame, joint in ((0, 0), (5, 3), (11, 16)):
        points = drawn[:, frame, joint].double()
        squares = [float(((point - points.mean(dim=0)) ** 2).sum()) for point in points]
        assert float(lifted.spread[frame, joint]) == pytest.approx((sum(squares) / 4) ** 0.5, rel=1e-4)
    # At half the model's rate every other frame is the video's.
    halved = lift(unsure, pose_2d[:6], four, fps=30, model_fps=60)
    between = (pose_2d[:5] + pose_2d[1:6]) / 2
    doubled = torch.stack([pose_2d[:5], between], dim=1).flatten(0, 1)
    expected = lift(unsure, torch.cat([doubled, pose_2d[5:6]]), four)
    torch.testing.assert_close(halved.spread, expected.spread[::2], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(halved.poses, expected.poses[::2], atol=1e-5, rtol=1e-4)


def test_a_height_scales_the_poses_and_their_uncertainty():
    poses = torch.zeros(3, 17, 3)
    for place, joint in enumerate(("pelvis", "spine", "thorax", "neck", "head")):  # 4 units
        poses[:, H36M_17.index(joint), 1] = -float(place)
    for side, shin in (("left", 2.0), ("right", 1.0)):  # 4 and 3 units, 3.5 in the mean
        poses[:, H36M_17.index(f"{side}_knee"), 1] = 2.0
        poses[:, H36M_17.index(f"{side}_ankle"), 1] = 2.0 + shin
    lifted = Lifted(
        poses=poses, spread=torch.rand(3, 17), kept=None, windows=1, window_frames=12, seconds=1.0
    )
    scaled, factor = scaled_to(lifted, 1.8), (1 - 0.039) * 1.8 / 7.5
    torch.testing.assert_close(scaled.poses, factor * poses)
    torch.testing.assert_close(scaled.spread, factor * lifted.spread)


@pytest.mark.parametrize("flip", [True, False])
def test_the_frames_told_are_those_of_hypothesis_one_at_the_last_step(flip):
    """Against each sequence pruned alone, as the denoiser was given it."""
    model, calls = contender("htp").denoiser, []
    windows = torch.rand(3, 12, 17, 2, generator=torch.Generator().manual_seed(4)) - 0.5

    class Watching(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, pose_2d, noisy, timestep):
            calls.extend(zip(pose_2d, noisy, timestep, strict=True))
            return self.model(pose_2d, noisy, timestep)

    ways = dataclasses.replace(SAMPLING, flip=flip, hypotheses=3)
    with torch.no_grad():
        found = observe(Watching(), windows, ways)
        last = min(int(time) for *_, time in calls)
        for window, kept in zip(windows, found.kept, strict=True):
            first = next(call for call in calls if call[2] == last and torch.equal(call[0], window))
            with record(model) as seen:
                model(*(part[None] for part in first))
            assert seen.kept[0].index[0].tolist() == kept.tolist()
    assert len({tuple(kept.tolist()) for kept in found.kept}) > 1


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


def test_the_seconds_are_those_that_lifting_took(monkeypatch):
    """By a clock that stands at a thousand and goes on by two seconds in each call of the denoiser."""
    calls = []

    class Slow(Answer):
        def forward(self, pose_2d, noisy, timestep):
            calls.append(len(pose_2d))
            return super().forward(pose_2d, noisy, timestep)

    clock = SimpleNamespace(perf_counter=lambda: 1000.0 + 2.0 * len(calls))
    monkeypatch.setattr("htp_diffusion.lifting.lifted.time", clock)
    slow = dataclasses.replace(answering(12), denoiser=Slow())
    lifted = lift(slow, torch.rand(50, 17, 2) - 0.5, SAMPLING)
    assert len(calls) >= 2 * 3  # steps and batches
    assert lifted.seconds == 2.0 * len(calls)


def test_progress_is_told():
    seen = []
    lift(
        answering(12),
        torch.rand(50, 17, 2),
        SAMPLING,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]
