"""OpenPose's folder: one file a frame, NAME_000000000012_keypoints.json (BODY_25's joints, or COCO's 18)."""

import re
from itertools import pairwise
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.told import listed
from htp_diffusion.data.keypoints.detections import Recording, Sighting, nobody
from htp_diffusion.data.keypoints.joint_count import layout_of_count, one_layout
from htp_diffusion.data.keypoints.json_file import SIZE_LIMIT, number_array, read_json, require_keys
from htp_diffusion.pose.layout import Layout

_FILE = re.compile(r"(?P<video>.*?)_?(?P<frame>\d+)_keypoints\.json")


def read_openpose(path: Path, layout: Layout | None = None) -> Recording:
    """Take the people out of a folder, or out of one file of it.

    A file without people is a frame in which nobody was found. Joints at (0, 0) with confidence 0 were not
    found.

    Args:
        path: The folder or the file.
        layout: The layout that the user names instead of the one that the number of joints tells.

    Raises:
        BenchmarkError: A folder without such files, with those of two videos or of other tools among them, a
            frame told twice, a file of another form, people of different layouts, or none.
    """
    sightings, found, left = [], layout, SIZE_LIMIT
    for frame, file in _frames(path):
        content = require_keys(read_json(file, max(left, 0)), ("people",), str(file))
        left -= file.stat().st_size
        if not isinstance(content["people"], list):
            raise BenchmarkError(f"{file}: people is no list")
        for entry in content["people"]:
            what = f"{file}: pose_keypoints_2d"
            joints = number_array(
                require_keys(entry, ("pose_keypoints_2d",), str(file))["pose_keypoints_2d"], 3, what
            )
            found = one_layout(layout_of_count(len(joints), what, layout), found, str(file))
            sightings.append(Sighting(frame=frame, joints=joints[: found.num_joints]))
    if found is None or not sightings:
        raise nobody(path)
    return Recording(format="OpenPose", layout=found, sightings=tuple(sightings))


def _frames(path: Path) -> list[tuple[int, Path]]:
    """Frame numbers and files, in the order of the numbers."""
    if not path.is_dir():
        matched = _FILE.fullmatch(path.name)
        return [(int(matched["frame"]) if matched else 0, path)]
    try:
        files = sorted(path.iterdir())
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from None
    matches = {file: _FILE.fullmatch(file.name) for file in files if file.suffix == ".json"}
    known = {file: match for file, match in matches.items() if match is not None}
    if not known:
        raise BenchmarkError(
            f"{path}: a folder without detections: OpenPose's are NAME_000000000012_keypoints.json; "
            "give a file of another format itself"
        )
    strange = [file.name for file in matches if file not in known]
    if strange:
        raise BenchmarkError(f"{path}: {strange[0]} among OpenPose's files: two formats are mixed")
    videos = sorted({match["video"] for match in known.values()})
    if len(videos) > 1:
        raise BenchmarkError(f"{path}: frames of several videos: {listed(videos)}")
    numbered = sorted((int(match["frame"]), file) for file, match in known.items())
    for (frame, file), (again, other) in pairwise(numbered):
        if frame == again:
            raise BenchmarkError(f"{path}: frame {frame} is told twice, by {file.name} and {other.name}")
    return numbered
