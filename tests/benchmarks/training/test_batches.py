"""Training batches: windows by seed and step, of motions and of clips."""

import dataclasses

import pytest
import torch
from training_runs import small_motions

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Clip, view
from htp_diffusion.pose.cameras import virtual_cameras
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.pose.layout import MPI_INF_3DHP_17
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.training.batches import ClipBatches, step_generator
from htp_diffusion.training.pace import Pace, drawn_ahead
from htp_diffusion.training.virtual import VirtualBatches


@pytest.fixture(scope="module")
def motions():
    return small_motions()


@pytest.fixture(scope="module")
def clips(motions):
    camera = virtual_cameras(motions[0].positions)[0]
    return [view(motion, camera, torch.Generator().manual_seed(1)) for motion in motions]


def test_batches_repeat_by_seed_and_step_and_differ_between_them(motions):
    batches = VirtualBatches(motions, num_frames=9, batch_size=3)
    first, again = (batches.draw(step_generator(0, 7)) for _ in range(2))
    assert torch.equal(first.pose_2d, again.pose_2d)
    assert torch.equal(first.pose_3d, again.pose_3d)
    for other in (step_generator(0, 8), step_generator(1, 7)):
        assert not torch.equal(first.pose_3d, batches.draw(other).pose_3d)


def test_batches_hold_root_relative_poses_with_the_bones_of_their_motion(motions):
    batch = VirtualBatches(motions[:1], num_frames=9, batch_size=4).draw(step_generator(0, 0))
    assert batch.pose_2d.shape == (4, 9, 17, 2)
    assert torch.equal(batch.pose_3d[:, :, 0], torch.zeros(4, 9, 3))
    thigh = (batch.pose_3d[:, :, 2] - batch.pose_3d[:, :, 1]).norm(dim=-1)
    expected = (motions[0].positions[0, 2] - motions[0].positions[0, 1]).norm()
    torch.testing.assert_close(thigh, thigh[:, :1].expand_as(thigh), rtol=2e-3, atol=0)  # between two frames
    torch.testing.assert_close(thigh, expected.expand_as(thigh), rtol=0.062, atol=0)  # of another body


def test_an_epoch_holds_as_many_frames_as_the_motions(motions):
    assert VirtualBatches(motions, num_frames=10, batch_size=3).steps_per_epoch == 4  # 120 / 30


def test_motion_shorter_than_a_window_is_named(motions):
    with pytest.raises(BenchmarkError, match=r"windows of 61 frames.*\(60\)"):
        VirtualBatches(motions, num_frames=61, batch_size=1)
    with pytest.raises(BenchmarkError, match="got none"):
        VirtualBatches([], num_frames=9, batch_size=1)


def test_windows_of_clips_are_cut_from_them_half_of_them_mirrored(clips):
    """Every window is found in its clip, as it is or mirrored, 2D and 3D at the same place."""
    batch = ClipBatches(clips, num_frames=9, batch_size=64).draw(step_generator(0, 0))
    starts, mirrored = set(), 0
    for pose_2d, pose_3d in zip(batch.pose_2d, batch.pose_3d, strict=True):
        places = [
            (clip.name, first, turned)
            for clip in clips
            for first in range(len(clip.pose_3d) - 9 + 1)
            for turned in (False, True)
            if torch.equal(flip_pose(pose_3d) if turned else pose_3d, clip.pose_3d[first : first + 9])
        ]
        assert len(places) == 1
        name, first, turned = places[0]
        clip = next(clip for clip in clips if clip.name == name)
        expected = clip.pose_2d[first : first + 9]
        assert torch.equal(pose_2d, flip_pose(expected) if turned else expected)
        starts.add((name, first))
        mirrored += turned
    assert {name for name, _ in starts} == {clip.name for clip in clips}
    assert len(starts) > 30
    assert 20 <= mirrored <= 44  # of 64 fair coins, but for one in a thousand


def test_the_mirror_exchanges_the_sides_of_the_layout(clips):
    space = dataclasses.replace(CAMERA_METRES, layout=MPI_INF_3DHP_17)
    drawn, plain = (ClipBatches(clips, 9, 16, *given).draw(step_generator(0, 0)) for given in ((space,), ()))
    for pose, other in ((drawn.pose_2d, plain.pose_2d), (drawn.pose_3d, plain.pose_3d)):
        turned = flip_pose(flip_pose(other), MPI_INF_3DHP_17)  # back by the one layout, there by the other
        mirrored = [torch.equal(one, two) for one, two in zip(pose, turned, strict=True)]
        assert mirrored == [not torch.equal(one, two) for one, two in zip(pose, other, strict=True)]
        assert len(set(mirrored)) == 2


def test_every_frame_of_a_clip_can_be_drawn(clips):
    batch = ClipBatches(clips[:1], num_frames=len(clips[0].pose_3d) - 1, batch_size=32).draw(
        step_generator(0, 1)
    )
    firsts = {
        first
        for pose in batch.pose_3d
        for first in (0, 1)
        for window in [clips[0].pose_3d[first : first + len(pose)]]
        if torch.equal(pose, window) or torch.equal(pose, flip_pose(window))
    }
    assert firsts == {0, 1}


def test_clips_repeat_by_seed_and_step_and_tell_what_they_are(clips):
    batches = ClipBatches(clips, num_frames=10, batch_size=3)
    first, again = (batches.draw(step_generator(2, 5)) for _ in range(2))
    assert torch.equal(first.pose_2d, again.pose_2d)
    assert not torch.equal(first.pose_2d, batches.draw(step_generator(2, 6)).pose_2d)
    assert (batches.steps_per_epoch, batches.names) == (4, [clip.name for clip in clips])  # 120 / 30
    assert batches.space == CAMERA_METRES


def test_clips_that_cannot_be_drawn_from_are_named(clips: list[Clip]):
    with pytest.raises(BenchmarkError, match=r"windows of 61 frames need clips.*\(60\)"):
        ClipBatches(clips, num_frames=61, batch_size=1)
    with pytest.raises(BenchmarkError, match="names of their own"):
        ClipBatches([clips[0], clips[0]], num_frames=9, batch_size=1)
    with pytest.raises(BenchmarkError, match="at least 1 window, got 0"):
        ClipBatches(clips, num_frames=9, batch_size=0)


def test_drawing_ahead_changes_nothing(motions):
    batches = VirtualBatches(motions, num_frames=9, batch_size=2)
    drawn = list(drawn_ahead(lambda step: batches.draw(step_generator(0, step)), range(3, 6)))
    assert [step for step, _, _ in drawn] == [3, 4, 5]
    for step, batch, seconds in drawn:
        assert torch.equal(batch.pose_2d, batches.draw(step_generator(0, step)).pose_2d)
        assert seconds > 0
    assert list(drawn_ahead(str, range(0))) == []


def test_an_error_while_drawing_ahead_is_that_of_its_step():
    def draw(step):
        if step == 2:
            raise BenchmarkError("no step 2")
        return step

    drawn = drawn_ahead(draw, range(4))
    assert [next(drawn)[1] for _ in range(2)] == [0, 1]
    with pytest.raises(BenchmarkError, match="no step 2"):
        next(drawn)


def test_the_pace_is_told_with_the_model_and_without():
    pace = Pace()
    assert pace.describe() == "windows/s: no step was done"
    pace.count(10, seconds=1.0, drawing=0.1, waiting=0.0)
    pace.count(10, seconds=1.0, drawing=0.1, waiting=0.5)
    assert pace.describe() == (
        "windows/s: 10 with the model, 100 by the data alone; 25.0 % of the time waiting for data"
    )
