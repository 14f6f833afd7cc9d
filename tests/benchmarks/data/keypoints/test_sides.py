"""Left and right are put right where a detector changed them, and left alone where it did not."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.data.keypoints.detections import Track
from htp_diffusion.data.keypoints.sides import swap_back, swapped_frames
from htp_diffusion.pose.layouts import BODY_25, COCO_17, HALPE_26


def turning(layout, frames=60, speed=0.02, noise=0.003, seed=0):
    """Somebody 400 pixels high who turns around at ``speed`` radians a frame."""
    generator = torch.Generator().manual_seed(seed)
    body = torch.rand(layout.num_joints, 2, generator=generator) * torch.tensor([80.0, 400.0])
    for joint, y in (("shoulder", 0.0), ("ankle", 400.0)):
        body[layout.index(f"left_{joint}"), 1] = y
    body[list(layout.right), 1] = body[list(layout.left), 1]
    side = torch.zeros(layout.num_joints)
    side[list(layout.left)], side[list(layout.right)] = 60.0, -60.0
    body[:, 0] = side
    angle = 0.3 + speed * torch.arange(frames)
    x = body[:, 0] * angle.cos()[:, None]
    joints = torch.stack([x + 300, body[:, 1].expand(frames, -1) + 50], dim=-1)
    joints = joints + 400 * noise * torch.randn(joints.shape, generator=generator)
    return Track(
        number=0, frames=torch.arange(frames), joints=joints, confidence=torch.ones(frames, layout.num_joints)
    )


def changed(track, layout, frames):
    marks = torch.zeros(len(track.frames), dtype=torch.bool)
    marks[list(frames)] = True
    return swap_back(track, layout, marks), marks


@given(
    layout=st.sampled_from([COCO_17, BODY_25, HALPE_26]),
    runs=st.lists(st.tuples(st.integers(0, 55), st.integers(1, 8)), max_size=3),
    seed=st.integers(0, 50),
)
def test_swapped_runs_are_found_and_put_right(layout, runs, seed):
    person = turning(layout, speed=0.01, seed=seed)
    frames = {t for start, length in runs for t in range(start, min(60, start + length))}
    wrong, marks = changed(person, layout, frames)
    found = swapped_frames(wrong, layout)
    assert torch.equal(found, marks)
    assert torch.equal(swap_back(wrong, layout, found).joints, person.joints)


@given(speed=st.floats(-0.1, 0.1), seed=st.integers(0, 20))
def test_turning_around_is_not_a_swap(speed, seed):
    person = turning(COCO_17, frames=120, speed=speed, seed=seed)
    found = swapped_frames(person, COCO_17)
    assert found.sum() <= 2  # where the two sides pass each other, it may be either


def test_the_rarer_of_the_two_minds_is_the_wrong_one():
    person = turning(COCO_17, speed=0.0)
    wrong, marks = changed(person, COCO_17, range(40))
    assert torch.equal(swapped_frames(wrong, COCO_17), ~marks)


@pytest.mark.parametrize("frames", [1, 2])
def test_short_tracks(frames):
    assert not swapped_frames(turning(COCO_17, frames=frames), COCO_17).any()


def test_confidence_changes_sides_as_well():
    person = turning(COCO_17)
    person.confidence[:, COCO_17.index("left_wrist")] = 0.5
    wrong, _ = changed(person, COCO_17, range(10, 15))
    assert wrong.confidence[12, COCO_17.index("right_wrist")] == 0.5
    assert torch.equal(
        swap_back(wrong, COCO_17, swapped_frames(wrong, COCO_17)).confidence, person.confidence
    )


def test_joints_that_were_not_found_do_not_count():
    person = turning(COCO_17, speed=0.0)
    person.joints[20:30, 5:9] = 0.0
    person.confidence[20:30, 5:9] = 0.0
    assert not swapped_frames(person, COCO_17).any()
    assert math.isfinite(person.joints.sum())


def test_a_change_that_nobody_saw_does_not_turn_the_rest_of_the_video_around():
    """Out of sight when left became right, back when it changed back: the few frames between are marked."""
    person = turning(COCO_17, frames=300, speed=0.0)
    wrong, _ = changed(person, COCO_17, range(150, 160))
    wrong.confidence[145:150] = 0.0
    assert swapped_frames(wrong, COCO_17).nonzero().flatten().tolist()[-1] == 159
    assert int(swapped_frames(wrong, COCO_17).sum()) <= 15
