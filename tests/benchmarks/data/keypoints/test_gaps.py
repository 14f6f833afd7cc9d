"""What was missed is filled in on a line and marked; what was seen stays as it is."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.detections import Track
from htp_diffusion.data.keypoints.gaps import LONG_GAP, fill, runs
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.layouts import COCO_17

ALL = torch.ones(17, dtype=torch.bool)


def track(frames, seed=0, confidence=None):
    generator = torch.Generator().manual_seed(seed)
    joints = 500 * torch.rand(len(frames), 17, 2, generator=generator)
    seen = torch.ones(len(frames), 17) if confidence is None else confidence
    return Track(number=0, frames=torch.tensor(frames), joints=joints, confidence=seen)


@given(
    frames=st.sets(st.integers(0, 60), min_size=1, max_size=30),
    seed=st.integers(0, 1000),
    missing=st.floats(0, 0.9),
)
def test_filling_is_linear_interpolation_of_what_was_seen(frames, seed, missing):
    ordered = sorted(frames)
    scores = torch.rand(len(ordered), 17, generator=torch.Generator().manual_seed(seed))
    scores = torch.where(scores < missing, 0.1, scores.clamp(min=0.3))
    scores[0] = 1.0  # every joint once
    person = track(ordered, seed, scores)
    filled = fill(person, H36M_17, ALL, least=0.3)  # a layout without a face: nothing is lent
    assert filled.frames.tolist() == list(range(ordered[0], ordered[-1] + 1))
    place = torch.tensor(ordered) - ordered[0]
    for joint in range(17):
        seen = scores[:, joint] >= 0.3
        known = np.array(ordered)[seen.numpy()]
        expected = np.stack(
            [np.interp(filled.frames, known, person.joints[seen, joint, axis]) for axis in (0, 1)], axis=-1
        )
        np.testing.assert_allclose(filled.joints[:, joint], expected, rtol=1e-5, atol=1e-3)
        assert torch.equal(filled.joints[place, joint][seen], person.joints[seen, joint])
        assert set(filled.frames[~filled.filled[:, joint]].tolist()) == set(known.tolist())
    assert (filled.confidence[filled.filled] == 0).all()
    assert torch.equal(filled.gap > 0, filled.filled.all(dim=1))
    assert filled.frames[filled.gap == 0].tolist() == person.frames[(scores >= 0.3).any(dim=1)].tolist()


@given(length=st.integers(1, 40))
@example(length=LONG_GAP)
@example(length=LONG_GAP + 1)
def test_long_gaps_are_marked_as_such(length):
    filled = fill(track([0, 1, 2 + length, 3 + length]), COCO_17, ALL)
    expected = [0, 0, *[2 if length > LONG_GAP else 1] * length, 0, 0]
    assert filled.gap.tolist() == expected


def test_joints_of_low_confidence_are_missing():
    scores = torch.ones(5, 17)
    scores[2, 9] = 0.29
    person = track(range(5), confidence=scores)
    filled = fill(person, COCO_17, ALL, least=0.3)
    assert filled.filled.nonzero().tolist() == [[2, 9]]
    torch.testing.assert_close(filled.joints[2, 9], (person.joints[1, 9] + person.joints[3, 9]) / 2)
    assert not filled.gap.any()
    assert not fill(person, COCO_17, ALL, least=0.2).filled.any()
    scores[2, 9] = 0.0
    assert fill(person, COCO_17, ALL, least=0.0).filled.sum() == 1  # never found, whatever the threshold


def test_of_a_face_from_the_side_the_far_half_is_where_the_near_one_is():
    scores = torch.ones(4, 17)
    scores[1:3, COCO_17.index("left_ear")] = 0.0
    scores[:, COCO_17.index("right_eye")] = 0.0
    person = track(range(4), confidence=scores)
    filled = fill(person, COCO_17, ALL)
    left, right = COCO_17.index("left_ear"), COCO_17.index("right_ear")
    assert torch.equal(filled.joints[1:3, left], person.joints[1:3, right])
    assert torch.equal(filled.joints[:, 2], person.joints[:, 1])
    assert filled.filled[1:3, left].all()
    assert filled.filled[:, 2].all()


def test_a_joint_that_is_never_seen_is_refused_if_it_is_needed():
    scores = torch.ones(4, 17)
    scores[:, [15, 16]] = 0.0
    person = track(range(4), confidence=scores)
    with pytest.raises(BenchmarkError, match=r"left_ankle, right_ankle never seen with a confidence of 0\.2"):
        fill(person, COCO_17, ALL)
    needed = ALL.clone()
    needed[15:] = False
    assert torch.isfinite(fill(person, COCO_17, needed).joints).all()


def test_frames_far_apart_are_refused():
    with pytest.raises(BenchmarkError, match="frames 0 to 10000000000 are over 1000000 frames"):
        fill(track([0, 10**10]), COCO_17, ALL)


@given(marks=st.lists(st.booleans(), max_size=30))
def test_runs_are_the_marked_frames(marks):
    found = runs(torch.tensor(marks, dtype=torch.bool))
    frames = [frame for start, end in found for frame in range(start, end)]
    assert frames == [frame for frame, marked in enumerate(marks) if marked]
    assert all(end < start for (_, end), (start, _) in pairwise(found))
