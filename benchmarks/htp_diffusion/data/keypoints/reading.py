"""Reading detections: format and layout are recognised and named; what is missing is refused, not guessed."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.alphapose import is_alphapose, read_alphapose
from htp_diffusion.data.keypoints.detections import Detections, Recording, Sighting, Size, nobody
from htp_diffusion.data.keypoints.json_file import read_json
from htp_diffusion.data.keypoints.mediapipe import is_mediapipe, read_mediapipe
from htp_diffusion.data.keypoints.mmpose import is_mmpose, read_mmpose
from htp_diffusion.data.keypoints.npz_file import NPZ_READERS, read_npz_detections
from htp_diffusion.data.keypoints.openpose import read_openpose
from htp_diffusion.data.keypoints.tracks import follow, numbered_by_file
from htp_diffusion.pose.layout import Layout

Format = Literal["alphapose", "openpose", "mmpose", "mediapipe", "mhformer", "videopose3d", "detectron"]

_MOST_FRAMES = 2**31
_TOO_LARGE = 1e6
"""Of a place in pixels, as no image has a side so long, and of a confidence: some tools tell sums of heat
maps, over 1. What is worked out from larger values can be infinite in float32."""

_MOST_PEOPLE = 500
"""In a frame: several times what detectors find in a crowd. To follow people takes a time quadratic in it."""

_SOME_OUTSIDE, _MOST_OUTSIDE = 0.02, 0.5  # of the joints


def read_detections(
    path: str | Path,
    *,
    format: Format | None = None,
    layout: Layout | None = None,
    image_size: Size | None = None,
    video: str | None = None,
) -> Detections:
    """Read what a 2D detector wrote.

    Args:
        path: AlphaPose's results JSON, a folder of OpenPose's, MMPose's predictions JSON, MediaPipe's 33
            landmarks (JSON or npz), or an npz file of MHFormer's or HoT's demo, of VideoPose3D's custom data
            or of Detectron.
        format: What it is; None to recognise it.
        layout: The order of its joints; None as the file tells or its number of joints says.
        image_size: Width and height, pixels; None as the file tells.
        video: Which video of a file of several.

    Raises:
        BenchmarkError: No such file, no such format, a damaged or malformed file, a value that is not finite,
            no person in it, or an image size that is not known or that the joints do not fit.
    """
    path = Path(path)
    if video is not None and path.suffix != ".npz":
        raise BenchmarkError(f"{path}: only npz files hold several videos, so that one has to be named")
    recording = _read(path, format, layout, video)
    _check_values(path, recording)
    _check_crowds(path, recording)
    size = image_size or recording.image_size
    if size is None:
        raise BenchmarkError(
            f"{path}: {recording.format} do not tell the image's size: name it, as --size 1920x1080"
        )
    if min(size) < 1:
        raise BenchmarkError(f"image size expects a width and a height above 0, got {size[0]}x{size[1]}")
    if recording.per_image:
        recording = _in_pixels(recording, size)
        _check_values(path, recording)
    _check_inside(path, recording, size)
    return Detections(
        format=recording.format,
        layout=recording.layout,
        image_size=size,
        fps=recording.fps,
        tracks=follow(recording.sightings),
        followed="the file" if numbered_by_file(recording.sightings) else "overlap",
    )


def _read(path: Path, format: Format | None, layout: Layout | None, video: str | None) -> Recording:
    try:
        exists, folder = path.exists(), path.is_dir()
    except OSError as error:  # too long a name, a folder that must not be entered
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from None
    if not exists:
        raise BenchmarkError(f"{path}: no such file or folder")
    if folder:
        if format not in (None, "openpose"):
            raise BenchmarkError(f"{path}: a folder is OpenPose's, not {format}'s")
        return read_openpose(path, layout)
    if path.suffix == ".npz":
        if format is not None and format not in NPZ_READERS:
            raise BenchmarkError(f"{path}: an npz file is one of {', '.join(NPZ_READERS)}, not {format}")
        return read_npz_detections(path, layout, video, format)
    content = read_json(path)
    kind = format or _json_format(path, content)
    if kind == "alphapose":
        return read_alphapose(path, content, layout)
    if kind == "mmpose":
        return read_mmpose(path, content, layout)
    if kind == "openpose":
        return read_openpose(path, layout)
    if kind == "mediapipe":
        return read_mediapipe(path, content)
    raise BenchmarkError(f"{path}: a JSON file is one of alphapose, openpose, mmpose, mediapipe, not {kind}")


def _json_format(path: Path, content: Any) -> Format:
    if content == [] or (isinstance(content, dict) and content.get("instance_info") == []):
        raise nobody(path)
    if is_alphapose(content):
        return "alphapose"
    if is_mmpose(content):
        return "mmpose"
    if isinstance(content, dict) and "people" in content:
        return "openpose"
    if is_mediapipe(content):
        return "mediapipe"
    raise BenchmarkError(
        f"{path}: none of AlphaPose's results, OpenPose's files, MMPose's predictions, MediaPipe's landmarks"
    )


def _check_values(path: Path, recording: Recording) -> None:
    for sighting in recording.sightings:
        if not abs(sighting.frame) < _MOST_FRAMES:
            raise BenchmarkError(f"{path}: no video has a frame of number {str(sighting.frame)[:40]}")
        if not np.isfinite(sighting.joints).all():
            raise BenchmarkError(f"{path}, frame {sighting.frame}: a value that is not finite")
        if not (np.abs(sighting.joints) < _TOO_LARGE).all():
            raise BenchmarkError(
                f"{path}, frame {sighting.frame}: a place or a confidence of {_TOO_LARGE:,.0f} or more"
            )


def _check_crowds(path: Path, recording: Recording) -> None:
    [(frame, people)] = Counter(sighting.frame for sighting in recording.sightings).most_common(1)
    if people > _MOST_PEOPLE:
        raise BenchmarkError(f"{path}, frame {frame}: {people} people, over the limit of {_MOST_PEOPLE}")


def _in_pixels(recording: Recording, size: Size) -> Recording:
    scale = np.array([*size, 1.0])
    return replace(
        recording,
        sightings=tuple(replace(one, joints=one.joints * scale) for one in recording.sightings),
        per_image=False,
    )


def _check_inside(path: Path, recording: Recording, size: Size) -> None:
    """Refuse a size that most joints lie outside of, or some do that would not with its sides swapped."""
    places = np.concatenate([_found(sighting) for sighting in recording.sightings])
    outside, swapped = (
        (places > sides).any(axis=1).mean() if len(places) else 0.0 for sides in (size, size[::-1])
    )
    if outside > _SOME_OUTSIDE and not swapped:
        raise BenchmarkError(
            f"{path}: {outside:.0%} of the joints lie outside of {size[0]}x{size[1]} pixels, none outside of "
            f"{size[1]}x{size[0]}: are width and height swapped?"
        )
    if outside > _MOST_OUTSIDE:
        reach = places.max(axis=0)
        raise BenchmarkError(
            f"{path}: most joints lie outside of {size[0]}x{size[1]} pixels (they reach {reach[0]:.0f}, "
            f"{reach[1]:.0f}): that is not the image's size"
        )


def _found(sighting: Sighting) -> np.ndarray:
    return sighting.joints[sighting.joints[:, 2] > 0, :2]
