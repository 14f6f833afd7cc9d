import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from written import mpi_poses, write_h36m, write_mpi_test, write_mpi_train, write_npz

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data import source
from htp_diffusion.data.formats.h36m import H36M_ACTIONS, H36M_TEST, H36M_TRAIN
from htp_diffusion.data.formats.mpi_inf_3dhp_cameras import mpi_test_camera
from htp_diffusion.data.mocap.cmu import CMU_TEST, CMU_TRAIN, cmu_action, trained_among
from htp_diffusion.data.source import Source
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import EVALUATION_SEED
from htp_diffusion.pose.layout import H36M_17, MPI_INF_3DHP_17
from htp_diffusion.pose.space import CAMERA_METRES

# What the index of the CMU data says of the clips: subject 01 on a playground, 03 on uneven terrain.
CMU_INDEX = {
    "02_01": "walk", "02_02": "walk", "02_03": "run", "02_04": "jump and balance", "02_05": "punch",
    "02_06": "bend, scoop and lift", "02_07": "swordplay", "02_08": "swordplay", "02_09": "swordplay",
    "02_10": "wash self",
}  # fmt: skip


def test_human36m_is_labelled_by_subject_and_action(tmp_path):
    trials = ("Walking", "Directions 1", "Walking 1")
    path_3d, path_2d, *_ = write_h36m(tmp_path, trials, (*H36M_TRAIN, *H36M_TEST))
    asked = Source(dataset="h36m", data=path_3d, keypoints=path_2d)
    found = source.test_clips(asked, 81)
    assert found.space == CAMERA_METRES
    assert found.actions == ("Directions", "Walking")  # in the order of the field's tables
    assert len(found.clips) == 2 * 3 * 4
    assert {item.subject for item in found.clips} == {"S9", "S11"}
    for item in found.clips:
        assert item.clip.name.startswith(f"{item.motion}@")
        assert item.motion.split("/")[0] == item.subject
        assert item.action == item.motion.split("/")[1].split(" ")[0]
        assert item.valid is None
    assert found.pck_joints is None
    assert found.description == "Human3.6M S9, S11: data_3d_h36m.npz, 2D from data_2d_h36m_cpn.npz"
    trained = source.training_clips(asked)
    assert {item.subject for item in trained.clips} == set(H36M_TRAIN)
    assert set(found.actions) <= set(H36M_ACTIONS)


def test_the_conversion_of_2d_joints_is_named(tmp_path):
    path_3d, path_2d, *_ = write_h36m(tmp_path, layout="coco")
    asked = Source(dataset="h36m", data=path_3d, keypoints=path_2d, conversion="gast")
    path_3d, path_2d, *_ = write_h36m(tmp_path, layout="coco", subjects=H36M_TEST)
    assert source.test_clips(asked, 9).description.endswith("by the rule gast")


@pytest.mark.parametrize("annotation", ["annot3", "univ_annot3"])
def test_the_sequences_of_mpi_inf_3dhp_are_its_actions(tmp_path, annotation):
    asked = Source(dataset="3dhp", data=write_mpi_test(tmp_path / "data_test.npz"), annotation=annotation)
    found = source.test_clips(asked, 81)
    assert found.actions == ("TS1", "TS2", "TS3", "TS4", "TS5", "TS6")
    assert [(item.subject, item.action, item.motion) for item in found.clips] == [
        (name, name, name) for name in found.actions
    ]
    assert all(item.valid.tolist() == [True, False, True, True] for item in found.clips)
    assert found.space.layout == MPI_INF_3DHP_17
    assert (found.space.unit, found.space.frame) == (CAMERA_METRES.unit, CAMERA_METRES.frame)
    assert f"data_test.npz ({annotation})" in found.description
    # mpii_get_pck_auc_joint_groups, counted from 1: 1, 2, 3, 6, 4, 7, 5, 8, 9, 12, 10, 13, 11, 14.
    assert found.pck_joints == tuple(range(14))
    assert len(found.notes) == (annotation == "univ_annot3")


def test_mpi_inf_3dhp_in_the_joints_of_human36m(tmp_path):
    asked = Source(
        dataset="3dhp", data=write_mpi_test(tmp_path / "a.npz"), annotation="annot3", conversion="by-place"
    )
    found = source.test_clips(asked, 81)
    assert found.space.layout == H36M_17
    # Pelvis, right leg, left leg, spine, neck, head, head top, left arm, right arm.
    order = [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4]
    for index, item in enumerate(found.clips, start=1):
        poses = mpi_poses(mpi_test_camera(f"TS{index}"), 4, index)
        relative = (poses["data_3d"] - poses["data_3d"][:, 14:15]).astype("float64")[:, order] / 1000
        np.testing.assert_allclose(item.clip.pose_3d.numpy(), relative, atol=1e-6)
        pixels = item.clip.camera.denormalise_screen(item.clip.pose_2d)
        np.testing.assert_allclose(pixels.numpy(), poses["data_2d"][:, order], atol=1e-2)
    names = [H36M_17.joints[joint] for joint in found.pck_joints]
    assert len(names) == 14
    assert not {"pelvis", "spine", "neck"} & set(names)


