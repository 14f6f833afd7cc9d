"""People are followed from frame to frame."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from detector_files import alphapose, mmpose, people
from fuzz.watched import measured
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.detections import Sighting
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.data.keypoints.tracks import LONGEST_LOSS, follow, numbered_by_file

SIZE = (2000, 1000)


def sightings(poses, order, *, missed=(), tracks=None):
    """Sightings of (frames, persons, joints, 3); ``order`` shuffles the persons of each frame."""
    rng = np.random.default_rng(order)
    return [
        Sighting(frame=t, joints=poses[t, i], track=None if tracks is None else tracks[i])
        for t in range(len(poses))
        for i in rng.permutation(poses.shape[1])
        if (t, i) not in missed
    ]


@given(
    persons=st.integers(1, 4),
    order=st.integers(0, 100),
    missed=st.sets(st.tuples(st.integers(1, 11), st.integers(0, 3)), max_size=15),
)
def test_people_apart_are_followed_through_any_order_and_gaps(persons, order, missed):
    poses = people(12, 17, persons)
    tracks = follow(sightings(poses, order, missed=missed))
    assert sorted(track.number for track in tracks) == list(range(persons))
    lengths = [len(track.frames) for track in tracks]
    assert lengths == sorted(lengths, reverse=True)
    assert sum(lengths) == 12 * persons - len([pair for pair in missed if pair[1] < persons])
    for track in tracks:
        assert (track.frames.diff() > 0).all()
        [who] = {
            int(np.abs(poses[t, :, 0, 0] - x).argmin())
            for t, x in zip(track.frames.tolist(), track.joints[:, 0, 0].tolist(), strict=True)
        }
        torch.testing.assert_close(track.joints, torch.from_numpy(poses[track.frames, who, :, :2]).float())


@given(order=st.integers(0, 100), persons=st.integers(1, 3))
def test_the_files_own_numbers_go_before_overlap(order, persons):
    poses = people(6, 17, persons)
    crossing = poses.copy()
    crossing[3:] = poses[3:, ::-1]  # who is where changes: boxes would follow the place
    found = sightings(crossing, order, tracks=[7, 3, 5])
    assert numbered_by_file(found)
    tracks = {track.number: track for track in follow(found)}
    assert set(tracks) == {7, 3, 5} - set([7, 3, 5][persons:])
    for i, number in enumerate([7, 3, 5][:persons]):
        torch.testing.assert_close(tracks[number].joints, torch.from_numpy(crossing[:, i, :, :2]).float())


def test_numbers_that_follow_nobody_are_not_believed(tmp_path):
    poses = people(5, 17, persons=2)
    found = read_detections(alphapose(tmp_path / "a.json", poses), image_size=SIZE)  # idx [0.0] for everybody
    assert found.followed == "overlap"
    assert [len(track.frames) for track in found.tracks] == [5, 5]
    found = read_detections(alphapose(tmp_path / "b.json", poses, tracks=[4, 9]), image_size=SIZE)
    assert (found.followed, [track.number for track in found.tracks]) == ("the file", [4, 9])
    found = read_detections(mmpose(tmp_path / "c.json", poses, tracks=[2, 1]), image_size=SIZE)
    assert (found.followed, [track.number for track in found.tracks]) == ("the file", [1, 2])


@pytest.mark.parametrize("number", [1e300, 2**31, -(2**31), 2**70])
def test_numbers_that_no_array_holds_are_none(tmp_path, number):
    poses = people(5, 17)
    for write in (alphapose, mmpose):
        found = read_detections(write(tmp_path / "a.json", poses, tracks=[number]), image_size=SIZE)
        assert (found.followed, [track.number for track in found.tracks]) == ("overlap", [0])
    found = read_detections(alphapose(tmp_path / "b.json", poses, tracks=[2**31 - 1]), image_size=SIZE)
    assert (found.followed, found.person().number) == ("the file", 2**31 - 1)


@pytest.mark.parametrize("numbered", [True, False])
def test_many_people_take_no_quadratic_time(numbered):
    """Columns of 500 people in 32 frames, of whom nobody stays; 16,000 people of one sighting."""
    standing = people(1, 17)[0, 0]
    places = [(t, i, standing + np.array([2000.0 * t, 1000.0 * i, 0])) for t in range(32) for i in range(500)]
    found = [
        Sighting(frame=t, joints=joints, track=500 * t + i if numbered else None) for t, i, joints in places
    ]
    tracks, _ = measured(lambda: follow(found))  # 20 s at most; it took minutes
    assert [track.number for track in tracks] == list(range(16_000))
    again = [Sighting(frame=32, joints=one.joints, track=None) for one in found[-1:-501:-1]]
    assert [len(track.frames) for track in follow([*found[-500:], *again])] == [2] * 500


@given(seed=st.integers(0, 10**6), persons=st.integers(1, 6))
def test_the_boxes_that_overlap_most_are_joined_first(seed, persons):
    """Two frames of boxes, joined one pair after the other as the definition says."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 12, (2, persons, 2)), rng.integers(1, 8, (2, persons, 2))
    boxes = [[(*corner, *(corner + side)) for corner, side in zip(*frame, strict=True)]
             for frame in zip(*corners, strict=True)]  # fmt: skip

    def share(one, other):
        cells = [{(x, y) for x in range(a, c) for y in range(b, d)} for a, b, c, d in (one, other)]
        return Fraction(len(cells[0] & cells[1]), len(cells[0] | cells[1]))

    pairs = [(-share(boxes[0][i], boxes[1][j]), i, j) for i in range(persons) for j in range(persons)]
    joined: dict[int, int] = {}
    for overlap, i, j in sorted(pairs):
        if -overlap >= Fraction(1, 10) and i not in joined and j not in joined.values():
            joined[i] = j
    found = [
        Sighting(frame=t, joints=np.array([[a, b, 1.0], [c, d, 1.0]]))
        for t in range(2)
        for a, b, c, d in boxes[t]
    ]
    tracks = {track.number: track.joints[1:].flatten().tolist() for track in follow(found)}
    assert {i for i in range(persons) if tracks[i]} == joined.keys()
    assert all(tracks[i] == list(map(float, boxes[1][j])) for i, j in joined.items())


