"""What cannot be read is one clear line."""

import errno
import json
import time
from pathlib import Path

import numpy as np
import pytest
from detector_files import alphapose, detectron, mmpose, mmpose_frames, openpose, people, videopose3d
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints import json_file, npz_file
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.lifting.watched import watch
from htp_diffusion.pose.layouts import COCO_17

SIZE = (1000, 800)


def refused(path, message, **options):
    options.setdefault("image_size", SIZE)
    with pytest.raises(BenchmarkError, match=message) as caught:
        read_detections(path, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def written(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_the_image_size_is_never_guessed(tmp_path):
    for path in (
        alphapose(tmp_path / "a.json", people(2, 17)),
        openpose(tmp_path / "o", people(2, 25)),
        mmpose(tmp_path / "m.json", people(2, 17)),
    ):
        refused(path, "do not tell the image's size: name it, as --size 1920x1080", image_size=None)
    refused(alphapose(tmp_path / "b.json", people(2, 17)), "most joints lie outside", image_size=(90, 160))


def test_width_and_height_swapped(tmp_path):
    tall = people(4, 17) * [1.0, 2.0, 1.0]  # a few joints below 800, none right of 800
    path = alphapose(tmp_path / "a.json", tall)
    assert 0.02 < (tall[..., 1] > 800).mean() < 0.5
    refused(path, r"outside of 1200x800 pixels, none outside of 800x1200: .*swapped", image_size=(1200, 800))
    read_detections(path, image_size=(800, 1200))


def test_numbers_that_are_too_long(tmp_path):
    path = alphapose(tmp_path / "a.json", people(1, 17), name="9" * 5000 + "{}.jpg")
    refused(path, "no frame number in the image_id '9999")
    content = {"width": 1e300, "height": 800, "frames": [None, {"landmarks": [[0.5] * 4] * 33}]}
    refused(written(tmp_path / "p.json", content), "width and height expect 1 to 999,999 pixels")


def test_a_video_is_named_of_files_that_hold_several(tmp_path):
    path = alphapose(tmp_path / "a.json", people(2, 17))
    refused(path, "only npz files hold several videos", video="one")
    np.savez(tmp_path / "e.npz", positions_2d=np.array({"v": {}}, dtype=object), metadata=np.array({}))
    refused(tmp_path / "e.npz", "positions_2d holds no video")


def test_no_file_and_folders_without_detections(tmp_path):
    refused(tmp_path / "none.json", "no such file or folder")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "a folder without detections")
    (tmp_path / "results").mkdir()
    alphapose(tmp_path / "results" / "alphapose-results.json", people(2, 17))
    refused(tmp_path / "results", r"a folder without detections.*give a file of another format itself")


def test_no_person_at_all(tmp_path):
    nobody = "no person was detected in any frame"
    refused(written(tmp_path / "a.json", []), nobody)
    refused(openpose(tmp_path / "o", [[], []]), nobody)
    refused(written(tmp_path / "m.json", {"instance_info": []}), nobody)
    refused(written(tmp_path / "n.json", {"instance_info": [{"frame_id": 1, "instances": []}]}), nobody)
    refused(written(tmp_path / "p.json", {"frames": [{"landmarks": []}, {"landmarks": []}]}), nobody)
    refused(detectron(tmp_path / "d.npz", people(2, 17), empty=(0, 1)), nobody)
    np.savez(tmp_path / "l.npz", landmarks=np.full((3, 33, 4), np.nan))
    refused(tmp_path / "l.npz", nobody)
    with pytest.raises(BenchmarkError, match=nobody):
        read_detections(tmp_path / "a.json", format="alphapose", layout=COCO_17)


def test_another_number_of_joints_than_any_layout(tmp_path):
    refused(alphapose(tmp_path / "a.json", people(2, 20)), "20 joints are no known layout's; known are 17")
    refused(openpose(tmp_path / "o", people(2, 15)), "15 joints are no known layout's")
    refused(mmpose(tmp_path / "m.json", people(2, 14)), "14 joints are no known layout's")
    refused(
        written(tmp_path / "p.json", {"frames": [[{"x": 0, "y": 0}] * 32]}), "expected 33 landmarks, got 32"
    )
    np.savez(tmp_path / "k.npz", reconstruction=np.ones((1, 4, 16, 2)))
    refused(tmp_path / "k.npz", "16 joints, layout h36m-17 has 17")


@pytest.mark.parametrize("column", range(3))
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "a value that is not finite"),
        (float("inf"), "a value that is not finite"),
        (1e39, "a place or a confidence of 1,000,000 or more"),
        (-1e20, "a place or a confidence of 1,000,000 or more"),
        (1e6, "a place or a confidence of 1,000,000 or more"),
    ],
)
def test_values_that_are_not_finite_or_too_large(tmp_path, value, message, column):
    poses = people(3, 17)
    poses[1, 0, 4, column] = value
    refused(alphapose(tmp_path / "a.json", poses), f"frame 1: {message}")
    refused(mmpose(tmp_path / "m.json", poses), f"frame 2: {message}")
    if column < 2 or np.isfinite(value):  # the writer of the file makes a column of 0 times the confidence
        refused(detectron(tmp_path / "d.npz", poses), f"frame 1: {message}")


