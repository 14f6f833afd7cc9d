import dataclasses

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.data.motion import Motion, Windows, view, windows
from htp_diffusion.data.window_batches import WindowBatches
from htp_diffusion.pose.cameras import virtual_cameras
from htp_diffusion.scoring.action_scores import mean_scores
from htp_diffusion.scoring.clip_scores import ClipScore, Errors, score_clip

FRAMES, LENGTH = 6, 16  # three windows, the last one overlapping the second by two frames


def clip_windows(seed: int = 0, length: int = LENGTH) -> Windows:
    generator = torch.Generator().manual_seed(seed)
    positions = torch.rand(length, 17, 3, generator=generator) + torch.tensor([0.0, 0.0, 1.0])
    motion = Motion(name=f"S/{seed}", positions=positions, fps=60.0)
    return windows(view(motion, virtual_cameras(positions)[0]), FRAMES)


def shifted(clip: Windows, *millimetres: float) -> torch.Tensor:
    """One hypothesis for each shift: the true pose moved along the camera's x."""
    offset = torch.zeros(len(millimetres), 1, 1, 3)
    offset[:, 0, 0, 0] = torch.tensor(millimetres) / 1000
    return clip.pose_3d[:, None] + offset


def test_errors_of_shifted_poses_are_the_shifts():
    clip = clip_windows()
    score = score_clip(shifted(clip, 30.0, -10.0, 40.0), clip)
    assert score.frames == LENGTH
    assert score.errors["mean"].mpjpe == pytest.approx(20.0, rel=1e-4)
    # The 2D input is clean, so the hypothesis that reprojects nearest is the nearest one.
    assert [score.errors[way].mpjpe for way in ("JPMA", "P-Best", "J-Best")] == pytest.approx(
        [10.0] * 3, 1e-3
    )
    for errors in score.errors.values():
        assert errors.p_mpjpe == pytest.approx(0.0, abs=1e-2)
        assert errors.mpjve == pytest.approx(0.0, abs=1e-2)


def test_correct_keypoints_weigh_frames():
    def clip(frames, percent):
        errors = {"mean": Errors(mpjpe=1.0, p_mpjpe=1.0, mpjve=1.0, pck=percent, auc=percent / 2)}
        return ClipScore(name="c", frames=frames, errors=errors)

    scores = mean_scores([clip(10, 90.0), clip(30, 50.0)])
    assert (scores.over_frames["mean"].pck, scores.over_frames["mean"].auc) == (60.0, 30.0)
    assert (scores.over_clips["mean"].pck, scores.over_clips["mean"].auc) == (70.0, 35.0)


def test_a_frame_that_two_windows_share_counts_once():
    clip = clip_windows()
    hypotheses = shifted(clip, 20.0)
    expected = score_clip(hypotheses, clip)
    hypotheses[~clip.scored[:, None].expand(-1, 1, -1)] += 7.0
    assert score_clip(hypotheses, clip) == expected


def test_velocity_error_sees_a_jump_between_windows():
    clip = clip_windows()
    hypotheses = shifted(clip, 0.0)
    hypotheses[1:, ..., 0] += 0.030
    errors = score_clip(hypotheses, clip).errors["mean"]
    # One of the 15 steps is wrong by 30 mm; ten of the 16 frames are.
    assert errors.mpjve == pytest.approx(30.0 / (LENGTH - 1), rel=1e-3)
    assert errors.mpjpe == pytest.approx(30.0 * 10 / LENGTH, rel=1e-3)


def test_a_single_frame_has_no_velocity():
    clip = clip_windows()
    one = dataclasses.replace(
        clip, scored=clip.scored & (torch.arange(FRAMES) == 0) & (clip.start == 0)[:, None]
    )
    score = score_clip(shifted(clip, 5.0), one)
    assert (score.frames, score.errors["mean"].mpjve) == (1, None)
    assert mean_scores([score]).over_frames["mean"].mpjve is None


def test_there_is_no_step_over_frames_that_are_not_scored():
    clip = clip_windows(length=3 * FRAMES).every(2)  # frames 0 to 5 and 12 to 17
    hypotheses = shifted(clip, 0.0)
    hypotheses[1:, ..., 0] += 0.030
    score = score_clip(hypotheses, clip)
    assert (score.frames, score.steps) == (2 * FRAMES, 2 * (FRAMES - 1))
    assert score.errors["mean"].mpjve == pytest.approx(0.0, abs=1e-3)
    # A frame in the middle that does not count takes two steps with it.
    scored = clip.scored.clone()
    scored[0, 2] = False
    assert score_clip(hypotheses, dataclasses.replace(clip, scored=scored)).steps == 2 * (FRAMES - 1) - 2


def test_velocity_errors_weigh_steps():
    def clip(steps, mpjve):
        errors = {"mean": Errors(mpjpe=1.0, p_mpjpe=1.0, mpjve=mpjve)}
        return ClipScore(name="c", frames=20, errors=errors, steps=steps)

    scores = mean_scores([clip(10, 3.0), clip(5, 6.0), clip(0, None)])
    assert scores.over_frames["mean"].mpjve == pytest.approx((10 * 3 + 5 * 6) / 15)


def test_means_weigh_frames_or_clips():
    def clip(frames, mpjpe, mpjve):
        errors = {"mean": Errors(mpjpe=mpjpe, p_mpjpe=mpjpe / 2, mpjve=mpjve)}
        return ClipScore(name="c", frames=frames, errors=errors)

    scores = mean_scores([clip(10, 40.0, 1.0), clip(31, 20.0, 4.0), clip(1, 7.0, None)])
    over_frames, over_clips = scores.over_frames["mean"], scores.over_clips["mean"]
    assert over_frames.mpjpe == pytest.approx((400 + 620 + 7) / 42)
    assert over_frames.p_mpjpe == pytest.approx((400 + 620 + 7) / 84)
    assert over_frames.mpjve == pytest.approx((9 * 1.0 + 30 * 4.0) / 39)
    assert (over_clips.mpjpe, over_clips.mpjve) == (pytest.approx(67 / 3), 2.5)


@given(cuts=st.lists(st.integers(1, 7), min_size=1, max_size=3).map(sorted), surplus=st.integers(0, 2))
def test_scores_do_not_depend_on_how_the_windows_are_batched(cuts, surplus):
    clips = [clip_windows(seed, length) for seed, length in ((0, LENGTH), (1, FRAMES), (2, 3 * FRAMES))]
    hypotheses = [shifted(clip, 10.0, 20.0) for clip in clips]
    scorer = WindowBatches(clips, 1).scorer(score_clip)
    # As in a last batch that repeats a window to be full.
    stacked = torch.cat([*hypotheses, hypotheses[-1][-1:].expand(surplus, -1, -1, -1, -1)])
    for batch in stacked.tensor_split(cuts):
        scorer.add(batch)
    assert scorer.scores == [score_clip(*pair) for pair in zip(hypotheses, clips, strict=True)]
