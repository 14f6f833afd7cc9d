import os
import pickle

import numpy as np
import pytest
import torch

from htp_diffusion.data.h36m_cameras import h36m_cameras
from htp_diffusion.data.motionbert import MOTIONBERT_EXCLUDED, read_motionbert
from htp_diffusion.data.motionbert_windows import read_motionbert_windows
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.pose.cameras import Camera
from htp_diffusion.pose.metrics import mpjpe

SOURCES = ("s_09_act_02_subact_01_ca_01", "s_09_act_05_subact_02_ca_03", "s_11_act_16_subact_02_ca_04")
NAMES = ("54138969", "58860488", "60457274")
HEIGHTS = {"54138969": 1002, "55011271": 1000, "58860488": 1000, "60457274": 1002}


def seen(frames, source, seed):
    """Camera-frame poses in millimetres, their places in the image, and the millimetres of a pixel."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, 250, (frames, 17, 3)) + np.array([100, -200, 4500 + 300 * seed])
    for hip, knee in ((1, 2), (4, 5)):
        pose[:, knee] = pose[:, hip] + [0, 450, 0]
    camera = h36m_cameras(f"S{int(source[2:4])}")[int(source[-1]) - 1]
    focal, centre = camera.focal.double().numpy(), camera.centre.double().numpy()
    factor = pose[:, 0, 2] / focal[0]
    image = pose.copy()
    image[..., :2] = pose[..., :2] / pose[..., 2:] * focal + centre
    image[..., 2] = (pose[..., 2] - pose[:, :1, 2]) / factor[:, None]
    return pose, image, factor


def table(part, frames=4):
    """The keys of h36m_sh_conf_cam_source_final.pkl, with three recordings."""
    parts = [seen(frames, source, seed) for seed, source in enumerate(SOURCES)]
    image = np.concatenate([p[1] for p in parts])
    factor = np.concatenate([p[2] for p in parts])
    rng = np.random.default_rng(7)
    content = {
        "joint_2d": (image[..., :2] + rng.normal(0, 3, (3 * frames, 17, 2))).astype("float32"),
        "confidence": rng.uniform(0, 1, (3 * frames, 17, 1)).astype("float32"),
        "joint3d_image": image.astype("float32"),
        "camera_name": [name for name in NAMES for _ in range(frames)],
        "source": [source for source in SOURCES for _ in range(frames)],
    }
    if part == "test":
        content |= {
            "joints_2.5d_image": (image * factor[:, None, None]).astype("float32"),
            "2.5d_factor": factor,
            "action": [action for action in ("Directions", "Eating", "Walking") for _ in range(frames)],
        }
    return content


def write(path, **change):
    test = {key: value for key, value in (table("test") | change).items() if value is not None}
    path.write_bytes(pickle.dumps({"train": table("train"), "test": test}))
    return path


def test_frames_of_a_source_become_one_sequence(tmp_path):
    content = table("test")
    sequences = read_motionbert(write(tmp_path / "a.pkl"), "test")
    assert [s.source for s in sequences] == list(SOURCES)
    assert [s.action for s in sequences] == ["Directions", "Eating", "Walking"]
    assert [s.excluded for s in sequences] == [False, True, False]
    for index, sequence in enumerate(sequences):
        height = HEIGHTS[NAMES[index]]
        rows = slice(4 * index, 4 * index + 4)
        pixels = content["joint_2d"][rows].astype("float64")
        expected = np.stack([pixels[..., 0] / 500 - 1, pixels[..., 1] / 500 - height / 1000], axis=-1)
        np.testing.assert_allclose(sequence.pose_2d.numpy(), expected, atol=1e-6)
        image = content["joint3d_image"][rows].astype("float64")
        expected = image / 500 - [1, height / 1000, 0]
        np.testing.assert_allclose(sequence.target.numpy(), expected, atol=1e-6)
        np.testing.assert_array_equal(sequence.confidence.numpy(), content["confidence"][rows, :, 0])


def test_the_exclusions_are_motionberts():
    assert MOTIONBERT_EXCLUDED == (
        "s_09_act_05_subact_02",
        "s_09_act_10_subact_02",
        "s_09_act_13_subact_01",
    )


def test_a_perfect_prediction_scores_zero_and_a_pixel_as_much_as_the_factor_says(tmp_path):
    for sequence in read_motionbert(write(tmp_path / "a.pkl"), "test"):
        error = mpjpe(sequence.to_metres(sequence.target), sequence.scored_pose)
        assert float(error.max()) < 1e-2
        off = sequence.target.clone()
        off[:, 5, 0] += 2 / sequence.width  # one pixel
        error = mpjpe(sequence.to_metres(off), sequence.scored_pose) * 17
        torch.testing.assert_close(error, sequence.factor, atol=0.02, rtol=0)


def test_the_clip_stands_where_its_camera_saw_it(tmp_path):
    for seed, sequence in enumerate(read_motionbert(write(tmp_path / "a.pkl"), "test")):
        clip = sequence.to_clip()
        pose, image, factor = seen(4, SOURCES[seed], seed)
        assert (clip.camera.name, clip.fps) == (NAMES[seed], 50.0)
        np.testing.assert_allclose(clip.root.numpy(), pose[:, 0] / 1000, atol=2e-3)
        scored = (image - image[:, :1]) * factor[:, None, None] / 1000
        np.testing.assert_allclose(clip.pose_3d.numpy(), scored, atol=1e-4)
        assert isinstance(clip.camera, Camera)
        assert torch.equal(clip.pose_3d[:, 0], torch.zeros(4, 3))


def test_each_frame_is_normalised_by_its_own_camera(tmp_path):
    names = ["54138969", "55011271"] * 6
    sequences = read_motionbert(write(tmp_path / "a.pkl", camera_name=names), "test")
    pixels = table("test")["joint_2d"][:4, :, 1] / 500
    expected = pixels - np.array([1.002, 1.0, 1.002, 1.0])[:, None]
    np.testing.assert_allclose(sequences[0].pose_2d[..., 1].numpy(), expected, atol=1e-6)


def test_the_training_part_has_targets_but_no_metric_pose(tmp_path):
    sequences = read_motionbert(write(tmp_path / "a.pkl"), "train")
    assert [s.source for s in sequences] == list(SOURCES)
    assert all(s.factor is s.scored_pose is s.action is None for s in sequences)
    with pytest.raises(BenchmarkError, match=r"has no 2.5d_factor"):
        sequences[0].to_metres(sequences[0].target)
    with pytest.raises(BenchmarkError, match="has no metric poses"):
        sequences[0].to_clip()


@pytest.mark.parametrize("shape", ["2d", None])
def test_confidence_may_be_flat_or_missing(tmp_path, shape):
    flat = table("test")["confidence"][..., 0]
    path = write(tmp_path / "a.pkl", confidence=flat if shape else None)
    sequences = read_motionbert(path, "test")
    expected = flat[:4] if shape else np.ones((4, 17))
    np.testing.assert_array_equal(sequences[0].confidence.numpy(), expected)


def test_errors_name_what_is_wrong(tmp_path):
    def message(**change):
        with pytest.raises(BenchmarkError) as caught:
            read_motionbert(write(tmp_path / "a.pkl", **change), "test")
        return str(caught.value)

    good = table("test")
    assert "test: no key joint3d_image; it has joint_2d, confidence" in message(joint3d_image=None)
    assert "joint_2d has shape (12, 16, 2), expected (12, 17, 2) or (12, 17, 3)" in message(
        joint_2d=good["joint_2d"][:, :16]
    )
    assert "2.5d_factor has shape (11,)" in message(**{"2.5d_factor": good["2.5d_factor"][1:]})
    assert "joint_2d holds values that are not finite" in message(joint_2d=good["joint_2d"] * np.nan)
    assert "joint_2d is not an array of numbers" in message(joint_2d=["x"])
    assert "unknown cam9" in message(camera_name=["cam9"] * 12)
    assert "camera_name has 3 texts, expected 12" in message(camera_name=list(NAMES))
    assert "action has 2 texts, expected 12" in message(action=["Walking", "Eating"])
    assert "source must be a list with one text a frame" in message(source=3)
    metres = {key: good[key] / 1000 for key in ("joints_2.5d_image", "2.5d_factor")}
    assert "joints_2.5d_image is in metres, expected millimetres" in message(**metres)
    assert "is not joint3d_image times 2.5d_factor: off by" in message(**{"2.5d_factor": np.ones(12)})
    with pytest.raises(BenchmarkError, match="no part 'validate'; the file has train, test"):
        read_motionbert(write(tmp_path / "a.pkl"), "validate")
    with pytest.raises(BenchmarkError, match=r"none.pkl: cannot be read \(No such file"):
        read_motionbert(tmp_path / "none.pkl", "test")
    (tmp_path / "list.pkl").write_bytes(pickle.dumps([1]))
    with pytest.raises(BenchmarkError, match="holds a list, expected a dictionary"):
        read_motionbert(tmp_path / "list.pkl", "test")
    named = read_motionbert(write(tmp_path / "a.pkl", source=["walk"] * 12), "test")
    with pytest.raises(BenchmarkError, match="source 'walk', expected a form such as"):
        named[0].to_clip()


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
        np.testing.assert_array_equal(got.confidence.numpy(), expected["data_input"][..., 2])
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
