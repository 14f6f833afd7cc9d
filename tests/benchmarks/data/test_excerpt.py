"""Excerpts of windows, and the mean errors of one denoiser on them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Clip, shorter_windows, windows
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.scoring.draw_and_score import grade


def numbered(length: int) -> Clip:
    """A clip whose coordinates are the number of the frame."""
    clip = embedded_set(8).clips[0]
    frame = torch.arange(length, dtype=torch.float32)
    return Clip(
        name="numbered",
        pose_2d=frame[:, None, None].expand(-1, 17, 2),
        pose_3d=frame[:, None, None].expand(-1, 17, 3),
        root=frame[:, None].expand(-1, 3),
        camera=clip.camera,
        fps=60.0,
    )


@given(length=st.integers(12, 60), frames=st.integers(1, 12), every=st.integers(1, 4))
@settings(max_examples=40)
def test_shorter_windows_score_the_same_frames_once(length, frames, every):
    taken = windows(numbered(length), 12).every(every)
    short = shorter_windows(taken, frames)
    assert short.pose_2d.shape[1:] == (frames, 17, 2)
    expected = [
        frame
        for window in range(0, -(-length // 12), every)
        for frame in range(12 * window, min(12 * (window + 1), length))
    ]
    for one in (taken, short):
        assert one.pose_3d[one.scored][:, 0, 0].tolist() == expected
        assert one.pose_2d[one.scored][:, 0, 0].tolist() == expected
        assert one.root[one.scored][:, 0].tolist() == expected
        assert one.pose_3d[:, 0, 0, 0].tolist() == one.start.tolist()


def test_windows_of_the_same_length_stay_as_they_are():
    clip = windows(numbered(30), 12)
    same = shorter_windows(clip, 12)
    assert all(
        torch.equal(getattr(same, name), getattr(clip, name)) for name in ("pose_2d", "scored", "start")
    )


def test_what_cannot_be_cut_is_told():
    clip = windows(numbered(30), 12)
    with pytest.raises(BenchmarkError, match="windows of 12 frames cannot be cut into windows of 13"):
        shorter_windows(clip, 13)
    with pytest.raises(BenchmarkError, match="every expects at least 1, got 0"):
        clip.every(0)


def test_a_denoiser_that_says_zero_errs_by_the_poses_themselves():
    class Zero(nn.Module):
        def forward(self, pose_2d, noisy, timestep):
            return torch.zeros_like(noisy)

    clips = [windows(clip, 5) for clip in embedded_set(6).clips[:2]]  # 12 frames: the last window overlaps
    sampling = Sampling(hypotheses=2, steps=2, eta=1.0, flip=True, seed=0, batch_size=4, max_batch=8)
    errors = grade(Zero(), clips, sampling, torch.device("cpu"))
    poses = torch.cat([clip.pose_3d for clip in embedded_set(6).clips[:2]])
    assert errors.mpjpe == pytest.approx(1000 * poses.norm(dim=-1).mean().item(), rel=1e-5)
