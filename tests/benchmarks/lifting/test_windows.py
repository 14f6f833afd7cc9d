"""Windows overlap, and blended they give back what they were cut from."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.lifting.frame_rate import nearest, places_among, positions_at, sample_at
from htp_diffusion.lifting.windows import blend, cut_windows, leading_window, window_starts

SIZES = {"length": st.integers(1, 100), "num_frames": st.integers(1, 30)}


@given(**SIZES)
def test_every_frame_lies_in_a_window_and_inner_ones_in_two(length, num_frames):
    starts = window_starts(length, num_frames)
    covered = torch.zeros(length, dtype=torch.long)
    for start in starts.tolist():
        assert start == 0 or start + num_frames <= length
        covered[start : start + num_frames] += 1
    assert (covered >= 1).all()
    half = num_frames // 2
    if length >= 2 * num_frames and num_frames > 1:
        assert (covered[half : length - half] >= 2).all()
    assert starts.diff().gt(0).all()


@given(**SIZES, seed=st.integers(0, 100))
def test_blending_windows_of_a_clip_gives_the_clip(length, num_frames, seed):
    clip = torch.randn(length, 3, 2, generator=torch.Generator().manual_seed(seed))
    starts = window_starts(length, num_frames)
    windows = cut_windows(clip, starts, num_frames)
    assert windows.shape == (len(starts), num_frames, 3, 2)
    torch.testing.assert_close(blend(windows, starts, length), clip)
    window, place = leading_window(starts, length, num_frames)
    assert torch.equal(windows[window, place], clip)


@given(**SIZES)
def test_the_leading_window_is_the_first_of_those_that_count_most(length, num_frames):
    starts = window_starts(length, num_frames)
    place = torch.arange(length) - starts[:, None]
    weight = torch.minimum(place + 1, num_frames - place)  # from 1 at both ends; below outside
    window, where = leading_window(starts, length, num_frames)
    assert torch.equal(window, weight.argmax(dim=0))
    assert torch.equal(where, torch.arange(length) - starts[window])


def test_after_a_short_clip_its_last_frame_is_held():
    clip = torch.arange(3.0)[:, None, None]
    windows = cut_windows(clip, window_starts(3, 5), 5)
    assert windows.flatten().tolist() == [0, 1, 2, 2, 2]


def test_a_blend_goes_evenly_from_one_window_to_the_next():
    starts = window_starts(8, 6)
    assert starts.tolist() == [0, 2]
    windows = torch.stack([torch.zeros(6, 1), torch.ones(6, 1)])
    # Weights 1 2 3 3 2 1 from frame 0 on, and from frame 2 on.
    expected = [0, 0, 1 / 4, 2 / 5, 3 / 5, 3 / 4, 1, 1]
    torch.testing.assert_close(blend(windows, starts, 8).flatten(), torch.tensor(expected))


@given(length=st.integers(1, 60), fps=st.floats(5, 120), wanted=st.floats(5, 120))
def test_a_line_in_time_stays_the_line_at_another_rate_and_back(length, fps, wanted):
    clip = torch.arange(float(length), dtype=torch.float64) / fps  # each frame's time
    there = sample_at(clip, positions_at(length, fps, wanted))
    torch.testing.assert_close(there[:-1], torch.arange(len(there) - 1, dtype=torch.float64) / wanted)
    torch.testing.assert_close(there[-1], clip[-1])  # the last frame is not left out
    assert not len(there) > 1 or there[-1] - there[-2] < 1 / wanted + 1e-6
    frames = torch.arange(length, dtype=torch.float64)
    back = sample_at(there, places_among(frames, positions_at(length, fps, wanted)))
    torch.testing.assert_close(back, clip)


def test_the_same_rate_changes_nothing():
    clip = torch.randn(7, 17, 2)
    assert torch.equal(sample_at(clip, positions_at(7, 60, 60)), clip)
    assert nearest(5, torch.tensor([0.4, 0.6, 9.0])).tolist() == [0, 1, 4]


@pytest.mark.parametrize("rates", [(0.0, 60.0), (60.0, -1.0), (float("nan"), 60.0)])
def test_rates_that_are_none(rates):
    with pytest.raises(BenchmarkError, match="frames a second above 0"):
        positions_at(5, *rates)
