"""Detections in npz files: MHFormer's and HoT's demos, VideoPose3D's custom data, Detectron, MediaPipe."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.units import GIBIBYTE
from htp_diffusion.data.formats.npz import leaves, npz_keys, read_member
from htp_diffusion.data.formats.table import is_list
from htp_diffusion.data.formats.told import listed
from htp_diffusion.data.keypoints.detections import Recording, Sighting, Size, nobody
from htp_diffusion.data.keypoints.joint_count import layout_of_count
from htp_diffusion.data.keypoints.json_file import image_size
from htp_diffusion.data.keypoints.mediapipe import KEYS as MEDIAPIPE_KEYS
from htp_diffusion.data.keypoints.mediapipe import read_mediapipe_array
from htp_diffusion.pose.layout import H36M_17, Layout
from htp_diffusion.pose.layouts import COCO_17

SIZE_LIMIT = GIBIBYTE
"""Bytes of one array, unpacked."""

_LAYOUT_NAMES = {"coco": COCO_17, "h36m": H36M_17}  # as VideoPose3D's metadata call them


def read_npz_detections(
    path: Path, layout: Layout | None = None, video: str | None = None, format: str | None = None
) -> Recording:
    """Take the people out of an npz file, whose keys tell what it is.

    Args:
        path: The file.
        layout: The layout that the user names instead of the one that the file tells.
        video: Which video of a file of several.
        format: What the user says that it is, of ``NPZ_READERS``.

    Raises:
        BenchmarkError: No npz file, keys of no known format, or content of another form.
    """
    keys = npz_keys(path)
    kind = format or next((kind for kind, needed in _NEEDED.items() if needed & keys == needed), None)
    if kind is None and keys & set(MEDIAPIPE_KEYS):
        kind = "mediapipe"
    if kind is None:
        raise BenchmarkError(
            f"{path}: no detections: an npz file of MHFormer's or HoT's demo has the key reconstruction, "
            "VideoPose3D's positions_2d and metadata, Detectron's boxes and keypoints, MediaPipe's landmarks;"
            f" this one has {listed(sorted(keys))}"
        )
    if kind == "videopose3d":
        return _videopose3d(path, layout, video)
    if kind == "detectron":
        return _detectron(path, layout)
    if kind == "mediapipe":
        key = next((key for key in MEDIAPIPE_KEYS if key in keys), MEDIAPIPE_KEYS[0])
        return read_mediapipe_array(path, _numbers(path, key))
    return _demo(path, layout)


_NEEDED = {
    "videopose3d": {"positions_2d", "metadata"},
    "detectron": {"boxes", "keypoints"},
    "mhformer": {"reconstruction"},
}
NPZ_READERS = (*_NEEDED, "mediapipe")


def _demo(path: Path, layout: Layout | None) -> Recording:
    """``reconstruction``: (people, frames, 17, x y and perhaps confidence), pixels, the joints of Human3.6M.

    The demos of MHFormer, StridedTransformer, HoT and MotionAGFormer write it, after GAST-Net's conversion.
    """
    values = _numbers(path, "reconstruction")
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4 or values.shape[-1] not in (2, 3) or 0 in values.shape:
        raise BenchmarkError(
            f"{path}: reconstruction (people, frames, joints, 2 or 3) expected, got {values.shape}"
        )
    found = layout or H36M_17
    if values.shape[2] != found.num_joints:
        raise BenchmarkError(f"{path}: {values.shape[2]} joints, layout {found.name} has {found.num_joints}")
    sightings = [
        Sighting(frame=frame, joints=_with_confidence(pose), track=person)
        for person, poses in enumerate(values)
        for frame, pose in enumerate(poses)
    ]
    return Recording(
        format="keypoints of MHFormer's and HoT's demos", layout=found, sightings=tuple(sightings)
    )


def _videopose3d(path: Path, layout: Layout | None, video: str | None) -> Recording:
    """``positions_2d``: {video: {"custom": [poses]}}, pixels; ``metadata`` names the layout and the sizes."""
    metadata = _dictionary(read_member(path, "metadata", SIZE_LIMIT), f"{path}: metadata")
    tree = _dictionary(read_member(path, "positions_2d", SIZE_LIMIT), f"{path}: positions_2d")
    found = dict(leaves(tree, path, "positions_2d"))
    if not found:
        raise BenchmarkError(f"{path}: positions_2d holds no video")
    chosen = [name for name in found if video in (None, name, name.rpartition("/")[0])]
    if len(chosen) != 1:
        names = ", ".join(name.rpartition("/")[0] for name in found)[:300]
        raise BenchmarkError(
            f"{path}: {'several videos' if video is None else f'no video {video!r}'}; there are: {names}"
        )
    views = found[chosen[0]]
    if not is_list(views) or len(views) != 1:
        raise BenchmarkError(f"{path}: {chosen[0]}: expected the poses of one camera")
    poses = _as_numbers(views[0], f"{path}: {chosen[0]}")
    if poses.ndim != 3 or poses.shape[-1] not in (2, 3) or 0 in poses.shape:
        raise BenchmarkError(f"{path}: {chosen[0]}: expected (frames, joints, 2 or 3), got {poses.shape}")
    name = metadata.get("layout_name")
    named = _LAYOUT_NAMES.get(name) if isinstance(name, str) else None
    joints = layout or named or layout_of_count(poses.shape[1], str(path))
    if joints.num_joints != poses.shape[1]:
        raise BenchmarkError(f"{path}: {poses.shape[1]} joints, layout {joints.name} has {joints.num_joints}")
    about = metadata.get("video_metadata", {})
    about = about.get(chosen[0].rpartition("/")[0], {}) if isinstance(about, dict) else {}
    return Recording(
        format="VideoPose3D custom data",
        layout=joints,
        sightings=tuple(
            Sighting(frame=f, joints=_with_confidence(pose), track=0) for f, pose in enumerate(poses)
        ),
        image_size=_size(about, f"{path}: video_metadata"),
    )


def _detectron(path: Path, layout: Layout | None) -> Recording:
    """``keypoints``: for each frame, of the class of people, (people, x y logit probability, joints)."""
    frames = read_member(path, "keypoints", SIZE_LIMIT)
    if not is_list(frames):
        raise BenchmarkError(f"{path}: keypoints is no array of frames")
    sightings, found = [], layout
    for frame, entry in enumerate(frames):
        what = f"{path}, frame {frame}"
        if is_list(entry) and not (isinstance(entry, np.ndarray) and entry.dtype.kind != "O"):
            entry = entry[1] if len(entry) == 2 else []  # the background's, then the people's
        people = _as_numbers(entry, what)
        if not people.size:
            continue
        if people.ndim != 3 or people.shape[1] != 4:
            raise BenchmarkError(f"{what}: expected keypoints (people, 4, joints), got {people.shape}")
        found = layout_of_count(people.shape[2], what, found)
        sightings += [Sighting(frame=frame, joints=person[[0, 1, 3]].T) for person in people]
    if found is None or not sightings:
        raise nobody(path)
    about = read_member(path, "metadata", SIZE_LIMIT) if "metadata" in npz_keys(path) else {}
    return Recording(
        format="Detectron detections",
        layout=found,
        sightings=tuple(sightings),
        image_size=_size(about, f"{path}: metadata"),
    )


def _size(about: Any, what: str) -> Size | None:
    return image_size(about.get("w"), about.get("h"), what) if isinstance(about, dict) else None


def _with_confidence(pose: Float64[np.ndarray, "joints columns"]) -> Float64[np.ndarray, "joints 3"]:
    """A third column where there is none: joints at (0, 0) were not found, the others count as seen."""
    return pose if pose.shape[1] == 3 else np.hstack([pose, pose.any(axis=1, keepdims=True)])


def _numbers(path: Path, key: str) -> Float64[np.ndarray, "..."]:
    return _as_numbers(read_member(path, key, SIZE_LIMIT), f"{path}: {key}")


def _as_numbers(value: Any, what: str) -> Float64[np.ndarray, "..."]:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BenchmarkError(f"{what}: not an array of numbers") from None


def _dictionary(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise BenchmarkError(f"{what} holds a {type(value).__name__}, expected a dictionary")
    return value
