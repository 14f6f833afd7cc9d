import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.labelled import ClipSet, LabelledClip
from htp_diffusion.data.motion import Motion, view, windows
from htp_diffusion.data.protocol import EVERY_FRAME, cut_clips, place_root, protocol_named
from htp_diffusion.pose.cameras import camera_at
from htp_diffusion.pose.layout import H36M_17, MPI_INF_3DHP_17
from htp_diffusion.pose.space import CAMERA_METRES

CAMERA = camera_at(torch.tensor([0.0, 0.0, 1.0]), 45.0)


def clip(frames, name="S9/Walking", valid=None):
    """A clip whose first 2D coordinate is the number of the frame."""
    positions = torch.randn(frames, 17, 3, generator=torch.Generator().manual_seed(frames)) * 0.2
    seen = view(Motion(name=name, positions=positions, fps=50.0), CAMERA)
    seen.pose_2d[:, 0, 0] = torch.arange(frames)
    return LabelledClip(clip=seen, subject="S9", action=name.split("/")[1].split(" ")[0], valid=valid)


def clip_set(pck_joints=None):
    return ClipSet(
        description="d", camera="c", space=CAMERA_METRES, actions=("Walking",), clips=(clip(5),),
        pck_joints=pck_joints,
    )  # fmt: skip


D3DP = protocol_named("d3dp", clip_set())
D3DP_3DHP = protocol_named("d3dp", clip_set((0, 1)))
MOTIONBERT = protocol_named("motionbert", clip_set())


def counts(length, num_frames, protocol, **options):
    """How often each frame counts, and the window that it counts in last."""
    [(_, windows)] = cut_clips([clip(length, **options)], num_frames, protocol)
    counted, window_of = [0] * length, [None] * length
    for number, (frames, scored) in enumerate(zip(windows.pose_2d[:, :, 0, 0], windows.scored, strict=True)):
        for frame, counts_here in zip(frames.int().tolist(), scored.tolist(), strict=True):
            counted[frame] += counts_here
            window_of[frame] = number if counts_here else window_of[frame]
    return counted, window_of


def test_d3dp_counts_the_frames_that_two_windows_share_twice():
    # Frames 0-3, 4-7 and 6-9.
    assert counts(10, 4, D3DP) == ([1] * 6 + [2, 2, 1, 1], [0] * 4 + [1, 1, 2, 2, 2, 2])
    assert counts(8, 4, D3DP)[0] == [1] * 8


def test_every_frame_counts_once_in_the_first_window_that_has_it():
    assert counts(10, 4, EVERY_FRAME) == ([1] * 10, [0] * 4 + [1] * 4 + [2] * 2)


def test_the_script_of_mpi_inf_3dhp_sees_the_last_window_that_has_a_frame():
    assert counts(10, 4, D3DP_3DHP) == ([1] * 10, [0] * 4 + [1] * 2 + [2] * 4)


def test_motionbert_drops_what_does_not_fill_a_window():
    assert counts(10, 4, MOTIONBERT)[0] == [1] * 8 + [0, 0]
    assert counts(8, 4, MOTIONBERT)[0] == [1] * 8


