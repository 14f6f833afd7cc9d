"""The numbers of a lifted video as its file holds them."""

import numpy as np
import pytest
from detector_files import lifted_video

from htp_diffusion.lifting.video import save_poses


@pytest.mark.parametrize(("fps", "told"), [(29.97, 29.97), (None, 0.0)])
def test_the_file_holds_metres_pixels_marks_and_the_frame_rate(tmp_path, fps, told):
    video = lifted_video(fps=fps)
    save_poses(tmp_path / "poses.npz", video)
    saved = np.load(tmp_path / "poses.npz")
    watched, lifted = video.watched, video.lifted
    expected = {
        "poses": lifted.poses, "uncertainty": lifted.spread, "kept": lifted.kept,
        "pose_2d": watched.pose_2d, "frames": watched.frames, "gap": watched.gap,
        "filled": watched.filled, "swapped": watched.swapped,
    }  # fmt: skip
    for key, value in expected.items():
        np.testing.assert_array_equal(saved[key], value.numpy(), err_msg=key)
    assert saved["image_size"].tolist() == [1000, 800]
    assert (saved["fps"], saved["window_frames"], saved["person"]) == (told, 27, 2)