@pytest.mark.parametrize("share", [3e38, 999.0])
def test_shares_of_the_image_that_are_too_large(tmp_path, share):
    shares = np.full((3, 33, 4), 0.5)
    shares[1, 4, 1] = share
    np.savez(tmp_path / "a.npz", landmarks=shares)
    refused(tmp_path / "a.npz", "frame 1: a place or a confidence", image_size=(1000, 2000))


@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1.0, 999_999.0]))
def test_values_within_the_limits_can_be_watched(tmp_path_factory, seed, scale):
    """What is worked out from the largest values stays finite."""
    rng = np.random.default_rng(seed)
    poses = people(8, 17)
    poses[:, :, :, 2] = rng.uniform(0.3, 1.0, (8, 1, 17)) * scale
    poses[rng.integers(8), 0, rng.integers(17), rng.integers(2)] = rng.choice([-999_999.0, 999_999.0])
    path = alphapose(tmp_path_factory.mktemp("a") / "a.json", poses)
    watched = watch(read_detections(path, image_size=SIZE))
    assert watched.pose_2d.isfinite().all()


def test_paths_that_the_system_refuses(tmp_path, monkeypatch):
    refused(tmp_path / ("a" * 300 + ".json"), "cannot read .*: File name too long")
    folder = openpose(tmp_path / "o", people(2, 25))

    def denied(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)  # the superuser may read every folder
    refused(folder, "cannot read .*o: Permission denied")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_json(tmp_path, share):
    path = alphapose(tmp_path / "a.json", people(6, 17))
    text = path.read_text()
    refused(written(path, text[: int(share * len(text))]), "not a whole JSON file")
    refused(written(path, ""), "not a whole JSON file: it is cut off")


def test_what_is_no_json(tmp_path):
    refused(written(tmp_path / "a.json", "frame,x,y"), "not a whole JSON file")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00\xd8broken")
    refused(tmp_path / "b.json", "not a")
    refused(written(tmp_path / "c.json", {"hello": 1}), "none of AlphaPose's results")
    refused(written(tmp_path / "d.json", "3"), "none of AlphaPose's results")
    (tmp_path / "e.npz").write_bytes(b"PK no zip")
    refused(tmp_path / "e.npz", "not a readable npz file")
    np.savez(tmp_path / "f.npz", poses=np.zeros(3))
    refused(tmp_path / "f.npz", r"no detections: .* this one has poses")


def test_a_json_bomb_is_refused_quickly(tmp_path, monkeypatch):
    start = time.perf_counter()
    refused(written(tmp_path / "a.json", "[" * 1_000_000 + "]" * 1_000_000), "nested too deeply")
    refused(written(tmp_path / "b.json", "[1" + "0" * 10_000 + "]"), "not a|none of")
    monkeypatch.setattr(json_file, "SIZE_LIMIT", 10_000)
    with pytest.raises(BenchmarkError, match=r"more than 0\.009537 MiB of JSON, which is the limit"):
        json_file.read_json(written(tmp_path / "c.json", "[" + "[],[]," * 3_000 + "[]]"), 10_000)
    assert time.perf_counter() - start < 5


def test_the_limit_counts_all_files_of_a_folder(tmp_path, monkeypatch):
    from htp_diffusion.data.keypoints import openpose as reader

    folder = openpose(tmp_path / "o", people(20, 25))
    read_detections(folder, image_size=SIZE)
    monkeypatch.setattr(reader, "SIZE_LIMIT", 10_000)
    refused_with = pytest.raises(BenchmarkError, match="which is the limit")
    with refused_with:
        read_detections(folder, image_size=SIZE)


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(npz_file, "SIZE_LIMIT", 1_000)
    np.savez_compressed(tmp_path / "a.npz", reconstruction=np.zeros((1, 1_000, 17, 2)))
    refused(tmp_path / "a.npz", "over the limit")


