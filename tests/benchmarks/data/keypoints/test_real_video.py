"""Detections of a real video, in three formats, from three cameras."""

import numpy as np
import pytest
import torch

from htp_diffusion.data.keypoints.gaps import fill
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.data.keypoints.sides import swapped_frames

# The frames whose joints lie nearer to the triangulated ones once left and right have changed places.
SWAPPED = [36, *range(41, 62), 63, 65, *range(67, 74), 81]
CAMERAS = {
    1: ("cam01-alphapose.json", (1080, 1920), "coco-17", range(100), []),
    2: ("cam02-openpose", (1080, 1920), "openpose-body-25", range(100), SWAPPED),
    3: ("cam03-mmpose.json", (1088, 1920), "coco-17", range(1, 101), []),
}


@pytest.mark.parametrize("camera", CAMERAS)
def test_one_person_walks_through_a_hundred_frames(video_path, camera):
    file, size, layout, frames, swapped = CAMERAS[camera]
    found = read_detections(video_path / file, image_size=size)
    assert found.layout.name == layout
    [track] = found.tracks
    assert track.frames.tolist() == list(frames)
    assert (track.confidence > 0).all()
    wrong = swapped_frames(track, found.layout)
    assert track.frames[wrong].tolist() == swapped
    needed = torch.ones(found.layout.num_joints, dtype=torch.bool)
    filled = fill(track, found.layout, needed, least=0.3)
    assert not filled.gap.any()
    assert filled.filled.sum() == (66 if camera == 3 else 0)  # an arm and a knee behind the body


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_detected_wrists_are_where_the_reference_has_them(video_path, camera):
    file, size, *_ = CAMERAS[camera]
    found = read_detections(video_path / file, image_size=size)
    reference = np.load(video_path / "reference.npz")
    index = camera - 1
    seen = reference["points"][:, [15, 16]] @ reference["rotation"][index].T + reference["translation"][index]
    pixels = seen[..., :2] / seen[..., 2:] * reference["intrinsics"][index][[0, 1], [0, 1]]
    pixels = pixels + reference["intrinsics"][index][:2, 2]
    track = found.person()
    joints = [found.layout.index("left_wrist"), found.layout.index("right_wrist")]
    sound = [
        t for t in range(100) if t not in SWAPPED
    ]  # the reference is triangulated from the swapped frames
    off = np.linalg.norm(track.joints[sound][:, joints].numpy() - pixels[sound], axis=-1)
    across = np.linalg.norm(track.joints[sound][:, joints[::-1]].numpy() - pixels[sound], axis=-1)
    assert np.median(off) < 40 < 150 < np.median(across)
