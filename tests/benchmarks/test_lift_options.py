"""Options of the command that lifts a video, by what comes out."""

import numpy as np
import pytest
from detector_files import alphapose, people
from lift_runs import arguments_of_a_moment, run

from htp_diffusion.pose.layouts import COCO_17


@pytest.fixture
def quick(folder, tmp_path):
    return [*arguments_of_a_moment(folder, tmp_path / "out"), "--draw", "none"]


@pytest.mark.parametrize(("rate", "windows"), [(30, 3), (60, 6)])  # of 20 and of 39 frames, 6 apart
def test_poses_are_lifted_at_the_models_frame_rate(tmp_path, quick, capsys, rate, windows):
    path = alphapose(tmp_path / "a.json", people(20, 17))
    run(path, *quick, "--fps", 30, "--model-fps", rate)
    assert f"htp-tiny: {windows} windows of 12 frames in" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "swapped"), [((), [7, 8, 9]), (("--no-repair-sides",), [])])
def test_sides_are_put_right_unless_they_are_to_stay(tmp_path, quick, option, swapped):
    poses = people(20, 17)
    poses[7:10] = poses[7:10][:, :, COCO_17.mirror]
    run(alphapose(tmp_path / "a.json", poses), *quick, *option)
    assert np.load(tmp_path / "out" / "poses.npz")["swapped"].nonzero()[0].tolist() == swapped