def test_mpi_inf_3dhp_is_trained_on_one_file_and_scored_on_another(tmp_path):
    asked = Source(
        dataset="3dhp",
        data=write_mpi_train(tmp_path / "train.npz"),
        test_data=write_mpi_test(tmp_path / "test.npz"),
        annotation="annot3",
    )
    assert source.training_clips(asked).actions == ("S1 Seq1", "S3 Seq2")
    assert source.test_clips(asked, 81).actions[0] == "TS1"


def test_the_cmu_clips_have_the_actions_of_the_index(tmp_path):
    for name in CMU_TRAIN + CMU_TEST:
        subject, trial = name.split("/")
        expected = {"S01": "playground", "S03": "walk on uneven terrain"}.get(subject) or CMU_INDEX[trial]
        assert cmu_action(name) == expected
    write_npz(tmp_path / "cmu.npz", CMU_TRAIN + CMU_TEST)
    asked = Source(data=tmp_path / "cmu.npz")
    assert asked.kind == "npz"
    found = source.test_clips(asked, 12)
    assert {item.motion for item in found.clips} == set(CMU_TEST)
    assert found.actions == (
        "playground", "walk", "jump and balance", "bend, scoop and lift", "swordplay",
        "walk on uneven terrain",
    )  # fmt: skip
    trained = [motion.name for motion in source.training_motions(asked, synthetic_clips=1)]
    assert trained == [*CMU_TRAIN, "synthetic/walking_000"]


@pytest.mark.parametrize(
    "name", ["S01/01_05", "S001/01_05", "1/1_5", "CMU/01_05_poses", "subject one/001_005"]
)
def test_a_test_clip_is_known_by_its_trial_however_its_folder_is_called(tmp_path, name):
    write_npz(tmp_path / "some.npz", [*CMU_TRAIN, name, "S86/86_01"])
    asked = Source(data=tmp_path / "some.npz")
    trained = [motion.name for motion in source.training_motions(asked, synthetic_clips=0)]
    assert trained == [*CMU_TRAIN, "S86/86_01"]
    found = source.test_clips(asked, 12)
    assert {item.motion for item in found.clips} == {name}
    assert {item.action for item in found.clips} == {"playground"}
    assert "1 of the 7 clips of the fixed CMU test split" in found.description
    assert trained_among([name], ["S01/01_05"]) == trained_among([name], ["01/01_05"]) == [name]


def test_of_more_than_the_28_clips_everything_but_the_test_clips_is_trained_on(tmp_path):
    others = ["S05/05_01", "S09/09_12", "mine/dance"]
    write_npz(tmp_path / "more.npz", [*others, *reversed(CMU_TRAIN + CMU_TEST)])
    asked = Source(data=tmp_path / "more.npz")
    trained = [motion.name for motion in source.training_motions(asked, synthetic_clips=0)]
    assert trained == [*CMU_TRAIN, *others]
    found = source.test_clips(asked, 12)
    assert [clip.motion for clip in found.clips[::4]] == list(CMU_TEST)
    assert "more.npz, the fixed CMU test split" in found.description


def test_no_test_clip_of_a_further_file_is_trained_on(tmp_path):
    write_npz(tmp_path / "extra.npz", ["a/one", "007/02_02"])
    write_npz(tmp_path / "test.npz", CMU_TEST)
    extra = source.training_motions(Source(), 0, [tmp_path / "extra.npz"])
    assert [motion.name for motion in extra] == ["a/one"]
    with pytest.raises(BenchmarkError, match="holds CMU test clips alone, which are never trained on"):
        source.training_motions(Source(data=tmp_path / "test.npz"))


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("centimetres", 100), ("millimetres", 1000), ("inches", 1 / 0.0254), ("cmu", 0.45 / 0.0254)],
)
def test_motion_in_another_unit_is_refused_until_the_option_tells_it(tmp_path, unit, scale):
    write_npz(tmp_path / "metres.npz", ["a/one"])
    write_npz(tmp_path / "other.npz", ["a/one"], scale=scale)
    asked = Source(data=tmp_path / "other.npz")
    for read in (lambda asked: source.test_clips(asked, 12), source.training_motions):
        with pytest.raises(BenchmarkError, match=rf"a/one is in .*, expected metres: give --unit {unit}"):
            read(asked)
    [expected] = source.training_motions(Source(data=tmp_path / "metres.npz"), 0)
    [found] = source.training_motions(replace(asked, unit=unit), 0)
    torch.testing.assert_close(found.positions, expected.positions)
    with pytest.raises(BenchmarkError, match=r"is in metres, expected .*: give --unit metres"):
        source.test_clips(Source(data=tmp_path / "metres.npz", unit=unit), 12)


def test_motion_of_no_human_is_refused(tmp_path):
    write_npz(tmp_path / "odd.npz", ["a/one"], scale=1e-5)
    with pytest.raises(BenchmarkError, match="no human length in any unit, expected metres and layout"):
        source.training_motions(Source(data=tmp_path / "odd.npz"))


