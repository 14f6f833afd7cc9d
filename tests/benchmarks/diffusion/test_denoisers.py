"""What is put around a denoiser: mirrored copies, calls of bounded size, a cheaper one at early steps."""

import math

import pytest
import torch
from drawing import drawn, drawn_steps
from hypothesis import given
from hypothesis import strategies as st
from networks_2d import Recorder, equivariant, flip_joints, lift, lopsided, poses_2d, seeded

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.denoisers import cheaper_early, in_chunks, seeing, with_flip
from htp_diffusion.diffusion.schedule import cosine_schedule

SCHEDULE = cosine_schedule()


def test_flip_changes_nothing_for_an_equivariant_denoiser():
    options = {"schedule": SCHEDULE, "steps": 5, "hypotheses": 2}
    plain = drawn(equivariant, poses_2d(), generator=seeded(), **options)
    averaged = drawn(equivariant, poses_2d(), generator=seeded(), flip=flip_joints, **options)
    torch.testing.assert_close(averaged, plain, rtol=0, atol=1e-12)


def test_flip_makes_any_denoiser_equivariant():
    def lopsided_lift(pose_2d, noisy, timestep):
        return lopsided(pose_2d, torch.zeros_like(noisy), timestep)

    options = {"schedule": SCHEDULE, "steps": 3, "flip": flip_joints}
    straight = drawn(lopsided_lift, poses_2d(), generator=seeded(), **options)
    mirrored = drawn(lopsided_lift, flip_joints(poses_2d()), generator=seeded(), **options)
    torch.testing.assert_close(mirrored, flip_joints(straight), rtol=0, atol=1e-12)


@given(st.integers(1, 3), st.integers(1, 4), st.booleans(), st.integers(1, 30))
def test_chunks_change_nothing_and_stay_within_the_limit(batch, hypotheses, flips, max_batch):
    pose_2d = poses_2d(batch, 2)
    options = {
        "schedule": SCHEDULE,
        "steps": 3,
        "hypotheses": hypotheses,
        "flip": flip_joints if flips else None,
    }
    whole, chunked = Recorder(lopsided), Recorder(lopsided)
    expected = drawn(whole, pose_2d, generator=seeded(), **options)
    found = drawn(chunked, pose_2d, generator=seeded(), max_batch=max_batch, **options)
    assert torch.equal(found, expected)
    assert found.shape == (batch, hypotheses, 2, 5, 3)

    folded = batch * hypotheses * (2 if flips else 1)
    assert [len(noisy) for _, noisy, _ in whole.calls] == [folded] * 3
    sizes = [len(noisy) for _, noisy, _ in chunked.calls]
    assert len(sizes) == 3 * math.ceil(folded / max_batch)
    assert sum(sizes) == 3 * folded
    assert max(sizes) <= max_batch
    assert max(sizes) - min(sizes) <= 1
    for pose, noisy, timestep in chunked.calls:
        assert len(pose) == len(noisy) == len(timestep)
        assert timestep.dtype == torch.int64


@pytest.mark.parametrize("flip", [None, flip_joints])
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_early_predicts_at_every_step_but_the_last(steps, flip):
    # Whatever came before, the last step's prediction is the result.
    pose_2d, chunks = poses_2d(), 2
    early, last = Recorder(lopsided), Recorder(lift)
    result = drawn(
        last, pose_2d, schedule=SCHEDULE, steps=steps, hypotheses=2, flip=flip, generator=seeded(),
        early=early, max_batch=2 * len(pose_2d) * (1 if flip is None else 2) // chunks,
    )  # fmt: skip
    expected = lift(pose_2d, None, None)[:, None].expand(-1, 2, -1, -1, -1)
    torch.testing.assert_close(result, expected, rtol=0, atol=1e-12)
    assert (len(early.calls), len(last.calls)) == ((steps - 1) * chunks, chunks)
    times = [timestep for timestep, _ in SCHEDULE.ddim_timesteps(steps)]
    assert [int(timestep[0]) for _, _, timestep in early.calls[::chunks]] == times[:-1]
    assert int(last.calls[0][2][0]) == times[-1]


def test_early_steps_are_those_of_sampling_with_early_alone():
    options = {"schedule": SCHEDULE, "steps": 4, "hypotheses": 2, "flip": flip_joints}
    mixed = list(drawn_steps(lift, poses_2d(), generator=seeded(), early=lopsided, **options))
    alone = list(drawn_steps(lopsided, poses_2d(), generator=seeded(), **options))
    assert all(torch.equal(a, b) for a, b in zip(mixed[:-1], alone[:-1], strict=True))
    assert not torch.equal(mixed[-1], alone[-1])
    same = list(drawn_steps(lopsided, poses_2d(), generator=seeded(), early=lopsided, **options))
    assert all(torch.equal(a, b) for a, b in zip(same, alone, strict=True))


def test_no_gradient_is_kept_and_inference_mode_works():
    pose_2d = poses_2d().requires_grad_()
    assert not drawn(lopsided, pose_2d, schedule=SCHEDULE, steps=2, generator=seeded()).requires_grad
    plain = drawn(lopsided, poses_2d(), schedule=SCHEDULE, steps=2, generator=seeded())
    with torch.inference_mode():
        inferred = drawn(lopsided, poses_2d(), schedule=SCHEDULE, steps=2, generator=seeded())
    assert torch.equal(plain, inferred)


def test_a_denoiser_shows_every_hypothesis_its_own_2d_pose():
    pose_2d = poses_2d(batch=2)
    seen = Recorder(lift)
    noisy = torch.zeros(6, 4, 5, 3, dtype=torch.float64)
    seeing(seen, pose_2d, 3)(noisy, 42)
    [(condition, given, timestep)] = seen.calls
    assert torch.equal(condition, pose_2d[[0, 0, 0, 1, 1, 1]])
    assert given is noisy
    assert timestep.tolist() == [42] * 6


def test_flip_is_the_mean_with_the_mirrored_prediction_mirrored_back():
    pose_2d, noisy, time = poses_2d(), torch.randn(2, 4, 5, 3, dtype=torch.float64), torch.tensor([7, 9])
    found = with_flip(lopsided, flip_joints)(pose_2d, noisy, time)
    mirrored = flip_joints(lopsided(flip_joints(pose_2d), flip_joints(noisy), time))
    torch.testing.assert_close(found, (lopsided(pose_2d, noisy, time) + mirrored) / 2, rtol=0, atol=1e-15)


def test_no_limit_leaves_the_network_as_it_is():
    assert in_chunks(lift, None) is lift
    with pytest.raises(BenchmarkError, match="max_batch of at least one sequence, got 0"):
        in_chunks(lift, 0)


def test_the_last_step_has_a_denoiser_of_its_own():
    both = cheaper_early(lambda noisy, time: ("early", time), lambda noisy, time: ("last", time), 332)
    assert [both(None, time) for time in (999, 665, 332)] == [("early", 999), ("early", 665), ("last", 332)]
