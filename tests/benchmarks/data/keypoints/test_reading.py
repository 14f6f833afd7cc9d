"""Every format gives back the people that were written in its form."""

import json

import numpy as np
import pytest
import torch
from detector_files import (
    COUNTS,
    alphapose,
    detectron,
    landmarks,
    mmpose,
    mmpose_frames,
    openpose,
    people,
    videopose3d,
)

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.pose.layouts import layout_named

SIZE = (1000, 800)


def check(found, poses, *, format, layout, frames=None, confidence=True):
    """One person, with the joints of ``poses`` (frames, 1, joints, 3)."""
    assert (found.format, found.layout.name, found.image_size) == (format, layout, SIZE)
    [track] = found.tracks
    assert track.frames.tolist() == list(frames or range(len(poses)))
    torch.testing.assert_close(track.joints, torch.from_numpy(poses[:, 0, :, :2]).float(), atol=2e-3, rtol=0)
    expected = torch.from_numpy(poses[:, 0, :, 2]).float()
    torch.testing.assert_close(track.confidence, expected if confidence else torch.ones_like(expected))


@pytest.mark.parametrize("layout", ["coco-17", "halpe-26"])
@pytest.mark.parametrize("name", ["{}.jpg", "video2_frame_{:06d}.png"])
def test_alphapose(tmp_path, layout, name):
    poses = people(6, COUNTS[layout])
    path = alphapose(tmp_path / "alphapose-results.json", poses, frames=[0, 1, 2, 5, 6, 7], name=name)
    found = read_detections(path, image_size=SIZE)
    check(found, poses, format="AlphaPose results", layout=layout, frames=[0, 1, 2, 5, 6, 7])
    assert found.fps is None


@pytest.mark.parametrize(("count", "layout"), [(133, "coco-17"), (136, "halpe-26")])
def test_whole_body_layouts_begin_with_the_body(tmp_path, count, layout):
    poses = people(3, count)
    found = read_detections(alphapose(tmp_path / "a.json", poses), image_size=SIZE)
    check(found, poses[:, :, : COUNTS[layout]], format="AlphaPose results", layout=layout)


@pytest.mark.parametrize("layout", ["openpose-body-25", "openpose-coco-18"])
def test_openpose(tmp_path, layout):
    poses = people(5, COUNTS[layout])
    folder = openpose(tmp_path / "json", poses, frames=[3, 4, 5, 6, 9])
    (folder / "cam_000000000007_keypoints.json").write_text('{"version": 1.3, "people": []}')
    found = read_detections(folder, image_size=SIZE)
    check(found, poses, format="OpenPose", layout=layout, frames=[3, 4, 5, 6, 9])
    one = read_detections(folder / "cam_000000000004_keypoints.json", image_size=SIZE)
    check(one, poses[1:2], format="OpenPose", layout=layout, frames=[4])


def test_mmpose(tmp_path):
    poses = people(5, 17)
    found = read_detections(mmpose(tmp_path / "a.json", poses), image_size=SIZE)
    check(found, poses, format="MMPose predictions", layout="coco-17", frames=range(1, 6))
    listed = tmp_path / "inferencer.json"
    listed.write_text(json.dumps(mmpose_frames(poses)))
    found = read_detections(listed, image_size=SIZE)
    check(found, poses, format="MMPose predictions", layout="coco-17", frames=range(1, 6))
    image = tmp_path / "image.json"
    image.write_text(json.dumps(mmpose_frames(poses)[0]["instances"]))
    check(read_detections(image, image_size=SIZE), poses[:1], format="MMPose predictions", layout="coco-17")
    found = read_detections(mmpose(tmp_path / "h.json", poses, dataset="h36m"), image_size=SIZE)
    assert found.layout.name == "h36m-17"
    found = read_detections(mmpose(tmp_path / "e.json", people(2, 26), dataset="halpe26"), image_size=SIZE)
    assert found.layout.name == "halpe-26"


def test_mediapipe_json(tmp_path):
    poses = people(4, 33)
    frames = [landmarks(person, SIZE) for (person,) in poses]
    expected = {"format": "MediaPipe landmarks", "layout": "mediapipe-33"}
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps({"fps": 25, "width": 1000, "height": 800, "frames": [*frames[:2], None, *frames[2:]]})
    )
    found = read_detections(path)
    check(found, poses, frames=[0, 1, 3, 4], **expected)
    assert found.fps == 25
    path.write_text(
        json.dumps([{"frame": 10 + t, "pose_landmarks": [frame]} for t, frame in enumerate(frames)])
    )
    check(read_detections(path, image_size=SIZE), poses, frames=range(10, 14), **expected)
    rows = [[[x, y, 0.0, seen] for x, y, seen in person.tolist()] for (person,) in poses]  # pixels
    path.write_text(json.dumps(rows))
    check(read_detections(path, image_size=SIZE), poses, **expected)


