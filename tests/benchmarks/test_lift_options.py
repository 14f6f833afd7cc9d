"""Options of the command that lifts a video, by what comes out."""

import os

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


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("poses.npz", ["--draw", "none"]),
        ("page.html", ["--draw", "all"]),
        ("sheet.png", ["--draw", "sheet"]),
        ("scores.json", ["--reference", "other.npz"]),
    ],
)
@pytest.mark.parametrize("given", ["detections", "a link", "--views", "--weights", "--checkpoints"])
def test_no_input_is_written_over(tmp_path, quick, capsys, name, options, given):
    own = alphapose(tmp_path / "a.json", people(4, 17))
    target, taken = tmp_path / "out" / name, tmp_path / "out" / ".." / "out" / name
    target.parent.mkdir()
    if given == "a link":
        taken = tmp_path / "kept"
        target.symlink_to(taken)
    taken.write_text("precious")
    files = [taken] if given in ("detections", "a link") else [own, given, taken]
    with pytest.raises(SystemExit) as left:
        run(*files, *quick[2 if given == "--checkpoints" else 0 :], *options)
    assert left.value.code == 2
    told = " ".join(capsys.readouterr().err.split())
    assert told == f"error: {taken} is read and would be written over: name another folder with --out"
    assert target.read_text() == "precious"


def test_a_reference_is_not_written_over(tmp_path, quick, capsys):
    own = alphapose(tmp_path / "a.json", people(4, 17))
    path = tmp_path / "out" / "poses.npz"
    path.parent.mkdir()
    path.write_text("precious")
    with pytest.raises(SystemExit):
        run(own, *quick, "--reference", path)
    assert "is read and would be written over" in capsys.readouterr().err
    assert path.read_text() == "precious"


def test_what_is_not_written_may_be_read_from_the_folder(tmp_path, quick):
    (tmp_path / "out").mkdir()
    path = alphapose(tmp_path / "out" / "scores.json", people(4, 17))  # written with a reference alone
    run(path, *quick)
    run(path, *quick)  # and the files of an earlier run are no obstacle
    assert (tmp_path / "out" / "poses.npz").exists()


def test_a_name_that_is_not_utf_8_is_shown_with_an_escape(tmp_path, quick):
    path = tmp_path / os.fsdecode(b"caf\xe9.json")
    alphapose(tmp_path / "a.json", people(4, 17)).rename(path)
    run(path, *quick, "--draw", "all")
    out = tmp_path / "out"
    assert np.load(out / "poses.npz")["source"] == r"caf\udce9.json"
    assert r"caf\\udce9.json, person 0" in (out / "page.html").read_text(encoding="utf-8")
    assert (out / "sheet.png").exists()
