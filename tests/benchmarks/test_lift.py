"""The command that lifts a user's video."""

import json
import shutil

import numpy as np
import pytest
import torch
from detector_files import alphapose, openpose, people
from lift_runs import arguments_of_a_moment, run

import lift
from htp_diffusion.base.results import read_json
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.data.mocap.bvh import forward_kinematics, read_bvh
from htp_diffusion.data.mocap.bvh_writing import BVH_JOINTS
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.lifting.lifted import lift as lift_poses
from htp_diffusion.lifting.reference import read_cameras, read_reference, score, triangulated_reference
from htp_diffusion.lifting.scores import VideoScores
from htp_diffusion.lifting.watched import watch
from htp_diffusion.models.contender import Pruning, trained_contender
from htp_diffusion.pose.layout import H36M_17


@pytest.fixture
def quick(folder, tmp_path):
    return arguments_of_a_moment(folder, tmp_path / "out")


def test_files_and_what_is_told(tmp_path, quick, capsys):
    frames = [*range(10), *range(13, 25), *range(45, 60)]
    path = alphapose(tmp_path / "alphapose-results.json", people(len(frames), 17), frames=frames)
    run(path, *quick, "--fps", 30)
    out = tmp_path / "out"
    assert {"poses.npz", "motion.bvh", "sheet.png", "page.html", "motion.gif"} <= {
        p.name for p in out.iterdir()
    }
    saved = np.load(out / "poses.npz")  # without pickles
    assert saved["poses"].shape == (60, 17, 3)
    assert saved["joints"].tolist() == list(H36M_17.joints)
    expected = {
        "layout": "h36m-17", "unit": "metre", "frame_of_reference": "camera, root-relative", "fps": 30,
        "format": "AlphaPose results", "detector_layout": "coco-17", "rule": "cmu", "model": "htp-tiny",
        "window_frames": 12, "person": 0, "source": "alphapose-results.json",
    }  # fmt: skip
    assert {key: saved[key].item() for key in expected} == expected
    assert read_bvh(out / "motion.bvh").fps == pytest.approx(30)
    assert saved["frames"].tolist() == list(range(60))
    assert saved["gap"].tolist() == [0] * 10 + [1] * 3 + [0] * 12 + [2] * 20 + [0] * 15
    assert (saved["uncertainty"] >= 0).all()
    assert saved["uncertainty"].max() > 0
    assert saved["kept"].dtype == bool
    assert saved["command"].item()
    printed = capsys.readouterr().out
    for shown in (
        "AlphaPose results, coco-17, 1000x800 pixels",
        "people, followed by the file: 0 (37 frames); lifted: 0",
        "frames 0 to 59: 23 in gaps, filled in on lines (20 of them in long gaps)", "by the rule cmu",
        "30 frames a second; the model's: 60", "htp-tiny: 19 windows of 12 frames in", "; pruning adds",
        "a pose waits for up to 11 later frames", "no causal mode", "drawing:", "poses.npz", "page.html",
    ):  # fmt: skip
        assert shown in printed, shown


def test_the_bvh_holds_the_same_joints_within_a_millimetre(tmp_path, quick):
    run(openpose(tmp_path / "o", people(30, 25)), *quick, "--draw", "none")
    poses = np.load(tmp_path / "out" / "poses.npz")["poses"]
    motion = read_bvh(tmp_path / "out" / "motion.bvh")
    points = forward_kinematics(motion, 0.01)
    read = np.stack([points[BVH_JOINTS[joint]] for joint in H36M_17.joints], axis=1)
    assert np.abs(read * [1, -1, -1] - poses).max() < 1e-3
    assert motion.fps == 60  # nobody told another
    assert not (tmp_path / "out" / "sheet.png").exists()


def test_without_pruning_every_frame_is_kept(tmp_path, quick, capsys):
    path = alphapose(tmp_path / "a.json", people(20, 17))
    run(path, *quick, "--no-prune", "--draw", "none")
    assert np.load(tmp_path / "out" / "poses.npz")["kept"].all()
    assert "; pruning" not in capsys.readouterr().out


def test_another_person_and_rule(tmp_path, quick, capsys):
    path = alphapose(tmp_path / "a.json", people(15, 17, persons=2), tracks=[3, 8])
    run(path, *quick, "--person", 8, "--rule", "motionbert", "--draw", "sheet")
    saved = np.load(tmp_path / "out" / "poses.npz")
    assert (saved["person"], saved["rule"]) == (8, "motionbert")
    names = {entry.name for entry in (tmp_path / "out").iterdir()}
    assert names == {"poses.npz", "motion.bvh", "sheet.png"}
    assert "earlier" not in capsys.readouterr().out
    run(path, *quick, "--person", 3, "--draw", "none")
    assert f"not drawn anew, of an earlier run: {tmp_path / 'out' / 'sheet.png'}" in capsys.readouterr().out


