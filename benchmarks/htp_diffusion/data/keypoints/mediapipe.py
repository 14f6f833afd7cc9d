"""MediaPipe Pose's 33 landmarks, as JSON or as an array; MediaPipe itself has no file of its own.

JSON: a list with one entry a frame, or {"frames": that list, "fps", "width", "height"}. An entry is null or
empty where nobody was found, the landmarks of one person, the landmarks of several (as PoseLandmarker gives
them), or {"frame": its number, "landmarks" or "pose_landmarks": one of these}. A landmark is {"x", "y",
"visibility"} or [x, y, z, visibility]; z is not read. x and y are shares of the image's width and height, or
pixels.
"""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.detections import Recording, Sighting, nobody
from htp_diffusion.data.keypoints.json_file import image_size, require_keys, whole_number
from htp_diffusion.pose.layouts import MEDIAPIPE_33

KEYS = ("landmarks", "pose_landmarks")
_JOINTS = MEDIAPIPE_33.num_joints
_SHARES_BELOW = 2.0  # landmarks out of the picture go a little over 1; a person in pixels is far larger


def is_mediapipe(content: Any) -> bool:
    """Whether JSON looks like it: frames of landmarks."""
    frames = content.get("frames") if isinstance(content, dict) else content
    if not isinstance(frames, list):
        return False
    entry = next((entry for entry in frames if entry), None)
    if isinstance(entry, dict):
        return any(key in entry for key in KEYS)
    return isinstance(entry, list)


def read_mediapipe(path: Path, content: Any) -> Recording:
    """Take the people out of JSON of the form above.

    Raises:
        BenchmarkError: An entry of another form, another number of landmarks, or nobody in any frame.
    """
    about = content if isinstance(content, dict) else {}
    frames = about.get("frames", content)
    if not isinstance(frames, list):
        raise BenchmarkError(f"{path}: frames is no list")
    sightings = []
    for index, entry in enumerate(frames):
        what = f"{path}, frame entry {index}"
        frame = index
        if isinstance(entry, dict):
            frame = whole_number(entry.get("frame", index), f"{what}: frame")
            key = next((key for key in KEYS if key in entry), KEYS[0])
            entry = require_keys(entry, (key,), what)[key]
        sightings += [Sighting(frame=frame, joints=joints) for joints in _people(entry, what)]
    fps = about.get("fps")
    return _recording(
        path,
        sightings,
        size=image_size(about.get("width"), about.get("height"), str(path)),
        fps=None if fps is None else _positive(fps, f"{path}: fps"),
    )


def read_mediapipe_array(path: Path, landmarks: Float64[np.ndarray, "..."]) -> Recording:
    """Take one person out of an array (frames, 33, x y z visibility...) of an npz file.

    With two or three columns every landmark counts as seen. A frame of NaN is one in which nobody was found.

    Raises:
        BenchmarkError: Another shape, or nobody in any frame.
    """
    if landmarks.ndim != 3 or landmarks.shape[1] != _JOINTS or landmarks.shape[2] < 2:
        raise BenchmarkError(f"{path}: expected landmarks (frames, {_JOINTS}, 2 to 5), got {landmarks.shape}")
    seen = np.ones((*landmarks.shape[:2], 1)) if landmarks.shape[2] < 4 else landmarks[..., 3:4]
    joints = np.concatenate([landmarks[..., :2], seen], axis=-1)
    sightings = [
        Sighting(frame=frame, joints=pose)
        for frame, pose in enumerate(joints)
        if not np.isnan(pose[:, :2]).all()
    ]
    return _recording(path, sightings, size=None, fps=None)


def _recording(
    path: Path, sightings: list[Sighting], size: tuple[int, int] | None, fps: float | None
) -> Recording:
    if not sightings:
        raise nobody(path)
    places = np.abs(np.concatenate([sighting.joints[:, :2] for sighting in sightings]))
    return Recording(
        format="MediaPipe landmarks",
        layout=MEDIAPIPE_33,
        sightings=tuple(sightings),
        image_size=size,
        fps=fps,
        per_image=bool(np.median(places) < _SHARES_BELOW),
    )


def _people(entry: Any, what: str) -> list[Float64[np.ndarray, "joints 3"]]:
    """The people of one frame."""
    if not entry:
        return []
    if not isinstance(entry, list):
        raise BenchmarkError(f"{what}: expected a list of landmarks, got {type(entry).__name__}")
    several = isinstance(entry[0], list) and bool(entry[0]) and isinstance(entry[0][0], (dict, list))
    return [_person(person, what) for person in (entry if several else [entry])]


def _person(landmarks: Any, what: str) -> Float64[np.ndarray, "joints 3"]:
    if not isinstance(landmarks, list) or len(landmarks) != _JOINTS:
        count = len(landmarks) if isinstance(landmarks, list) else type(landmarks).__name__
        raise BenchmarkError(f"{what}: expected {_JOINTS} landmarks, got {count}")
    try:
        return np.array([_landmark(landmark) for landmark in landmarks], dtype=np.float64)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        raise BenchmarkError(f"{what}: a landmark is x, y and visibility, or [x, y, z, visibility]") from None


def _landmark(landmark: Any) -> tuple[float, float, float]:
    if isinstance(landmark, dict):
        return float(landmark["x"]), float(landmark["y"]), float(landmark.get("visibility", 1.0))
    seen = landmark[3] if len(landmark) > 3 else 1.0
    return float(landmark[0]), float(landmark[1]), float(seen)


def _positive(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise BenchmarkError(f"{what}: expected frames a second, got {str(value)[:40]!r}")
    return float(value)
