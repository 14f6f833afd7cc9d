"""One person's detections become what a lifter reads."""

import numpy as np
import pytest
import torch
from detector_files import alphapose, openpose, people

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.lifting.watched import watch
from htp_diffusion.pose.cameras import normalise_screen
from htp_diffusion.pose.conversions import convert
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.layouts import BODY_25, COCO_17, layout_named

SIZE = (1000, 800)


@pytest.mark.parametrize("rule", ["cmu", "motionbert", "gast"])
def test_joints_are_converted_in_pixels_and_normalised(tmp_path, rule):
    poses = people(6, 17)
    found = read_detections(alphapose(tmp_path / "a.json", poses, frames=[0, 1, 2, 4, 5, 6]), image_size=SIZE)
    seen = watch(found, rule=rule, repair_sides=False)
    pixels = torch.from_numpy(poses[:, 0, :, :2]).float()
    pixels = torch.cat([pixels[:3], (pixels[2:3] + pixels[3:4]) / 2, pixels[3:]])
    expected = normalise_screen(convert(pixels, COCO_17, H36M_17, rule), SIZE)
    torch.testing.assert_close(seen.pose_2d, expected, atol=1e-5, rtol=0)
    assert seen.frames.tolist() == list(range(7))
    assert seen.gap.tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert seen.filled[3].all()
    assert not seen.filled[[0, 1, 2, 4, 5, 6]].any()
    assert (seen.rule, seen.person) == (rule, 0)


def test_a_joint_is_filled_if_one_that_it_rests_on_is(tmp_path):
    poses = people(4, 25)
    poses[1, 0, BODY_25.index("left_hip"), 2] = 0.05
    found = read_detections(openpose(tmp_path / "o", poses), image_size=SIZE)
    seen = watch(found, rule="cmu", repair_sides=False)
    names = [H36M_17.joints[joint] for joint in seen.filled[1].nonzero().flatten()]
    assert names == ["pelvis", "left_hip", "spine", "thorax"]
    assert not seen.gap.any()


def test_joints_that_no_rule_reads_may_be_missing(tmp_path):
    poses = people(4, 25)
    poses[:, 0, 19:, 2] = 0.0  # no feet
    found = read_detections(openpose(tmp_path / "o", poses), image_size=SIZE)
    assert not watch(found, repair_sides=False).filled.any()
    poses[:, 0, BODY_25.index("right_ankle"), 2] = 0.0
    found = read_detections(openpose(tmp_path / "p", poses), image_size=SIZE)
    with pytest.raises(BenchmarkError, match="right_ankle never seen"):
        watch(found)


def test_poses_of_human36m_need_no_rule(tmp_path):
    poses = people(3, 17)
    path = alphapose(tmp_path / "a.json", poses)
    found = read_detections(path, image_size=SIZE, layout=layout_named("h36m-17"))
    seen = watch(found, repair_sides=False)
    assert seen.rule is None
    torch.testing.assert_close(
        seen.pose_2d, normalise_screen(torch.from_numpy(poses[:, 0, :, :2]).float(), SIZE), atol=1e-5, rtol=0
    )


def test_swapped_frames_after_a_gap_are_told_by_their_numbers(tmp_path):
    rng = np.random.default_rng(2)
    walking = rng.uniform([100, 100], [500, 500], (17, 2)) + np.arange(20)[:, None, None] * [3.0, 0.0]
    walking[12:15] = walking[12:15][:, COCO_17.mirror]
    poses = np.concatenate([walking, np.full((20, 17, 1), 0.9)], axis=-1)[:, None]
    numbers = [*range(8), *range(11, 23)]  # the 12th of those seen is frame 15
    seen = watch(read_detections(alphapose(tmp_path / "a.json", poses, frames=numbers), image_size=SIZE))
    assert seen.frames[seen.swapped].tolist() == [15, 16, 17]


def test_a_joint_below_the_confidence_asked_for_is_filled(tmp_path):
    poses = people(4, 17)
    poses[1, 0, COCO_17.index("left_wrist"), 2] = 0.25
    found = read_detections(alphapose(tmp_path / "a.json", poses), image_size=SIZE)
    for least, filled in ((0.2, []), (0.3, [[1, H36M_17.index("left_wrist")]])):
        seen = watch(found, least_confidence=least, repair_sides=False)
        assert seen.filled.nonzero().tolist() == filled


def test_swapped_frames_are_told_at_their_place(video_path):
    found = read_detections(video_path / "cam02-openpose", image_size=(1080, 1920))
    seen = watch(found)
    assert seen.swapped.sum() == 32
    assert seen.frames[seen.swapped][0] == 36
    assert not watch(found, repair_sides=False).swapped.any()


@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_a_confidence_that_is_none(tmp_path, value):
    found = read_detections(alphapose(tmp_path / "a.json", people(2, 17)), image_size=SIZE)
    with pytest.raises(BenchmarkError, match="confidence expects a number from 0 to below 1"):
        watch(found, least_confidence=value)