def test_models_beside_each_other_against_a_reference(tmp_path, folder, quick, capsys):
    points = np.random.default_rng(0).normal(0, 0.4, (1, 33, 3)).repeat(20, axis=0)
    np.savez(tmp_path / "reference.npz", points=points.astype("float32"), rotation=np.eye(3)[None])
    path = alphapose(tmp_path / "a.json", people(20, 17))
    quick[1:2] = [folder / "htp-tiny.json", folder / "d3dp-tiny.json"]
    run(path, *quick, "--draw", "none", "--reference", tmp_path / "reference.npz", "--camera", 1)
    printed = capsys.readouterr().out
    assert "Distance from the reference" in printed
    for name in ("htp-tiny", "d3dp-tiny"):
        assert [line for line in printed.splitlines() if name in line and "│" in line]
    found = read_json(tmp_path / "out" / "scores.json", VideoScores)
    assert [score.name for score in found.scores] == ["htp-tiny", "d3dp-tiny"]
    pose = torch.from_numpy(np.load(tmp_path / "out" / "poses.npz")["poses"])
    reference = read_reference(tmp_path / "reference.npz", "cmu").positions
    error = 1000 * (pose - (reference - reference[:, :1])).norm(dim=-1).mean()  # the camera is not turned
    assert found.scores[0].mpjpe == pytest.approx(float(error), rel=1e-4)
    assert (found.source, found.camera, found.views) == ("a.json", 1, 0)
    assert "first frame is taken to be frame 0 of the video" in printed


def test_runs_are_told_apart_by_their_folders(tmp_path, folder, quick, capsys):
    for run_folder in ("one", "two"):
        (tmp_path / run_folder).mkdir()
        record = json.loads((folder / "htp-tiny.json").read_text())
        shutil.copy(folder / record["tensors"], tmp_path / run_folder)
        (tmp_path / run_folder / "last.json").write_text(json.dumps(record))
    points = np.random.default_rng(0).normal(0, 0.4, (1, 33, 3)).repeat(20, axis=0)
    np.savez(tmp_path / "reference.npz", points=points)
    path = alphapose(tmp_path / "a.json", people(20, 17))
    quick[1:2] = [tmp_path / "one", tmp_path / "two" / "last.json"]
    run(path, *quick, "--draw", "none", "--reference", tmp_path / "reference.npz")
    found = read_json(tmp_path / "out" / "scores.json", VideoScores)
    assert [score.name for score in found.scores] == ["one/last", "two/last"]


@pytest.mark.parametrize(
    ("parts", "camera", "message"),
    [
        ({"rotation": np.eye(3)[None]}, 2, "the reference has cameras 1 to 1, got 2"),
        ({}, 1, "the reference tells no rotation of its cameras: leave --camera out"),
        ({"rotation": np.zeros((2, 2))}, 1, r"rotation expects numbers of shape"),
        ({"scale": 1000.0}, None, "millimetres"),
    ],
)
def test_a_reference_is_checked_before_anything_is_lifted(tmp_path, quick, capsys, parts, camera, message):
    points = np.random.default_rng(0).normal(0, 0.4, (1, 33, 3)).repeat(20, axis=0)
    np.savez(tmp_path / "reference.npz", points=points * parts.pop("scale", 1.0), **parts)
    path = alphapose(tmp_path / "a.json", people(20, 17))
    asked = [] if camera is None else ["--camera", camera]
    with pytest.raises(SystemExit):
        run(path, *quick, "--reference", tmp_path / "reference.npz", *asked)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "1000"], "size expects width and height as 1920x1080, got '1000'"),
        (["--size", "100x80"], "most joints lie outside of 100x80 pixels"),
        (["--person", "4"], "no person 4; there are: 0 (12 frames)"),
        (["--layout", "smpl"], "no layout 'smpl'; there are h36m-17"),
        (["--rule", "mine"], "no rule 'mine'. Choose one of: motionbert"),
        (["--confidence", "1.5"], "confidence expects a number from 0 to below 1"),
        (["--fps", "-3"], "fps expects 1 to 1000 frames a second, got -3"),
        (["--fps", "0"], "fps expects 1 to 1000 frames a second, got 0"),
        (["--fps", "inf"], "fps expects 1 to 1000 frames a second, got inf"),
        (["--model-fps", "0"], "model-fps expects 1 to 1000 frames a second, got 0"),
        (["--model-fps", "nan"], "model-fps expects 1 to 1000 frames a second, got nan"),
        (["--camera", "1"], "--camera needs --reference"),
        (["--hypotheses", "0"], "at least 1"),
        (["--reference", "none.npz"], "none.npz: no such file"),
        (["--views", "a.json", "b.json"], "--views needs --reference"),
        (["--checkpoints", "none.json"], "cannot read none.json"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_2(tmp_path, quick, capsys, arguments, message):
    path = alphapose(tmp_path / "a.json", people(12, 17))
    with pytest.raises(SystemExit) as caught:
        run(path, *quick, *arguments)
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ")
    assert message in line


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, quick, capsys):
    whole = alphapose(tmp_path / "a.json", people(12, 17)).read_text()
    (tmp_path / "cut.json").write_text(whole[:-100])
    (tmp_path / "empty").mkdir()
    bad = people(12, 17)
    bad[3, 0, 2, 1] = np.nan
    cases = {
        tmp_path / "cut.json": "not a whole JSON file",
        tmp_path / "empty": "a folder without detections",
        alphapose(tmp_path / "nan.json", bad): "frame 3: a value that is not finite",
        alphapose(tmp_path / "joints.json", people(3, 20)): "20 joints are no known layout's",
    }
    for path, message in cases.items():
        with pytest.raises(SystemExit) as caught:
            run(path, *quick)
        assert caught.value.code == 2
        told = capsys.readouterr().err.strip()
        assert told.count("\n") == 0
        assert message in told
    without = [part for part in quick if part not in ("--size", "1000x800")]
    with pytest.raises(SystemExit):
        run(tmp_path / "a.json", *without)
    assert "do not tell the image's size" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("file", "size"),
    [
        ("cam01-alphapose.json", "1080x1920"),
        ("cam02-openpose", "1080x1920"),
        ("cam03-mmpose.json", "1088x1920"),
    ],
)
def test_real_video_lifts(video_path, tmp_path, quick, file, size):
    quick[quick.index("1000x800")] = size
    run(video_path / file, *quick, "--draw", "none", "--fps", 60, "--reference", video_path / "reference.npz")
    saved = np.load(tmp_path / "out" / "poses.npz")
    assert saved["poses"].shape == (100, 17, 3)
    assert torch.isfinite(torch.from_numpy(saved["poses"])).all()