def test_mediapipe_npz(tmp_path):
    poses = people(4, 33)
    shares = poses[:, 0, :, :2] / np.array(SIZE)
    full = np.concatenate([shares, np.zeros((4, 33, 1)), poses[:, 0, :, 2:]], axis=-1)
    missed = np.insert(full, 2, np.nan, axis=0).astype("float32")
    np.savez(tmp_path / "a.npz", landmarks=missed)
    expected = {"format": "MediaPipe landmarks", "layout": "mediapipe-33"}
    check(read_detections(tmp_path / "a.npz", image_size=SIZE), poses, frames=[0, 1, 3, 4], **expected)
    np.savez(tmp_path / "c.npz", landmarks=missed[..., :3])  # without visibility
    found = read_detections(tmp_path / "c.npz", image_size=SIZE)
    assert found.tracks[0].frames.tolist() == [0, 1, 3, 4]
    np.savez(tmp_path / "b.npz", pose_landmarks=shares)
    check(read_detections(tmp_path / "b.npz", image_size=SIZE), poses, confidence=False, **expected)


@pytest.mark.parametrize("columns", [2, 3])  # MHFormer's and HoT's demos write two, MotionAGFormer's three
def test_keypoints_of_the_demos(tmp_path, columns):
    poses = people(5, 17, persons=2)
    np.savez_compressed(tmp_path / "keypoints.npz", reconstruction=poses.swapaxes(0, 1)[..., :columns])
    found = read_detections(tmp_path / "keypoints.npz", image_size=SIZE)
    assert (found.layout.name, found.followed, len(found.tracks)) == ("h36m-17", "the file", 2)
    torch.testing.assert_close(found.person(1).joints, torch.from_numpy(poses[:, 1, :, :2]).float())
    assert (found.person(1).confidence == 1).all() == (columns == 2)


def test_a_joint_at_the_corner_was_not_found_where_a_file_tells_no_confidence(tmp_path):
    poses = people(4, 17)
    poses[2, 0, 9, :2] = 0.0
    np.savez_compressed(tmp_path / "keypoints.npz", reconstruction=poses.swapaxes(0, 1)[..., :2])
    confidence = read_detections(tmp_path / "keypoints.npz", image_size=SIZE).person().confidence
    assert (confidence == 0).nonzero().tolist() == [[2, 9]]
    assert confidence.sum() == 4 * 17 - 1


def test_videopose3d_custom(tmp_path):
    poses = people(5, 17)
    found = read_detections(videopose3d(tmp_path / "data_2d_custom_mine.npz", poses))
    check(found, poses, format="VideoPose3D custom data", layout="coco-17", confidence=False)
    several = videopose3d(tmp_path / "two.npz", poses, videos=("a.mp4", "b.mp4"))
    with pytest.raises(BenchmarkError, match=r"several videos; there are: a.mp4, b.mp4"):
        read_detections(several)
    found = read_detections(several, video="b.mp4")
    check(found, poses, format="VideoPose3D custom data", layout="coco-17", confidence=False)
    found = read_detections(videopose3d(tmp_path / "h.npz", poses, layout="h36m"))
    assert found.layout.name == "h36m-17"


def test_detectron(tmp_path):
    poses = people(5, 17)
    found = read_detections(detectron(tmp_path / "clip.mp4.npz", poses, empty=(1,)))
    kept = np.delete(poses, 1, axis=0)
    check(found, kept, format="Detectron detections", layout="coco-17", frames=[0, 2, 3, 4])


def test_a_size_that_is_given_goes_before_the_files(tmp_path):
    path = videopose3d(tmp_path / "a.npz", people(3, 17), size=(1000, 800))
    assert read_detections(path, image_size=(1280, 720)).image_size == (1280, 720)


def test_a_wrong_guess_can_be_overridden(tmp_path):
    poses = people(4, 17)
    path = alphapose(tmp_path / "a.json", poses)
    found = read_detections(path, image_size=SIZE, layout=layout_named("h36m-17"))
    assert found.layout.name == "h36m-17"
    with pytest.raises(BenchmarkError, match="17 joints, layout halpe-26 has 26"):
        read_detections(path, image_size=SIZE, layout=layout_named("halpe-26"))
    with pytest.raises(BenchmarkError, match="no frame_id, instances"):
        read_detections(path, image_size=SIZE, format="mmpose")
    with pytest.raises(BenchmarkError, match="a folder is OpenPose's, not mmpose's"):
        read_detections(tmp_path, image_size=SIZE, format="mmpose")
    with pytest.raises(BenchmarkError, match="an npz file is one of"):
        read_detections(videopose3d(tmp_path / "v.npz", poses), format="alphapose")


@pytest.mark.parametrize("frame", [2**31, 10**30, -(10**20)])
def test_a_frame_number_that_no_video_has(tmp_path, frame):
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"image_id": frame, "keypoints": [1.0] * 51, "score": 1.0}]))
    with pytest.raises(BenchmarkError, match=f"no video has a frame of number {frame}$"):
        read_detections(path, image_size=(1920, 1080))