@given(st.integers(1, 60), st.integers(1, 25))
def test_windows_are_those_of_the_public_loops(length, num_frames):
    """D3DP's eval_data_prepare and MotionBERT's split_clips, as loops over frame numbers."""
    frames = list(range(length))
    padded = frames + [length - 1] * (num_frames - length)
    d3dp = [frames[i : i + num_frames] for i in range(0, length - num_frames, num_frames)]
    d3dp.append(padded[-num_frames:])
    whole = [frames[i : i + num_frames] for i in range(0, length - num_frames + 1, num_frames)] or [padded]
    for tail, expected in (("first", d3dp), ("last", d3dp), ("both", d3dp), ("dropped", whole)):
        taken = windows(clip(length).clip, num_frames, tail)
        assert taken.pose_2d[:, :, 0, 0].int().tolist() == expected
        counted = np.zeros(length + num_frames, dtype=int)
        for start, scored in zip(taken.start.tolist(), taken.scored.numpy(), strict=True):
            counted[start : start + num_frames] += scored
        assert not counted[length:].any()
        if tail in ("first", "last"):
            assert (counted[:length] == 1).all()
        if tail == "both":
            shared = -length % num_frames if length > num_frames else 0
            assert counted.sum() == length + shared
        if tail == "dropped":
            assert counted.sum() == (length // num_frames * num_frames or length)


@pytest.mark.parametrize("protocol", [EVERY_FRAME, D3DP, D3DP_3DHP, MOTIONBERT])
def test_a_clip_shorter_than_a_window_is_padded_and_the_padding_does_not_count(protocol):
    short = clip(3)
    [(_, windows)] = cut_clips([short], 5, protocol)
    assert windows.scored.tolist() == [[True] * 3 + [False] * 2]
    for name in ("pose_2d", "pose_3d", "root"):
        value, source = getattr(windows, name)[0], getattr(short.clip, name)
        assert torch.equal(value, torch.cat([source, source[-1:], source[-1:]]))


def test_frames_that_are_not_valid_do_not_count_and_windows_without_any_are_left_out():
    valid = torch.tensor([False] * 4 + [True, False, True, False] + [True, True])
    assert counts(10, 4, EVERY_FRAME, valid=valid)[0] == valid.int().tolist()
    [(_, windows)] = cut_clips([clip(10, valid=valid)], 4, EVERY_FRAME)
    assert windows.start.tolist() == [4, 6]
    assert counts(3, 5, D3DP, valid=torch.tensor([True, True, False]))[0] == [1, 1, 0]


def test_motionbert_leaves_three_trials_out():
    trials = ("Greeting", "Greeting 1", "SittingDown 1", "SittingDown", "Waiting 1", "Waiting")
    clips = [clip(6, f"S9/{trial}") for trial in trials] + [clip(6, "S11/Greeting")]
    kept = [item.motion for item, _ in cut_clips(clips, 3, MOTIONBERT)]
    assert kept == ["S9/Greeting 1", "S9/SittingDown", "S9/Waiting", "S11/Greeting"]
    assert len(cut_clips(clips, 3, D3DP)) == 7


def test_the_papers_protocol_is_d3dps():
    for found in (clip_set(), clip_set((0,))):
        paper = protocol_named("paper", found)
        assert dataclasses.replace(paper, name="d3dp") == protocol_named("d3dp", found)
        assert protocol_named("every-frame", found) == EVERY_FRAME


def test_every_so_many_windows_of_each_clip():
    found = cut_clips([clip(24), clip(5)], 4, EVERY_FRAME, every=3)
    assert [windows.start.tolist() for _, windows in found] == [[0, 12], [0]]
    with pytest.raises(BenchmarkError, match="every expects at least 1, got 0"):
        cut_clips([clip(8)], 4, EVERY_FRAME, every=0)


def test_nothing_to_score_is_an_error():
    with pytest.raises(BenchmarkError, match="no frame to score: protocol motionbert counts none of the 1 "):
        cut_clips([clip(6, "S9/Greeting")], 3, MOTIONBERT)


@pytest.mark.parametrize("layout", [H36M_17, MPI_INF_3DHP_17])
def test_the_root_is_placed(layout):
    poses = torch.randn(2, 5, 17, 3)
    root = {"h36m-17": 0, "mpi-inf-3dhp-17": 14}[layout.name]
    assert place_root(poses, "as predicted", layout) is poses
    zero, moved = place_root(poses, "at zero", layout), place_root(poses, "subtracted", layout)
    for joint in range(17):
        expected = poses[:, :, joint] * (joint != root)
        assert torch.equal(zero[:, :, joint], expected)
        assert torch.equal(moved[:, :, joint], poses[:, :, joint] - poses[:, :, root])