def test_a_trained_model_tells_left_from_right(video_path):
    """Each camera's poses lie nearer to the reference than with left and right changed."""
    contender = trained_contender(lift.SHIPPED / "d3dp-small.json", Pruning())
    sampling = Sampling(hypotheses=1, steps=1, eta=1.0, flip=False, seed=0, batch_size=8)
    reference = read_reference(video_path / "reference.npz", "cmu")
    for file, size in (("cam01-alphapose.json", (1080, 1920)), ("cam02-openpose", (1080, 1920))):
        seen = watch(read_detections(video_path / file, image_size=size))
        poses = lift_poses(contender, seen.pose_2d, sampling).poses
        own = score("own", poses, seen.frames, reference)
        other = score("changed", poses[:, list(H36M_17.mirror)], seen.frames, reference)
        assert own.sound_limbs is not None
        assert other.sound_limbs is not None
        assert own.sound_limbs < 100
        assert other.sound_limbs > 1.5 * own.sound_limbs


def test_the_default_model_lifts_real_detections_within_75_mm(video_path):
    """Over all frames of each camera, against joints triangulated from all three with sides changed back."""
    contender = trained_contender(lift.SHIPPED / "htp-video.json", Pruning())
    sampling = Sampling(hypotheses=1, steps=1, eta=1.0, flip=True, seed=0, batch_size=8)
    sizes = {
        "cam01-alphapose.json": (1080, 1920),
        "cam02-openpose": (1080, 1920),
        "cam03-mmpose.json": (1088, 1920),
    }
    views = [watch(read_detections(video_path / file, image_size=size)) for file, size in sizes.items()]
    path = video_path / "reference.npz"
    reference = triangulated_reference(read_reference(path, "cmu"), read_cameras(path)[:3], views)
    for seen in views:
        found = score("htp", lift_poses(contender, seen.pose_2d, sampling).poses, seen.frames, reference)
        assert found.frames == 100
        assert found.p_mpjpe < 75


@pytest.mark.parametrize("count", [1, 5])
def test_views_of_too_few_or_too_many_cameras(video_path, quick, capsys, count):
    quick[quick.index("1000x800")] = "1080x1920"
    file, reference = video_path / "cam02-openpose", video_path / "reference.npz"
    with pytest.raises(SystemExit):
        run(file, *quick, "--reference", reference, "--views", *[file] * count)
    told = " ".join(capsys.readouterr().err.split())
    assert f"--views expects detections of 2 to 4 cameras of {reference}, got {count}" in told


def test_a_reference_is_triangulated_anew_from_its_cameras(video_path, quick, capsys):
    quick[quick.index("1000x800")] = "1080x1920"
    files = [video_path / name for name in ("cam01-alphapose.json", "cam02-openpose", "cam03-mmpose.json")]
    compared = ["--draw", "none", "--fps", 60, "--reference", video_path / "reference.npz", "--camera", 2]
    sound = []
    for views in ([], ["--views", *files]):
        run(files[1], *quick, *compared, *views)
        [row] = [line for line in capsys.readouterr().out.splitlines() if "htp-tiny" in line and "│" in line]
        sound.append(int(row.split("│")[6]))
    assert sound == [67, 85]