def test_the_most_present_person_comes_first_and_others_by_number(tmp_path):
    poses = people(8, 17, persons=2)
    found = sightings(poses, 0, missed={(0, 0), (1, 0), (2, 0)})
    assert [len(track.frames) for track in follow(found)] == [8, 5]
    found = read_detections(alphapose(tmp_path / "a.json", poses, tracks=[4, 9]), image_size=SIZE)
    assert found.person().number == 4
    assert found.person(9).number == 9
    with pytest.raises(BenchmarkError, match=r"no person 1; there are: 4 \(8 frames\), 9 \(8 frames\)"):
        found.person(1)


def test_more_people_than_in_a_crowd(tmp_path):
    crowd = np.repeat(people(2, 17), 501, axis=1)
    with pytest.raises(BenchmarkError, match=r"a.json, frame 0: 501 people, over the limit of 500$"):
        read_detections(alphapose(tmp_path / "a.json", crowd), image_size=SIZE)
    found = read_detections(alphapose(tmp_path / "b.json", crowd[:, :500]), image_size=SIZE)
    assert len(found.tracks) == 500
    with pytest.raises(BenchmarkError, match=r"no person 777; there are: 0 \(2 frames\), .* and 480 more$"):
        found.person(777)


def test_who_was_away_for_long_is_somebody_new():
    poses = people(60, 17)
    gone = {(t, 0) for t in range(10, 45)}
    assert len(follow(sightings(poses, 0, missed=gone))) == 2
    assert (
        len(
            follow(
                sightings(poses * [0.0, 1.0, 1.0] + [5.0, 0, 0], 0, missed={(t, 0) for t in range(10, 30)})
            )
        )
        >= 1
    )


@pytest.mark.parametrize(("away", "persons"), [(LONGEST_LOSS, 1), (LONGEST_LOSS + 1, 2)])
def test_the_longest_loss_is_still_one_person(away, persons):
    standing = people(1, 17)[0]
    found = [Sighting(frame=frame, joints=standing[0], track=None) for frame in (0, 1, 1 + away)]
    assert [len(track.frames) for track in follow(found)] == ([3] if persons == 1 else [2, 1])


def test_two_people_apart_are_not_one_for_their_missing_joints():
    """One leaves, another comes elsewhere; a joint of both that was not found lies at the image's corner."""
    one, other = people(1, 17, persons=2)[0]
    one[4] = other[4] = 0.0
    found = [Sighting(frame=frame, joints=one if frame < 3 else other, track=None) for frame in range(6)]
    assert [track.frames.tolist() for track in follow(found)] == [[0, 1, 2], [3, 4, 5]]


def test_joints_that_were_not_found_do_not_shape_the_box():
    poses = people(4, 17, persons=2)
    poses[:, :, 3:6] = 0.0  # at the image's corner, with no confidence, as OpenPose writes them
    assert len(follow(sightings(poses, 1))) == 2