def test_two_formats_or_layouts_mixed(tmp_path):
    coco, halpe = people(2, 17), people(2, 26)
    mixed = json.loads(alphapose(tmp_path / "a.json", coco).read_text())
    mixed += json.loads(alphapose(tmp_path / "b.json", halpe).read_text())
    refused(written(tmp_path / "c.json", mixed), "halpe-26 after coco-17: two layouts are mixed")
    mixed = json.loads((tmp_path / "a.json").read_text()) + mmpose_frames(coco)
    refused(
        written(tmp_path / "d.json", mixed), "entry 2: no image_id, keypoints; it has frame_id, instances"
    )
    folder = openpose(tmp_path / "o", people(2, 25))
    alphapose(folder / "alphapose-results.json", coco)
    refused(folder, "alphapose-results.json among OpenPose's files: two formats are mixed")
    folder = openpose(tmp_path / "p", people(2, 25))
    openpose(folder, people(2, 18), frames=[5, 6])
    refused(folder, "openpose-coco-18 after openpose-body-25: two layouts are mixed")
    folder = openpose(tmp_path / "q", people(2, 25))
    openpose(folder, people(2, 25), video="other")
    refused(folder, "frames of several videos: cam, other")
    (tmp_path / "r").mkdir()
    for name in ("cam_1_keypoints.json", "cam_01_keypoints.json"):
        written(tmp_path / "r" / name, {"people": []})
    refused(tmp_path / "r", "frame 1 is told twice")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([{"image_id": "0.jpg", "keypoints": "many"}], "expected numbers alone"),
        ([{"image_id": "0.jpg", "keypoints": [1, 2]}], "rows of 3 numbers"),
        ([{"image_id": "0.jpg", "keypoints": [[1, 2, 3], [1]]}], "expected numbers alone"),
        ([{"image_id": "cover.jpg", "keypoints": [0] * 51}], "no frame number in the image_id 'cover.jpg'"),
        ([{"image_id": None, "keypoints": [0] * 51}], "image_id: expected a whole number"),
        ([{"image_id": "0.jpg", "keypoints": [0] * 51}, 3], "expected a dictionary, got int"),
        ({"instance_info": 3}, "instance_info is no list"),
        ({"instance_info": [{"frame_id": 1.5, "instances": []}]}, "frame_id: expected a whole number"),
        ({"instance_info": [{"frame_id": 1, "instances": [{"keypoints": []}]}]}, "no keypoint_scores"),
        (
            {
                "instance_info": [
                    {"frame_id": 1, "instances": [{"keypoints": [[1, 2]], "keypoint_scores": [1, 2]}]}
                ]
            },
            "1 keypoints and 2 scores",
        ),
        ({"people": 3}, "people is no list"),
        ({"people": [{"pose_keypoints_2d": []}]}, "rows of 3 numbers"),
        ({"people": [{}]}, "no pose_keypoints_2d"),
        ({"frames": [[{"x": 1}] * 33]}, "a landmark is x, y and visibility"),
        ({"frames": [{"landmarks": {"x": 1}}]}, "expected a list of landmarks, got dict"),
        ({"frames": [[{"x": 1, "y": 1}] * 33], "fps": 0}, "fps: expected frames a second, got '0'"),
    ],
)
def test_entries_of_another_form(tmp_path, content, message):
    refused(written(tmp_path / "a.json", content), message)


def test_arrays_of_another_form(tmp_path):
    poses = people(3, 17)
    np.savez(tmp_path / "a.npz", reconstruction=np.ones((3, 17)))
    refused(tmp_path / "a.npz", r"reconstruction \(people, frames, joints, 2 or 3\) expected, got \(3, 17\)")
    np.savez(tmp_path / "b.npz", reconstruction=np.array(["x"]))
    refused(tmp_path / "b.npz", "not an array of numbers")
    np.savez(tmp_path / "c.npz", boxes=np.zeros(1), keypoints=np.ones((2, 3, 17)))
    refused(tmp_path / "c.npz", r"expected keypoints \(people, 4, joints\)")
    np.savez(tmp_path / "d.npz", landmarks=np.ones((2, 30, 4)))
    refused(tmp_path / "d.npz", "expected landmarks")
    videopose3d(tmp_path / "e.npz", poses)
    refused(tmp_path / "e.npz", "no video 'mine'; there are: clip.mp4", video="mine")
    np.savez(tmp_path / "f.npz", positions_2d=np.zeros(2), metadata=np.array({"layout_name": "coco"}))
    refused(tmp_path / "f.npz", "positions_2d holds a ndarray, expected a dictionary")


def test_arrays_without_axes_and_numbers_of_400_digits(tmp_path):
    path, about = tmp_path / "a.npz", np.array({"layout_name": ["coco"]})
    np.savez(path, reconstruction=np.array([10**400], dtype=object))
    refused(path, "reconstruction: not an array of numbers")
    np.savez(path, boxes=np.zeros(1), keypoints=np.float64(3))
    refused(path, "keypoints is no array of frames")
    inner = np.empty((), dtype=object)
    inner[()] = 3.0
    frames = np.empty(1, dtype=object)
    frames[0] = inner
    np.savez(path, boxes=np.zeros(1), keypoints=frames)
    refused(path, r"frame 0: expected keypoints \(people, 4, joints\), got \(\)")
    np.savez(path, positions_2d=np.array({"v": {"custom": np.float64(3)}}), metadata=about)
    refused(path, "v/custom: expected the poses of one camera")
    np.savez(path, positions_2d=np.array({"v": {"custom": np.array(3.0)}}), metadata=about)
    refused(path, "v/custom: expected the poses of one camera")


def test_a_pickle_that_calls_is_refused(tmp_path):
    class Call:
        def __reduce__(self):
            return (print, ("called",))

    holder = np.empty((), dtype=object)
    holder[()] = Call()
    np.savez(tmp_path / "a.npz", reconstruction=holder)
    refused(tmp_path / "a.npz", "print|builtins")