def test_other_motion_is_its_own_action(tmp_path):
    write_npz(tmp_path / "own.npz", ["A/one", "A/two", "B/one"])
    found = source.test_clips(Source(data=tmp_path / "own.npz", fps=30), 12)
    assert found.actions == ("one", "two")
    assert {(item.subject, item.action) for item in found.clips} == {("A", "one"), ("A", "two"), ("B", "one")}
    assert len(source.training_motions(Source(data=tmp_path / "own.npz"))) == 3 + 12


def test_procedural_motion_that_is_trained_on_is_not_what_is_scored():
    trained = source.training_motions(Source(), synthetic_clips=3)
    for one, other in zip(trained, synthetic_motions(seed=EVALUATION_SEED, count=3), strict=True):
        assert not torch.equal(one.positions, other.positions)


def test_without_options_the_motion_is_embedded():
    found = source.test_clips(Source(), 9)
    assert set(found.actions) == {"walking", "sitting", "reaching"}
    scored = {motion.name: motion for motion in synthetic_motions(seed=EVALUATION_SEED, frames=18)}
    assert set(scored) == {item.motion for item in found.clips}
    trained = {motion.name: motion for motion in source.training_motions(Source())}
    assert len(trained) == 12
    assert not any(
        torch.allclose(trained[name].positions[:18], motion.positions) for name, motion in scored.items()
    )
    assert source.training_motions(Source(), synthetic_clips=0) == []
    with pytest.raises(BenchmarkError, match="synthetic-clips expects at least 0, got -1"):
        source.training_motions(Source(), synthetic_clips=-1)


def test_the_folder_of_the_official_files_is_read(tmp_path, monkeypatch):
    for name in ("TS2", "TS1"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "annot_data.mat").write_bytes(b"")
    read = []
    monkeypatch.setattr(source, "read_mpi_mat", lambda path, annotation: read.append((path, annotation)))
    source._read_mpi_test(tmp_path, "annot3")
    assert read == [(tmp_path / name / "annot_data.mat", "annot3") for name in ("TS1", "TS2")]
    with pytest.raises(BenchmarkError, match=r"no TS\*/annot_data.mat in this folder"):
        source._read_mpi_test(tmp_path / "TS1", "annot3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "npz"}, "dataset npz needs --data"),
        (
            {"dataset": "h36m", "data": "a.npz"},
            "dataset h36m needs --keypoints (--help tells what it is); docs/datasets.md says",
        ),
        ({"dataset": "3dhp", "data": "a.npz"}, "dataset 3dhp needs --annotation"),
        ({"dataset": "3dhp", "annotation": "annot3"}, "dataset 3dhp needs --data"),
        ({"data": "a.npz", "annotation": "annot3"}, "dataset npz has no --annotation"),
        ({"dataset": "synthetic", "data": "a.npz"}, "dataset synthetic has no --data"),
        ({"test_data": "a.npz"}, "dataset synthetic has no --test-data"),
        ({"data": "nowhere.npz"}, "nowhere.npz: no such file; docs/datasets.md says where"),
        ({"unit": "inches"}, "--unit and --fps tell of an npz file: name it by --data"),
        (
            {"dataset": "h36m", "data": "a.npz", "keypoints": "b.npz", "unit": "inches"},
            "dataset h36m has no --unit",
        ),
        (
            {"dataset": "h36m", "data": "a.npz", "keypoints": "b.npz", "fps": 30.0},
            "dataset h36m has no --fps",
        ),
        ({"fps": 30.0}, "--unit and --fps tell of an npz file: name it by --data"),
        ({"fps": 0.0}, "fps expects a frame rate above 0, got 0"),
    ],
)
def test_options_that_do_not_fit_are_named(options, message, tmp_path):
    paths = {key: tmp_path / value for key, value in options.items() if str(value).endswith(".npz")}
    asked = Source(**(options | paths))
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        source.test_clips(asked, 9)
    with pytest.raises(BenchmarkError, match=re.escape(message)):
        source.training_motions(asked)


def test_motion_with_cameras_of_its_own_has_no_world_motion(tmp_path):
    asked = Source(dataset="3dhp", data=tmp_path / "a.npz", annotation="annot3")
    with pytest.raises(BenchmarkError, match="dataset 3dhp has cameras of its own"):
        source.training_motions(asked)
    with pytest.raises(BenchmarkError, match="dataset synthetic has no cameras of its own"):
        source.training_clips(Source())


def test_some_actions_alone(tmp_path):
    write_npz(tmp_path / "own.npz", ["A/one", "A/two", "B/one"])
    found = source.test_clips(Source(data=tmp_path / "own.npz"), 12)
    assert {item.motion for item in found.only(["one"]).clips} == {"A/one", "B/one"}
    assert found.only(["two"]).actions == ("two",)
    with pytest.raises(BenchmarkError, match=r"no action run in own.npz.*; there are one, two"):
        found.only(["one", "run"])
