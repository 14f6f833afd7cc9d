import os
import pickle

import numpy as np
import pytest
import torch
from written import (
    MOTIONBERT_CAMERAS,
    MOTIONBERT_SOURCES,
    motionbert_part,
    motionbert_poses,
    write_motionbert,
)

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.motionbert import MOTIONBERT_EXCLUDED, read_motionbert
from htp_diffusion.data.formats.motionbert_windows import read_motionbert_windows
from htp_diffusion.scoring.metrics import mpjpe

HEIGHTS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}


def test_frames_of_a_source_become_one_sequence(tmp_path):
    content = motionbert_part("test")
    sequences = read_motionbert(write_motionbert(tmp_path / "a.pkl"), "test")
    assert [f"{s.recording}_{s.camera}" for s in sequences] == list(MOTIONBERT_SOURCES)
    assert [s.subject for s in sequences] == ["S9", "S9", "S11"]
    assert [s.action for s in sequences] == ["Walking", "Greeting", "Directions"]
    assert [s.recording in MOTIONBERT_EXCLUDED for s in sequences] == [False, True, False]
    for index, sequence in enumerate(sequences):
        height = HEIGHTS[MOTIONBERT_CAMERAS[index]]
        rows = slice(4 * index, 4 * index + 4)
        pixels = content["joint_2d"][rows].astype("float64")
        expected = np.stack([pixels[..., 0] / 500 - 1, pixels[..., 1] / 500 - height / 1000], axis=-1)
        np.testing.assert_allclose(sequence.pose_2d.numpy(), expected, atol=1e-6)
        image = content["joint3d_image"][rows].astype("float64")
        expected = image / 500 - [1, height / 1000, 0]
        np.testing.assert_allclose(sequence.target.numpy(), expected, atol=1e-6)


def test_the_exclusions_are_motionberts():
    assert MOTIONBERT_EXCLUDED == (
        "s_09_act_05_subact_02",
        "s_09_act_10_subact_02",
        "s_09_act_13_subact_01",
    )


def test_the_scale_turns_targets_into_what_motionbert_scores(tmp_path):
    """Of a pixel it makes as many millimetres as the factor says."""
    sequences = read_motionbert(write_motionbert(tmp_path / "a.pkl"), "test")
    for seed, (sequence, source) in enumerate(zip(sequences, MOTIONBERT_SOURCES, strict=True)):
        metres = (sequence.target - sequence.target[:, :1]) * sequence.scale[:, None, None]
        assert float(mpjpe(metres, sequence.scored_pose).max()) < 1e-2
        _, _, factor = motionbert_poses(4, source, seed)
        np.testing.assert_allclose(sequence.scale.numpy() * 1000 / 500, factor, rtol=1e-6)


def test_a_clip_is_where_its_pose_is_in_the_image(tmp_path):
    path = write_motionbert(tmp_path / "a.pkl")
    for seed, sequence in enumerate(read_motionbert(path, "test")):
        clip = sequence.to_clip()
        _, image, factor = motionbert_poses(4, MOTIONBERT_SOURCES[seed], seed)
        source = MOTIONBERT_SOURCES[seed]
        assert (clip.name, clip.fps) == (f"{source[:-6]}@{source[-5:]}", 50.0)
        screen = image[..., :2] / 500 - [1, HEIGHTS[MOTIONBERT_CAMERAS[seed]] / 1000]
        shown = clip.camera.to_screen(clip.pose_3d + clip.root[:, None])
        np.testing.assert_allclose(shown.numpy(), screen, atol=1e-5)
        scored = (image - image[:, :1]) * factor[:, None, None] / 1000
        metres = clip.pose_3d * clip.scale[:, None, None]
        np.testing.assert_allclose(metres.numpy(), scored, atol=1e-5)
        assert torch.equal(clip.pose_3d[:, 0], torch.zeros(4, 3))


def test_a_test_clip_holds_the_poses_that_are_scored_where_the_two_differ(tmp_path):
    moved = motionbert_part("test")["joints_2.5d_image"] + np.arange(17)[:, None] / 10
    sequence = read_motionbert(write_motionbert(tmp_path / "a.pkl", **{"joints_2.5d_image": moved}), "test")[
        0
    ]
    clip = sequence.to_clip()
    expected = (moved - moved[:, :1])[:4] / 1000
    np.testing.assert_allclose((clip.pose_3d * clip.scale[:, None, None]).numpy(), expected, atol=1e-6)


def test_each_frame_is_normalised_by_its_own_camera(tmp_path):
    names = ["54138969", "55011271"] * 6
    sequences = read_motionbert(write_motionbert(tmp_path / "a.pkl", camera_name=names), "test")
    pixels = motionbert_part("test")["joint_2d"][:4, :, 1] / 500
    expected = pixels - np.array([1.002, 1.0, 1.002, 1.0])[:, None]
    np.testing.assert_allclose(sequences[0].pose_2d[..., 1].numpy(), expected, atol=1e-6)


def test_the_training_part_has_targets_but_no_metric_pose(tmp_path):
    sequences = read_motionbert(write_motionbert(tmp_path / "a.pkl"), "train")
    assert [f"{s.recording}_{s.camera}" for s in sequences] == list(MOTIONBERT_SOURCES)
    for sequence in sequences:
        assert sequence.scale is sequence.scored_pose is sequence.action is None
        clip = sequence.to_clip()
        assert clip.scale is None
        torch.testing.assert_close(clip.pose_3d + clip.root[:, None], sequence.target)


