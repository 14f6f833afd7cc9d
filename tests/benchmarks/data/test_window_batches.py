import pytest
import torch
from written import FRAMES

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import windows
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.data.window_batches import WindowBatches, first_windows


def test_batches_are_even_and_hold_every_window_in_order():
    clips = [windows(clip, FRAMES) for clip in embedded_set(FRAMES).clips]  # 6 clips of 2 windows
    taken = first_windows(clips, 7)
    assert [len(clip.start) for clip in taken] == [2, 2, 2, 1]
    flat = torch.cat([clip.pose_2d for clip in clips])
    batches = WindowBatches(taken, 3)
    cut = torch.stack([batches[number] for number in range(len(batches))])
    assert cut.shape[:2] == (3, 3)
    assert torch.equal(cut.flatten(0, 1)[:7], flat[:7])
    assert torch.equal(cut[2, 1:], flat[[6, 6]])


def test_what_is_drawn_for_copies_is_left_out():
    clips = first_windows([windows(clip, FRAMES) for clip in embedded_set(FRAMES).clips], 5)
    batches = WindowBatches(clips, 3)
    scorer = batches.scorer(lambda drawn, clip: (clip.name, drawn))
    for number in range(len(batches)):
        # A "pose" that tells which 2D pose it was drawn for.
        scorer.add(batches[number][:, None].expand(-1, 2, -1, -1, -1))
    assert [name for name, _ in scorer.scores] == [clip.name for clip in clips]
    for (_, drawn), clip in zip(scorer.scores, clips, strict=True):
        assert torch.equal(drawn[:, 0], clip.pose_2d)
        assert torch.equal(drawn[:, 1], clip.pose_2d)


def test_a_batch_of_nothing_is_refused():
    with pytest.raises(BenchmarkError, match="batch size expects at least 1 window, got 0"):
        WindowBatches([windows(embedded_set(FRAMES).clips[0], FRAMES)], 0)