def test_errors_name_what_is_wrong(tmp_path):
    def message(**change):
        with pytest.raises(BenchmarkError) as caught:
            read_motionbert(write_motionbert(tmp_path / "a.pkl", **change), "test")
        return str(caught.value)

    good = motionbert_part("test")
    assert "test: no key joint3d_image; it has joint_2d, confidence" in message(joint3d_image=None)
    assert "joint_2d has shape (12, 16, 2), expected (12, 17, 2) or (12, 17, 3)" in message(
        joint_2d=good["joint_2d"][:, :16]
    )
    assert "2.5d_factor has shape (11,)" in message(**{"2.5d_factor": good["2.5d_factor"][1:]})
    assert "joint_2d holds values that are not finite" in message(joint_2d=good["joint_2d"] * np.nan)
    assert "joint_2d is not an array of numbers" in message(joint_2d=["x"])
    assert "unknown cam9" in message(camera_name=["cam9"] * 12)
    assert "camera_name has 3 texts, expected 12" in message(camera_name=list(MOTIONBERT_CAMERAS))
    assert "action has 2 texts, expected 12" in message(action=["Walking", "Greeting"])
    for source in (3, np.array("walk"), [10**5000] * 12):
        assert "source must be a list with one text a frame" in message(source=source)
    assert "joint3d_image is not an array of numbers" in message(joint3d_image=[10**400])
    metres = {key: good[key] / 1000 for key in ("joints_2.5d_image", "2.5d_factor")}
    assert "joints_2.5d_image is in metres, expected millimetres" in message(**metres)
    assert "source 'walk', expected a form such as s_09_act_02_subact_01_ca_01" in message(
        source=["walk"] * 12
    )
    assert "2.5d_factor expects millimetres a pixel above 0, got 0" in message(
        **{"2.5d_factor": np.zeros(12)}
    )
    assert "is not joint3d_image times 2.5d_factor: off by" in message(**{"2.5d_factor": np.ones(12)})
    with pytest.raises(BenchmarkError, match="no part 'validate'; the file has train, test"):
        read_motionbert(write_motionbert(tmp_path / "a.pkl"), "validate")
    with pytest.raises(BenchmarkError, match=r"none.pkl: cannot be read \(No such file"):
        read_motionbert(tmp_path / "none.pkl", "test")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(BenchmarkError, match="holds a list, expected a dictionary"):
        read_motionbert(tmp_path / "list.pkl", "test")


def window(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "data_input": rng.uniform(-1, 1, (9, 17, 3)).astype("float32"),
        "data_label": rng.uniform(-1, 1, (9, 17, 3)),
    }


def test_windows_come_in_order_and_lazily(tmp_path):
    for index in (1, 0, 10):
        (tmp_path / f"{index:08d}.pkl").write_bytes(pickle.dumps(window(index)))
    (tmp_path / "00000011.pkl").write_bytes(b"damaged")
    windows = read_motionbert_windows(tmp_path)
    for index in (0, 1, 10):
        got, expected = next(windows), window(index)
        assert got.name == f"{index:08d}"
        np.testing.assert_array_equal(got.pose_2d.numpy(), expected["data_input"][..., :2])
        np.testing.assert_allclose(got.target.numpy(), expected["data_label"], atol=1e-6)
    with pytest.raises(BenchmarkError, match=r"00000011.pkl: damaged pickle"):
        next(windows)


def test_windows_of_another_kind_are_refused(tmp_path):
    def message(content):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        with pytest.raises(BenchmarkError) as caught:
            next(read_motionbert_windows(tmp_path))
        return str(caught.value)

    good = window()
    assert "no key data_input" in message({"data_label": good["data_label"]})
    assert "no key data_label" in message({"data_input": good["data_input"]})
    assert "data_input has shape (8, 17, 3), expected (9, 17, 3)" in message(
        good | {"data_input": good["data_input"][1:]}
    )
    assert "data_label has shape (9, 17, 2)" in message(good | {"data_label": good["data_label"][..., :2]})
    assert "data_label is not an array of numbers" in message(good | {"data_label": [[1], [1, 2]]})
    assert "data_label is not an array of numbers" in message(good | {"data_label": [10**400]})
    assert "got pixels or millimetres" in message(good | {"data_label": good["data_label"] * 1000})
    with pytest.raises(BenchmarkError, match="no folder with"):
        next(read_motionbert_windows(tmp_path / "none"))


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_malicious_pickles_are_refused(tmp_path):
    evil = Touch(tmp_path / "marker")
    (tmp_path / "a.pkl").write_bytes(pickle.dumps({"train": {"source": evil}, "data_label": evil}))
    with pytest.raises(BenchmarkError, match=r"refused to read the global (posix|nt).system"):
        read_motionbert(tmp_path / "a.pkl", "train")
    with pytest.raises(BenchmarkError, match=r"refused to read the global (posix|nt).system"):
        next(read_motionbert_windows(tmp_path))
    assert not (tmp_path / "marker").exists()
