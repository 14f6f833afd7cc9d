"""AlphaPose's results: a list of people, each with the name of its image (COCO's 17 joints, Halpe's 26)."""

import re
from pathlib import Path
from typing import Any

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.detections import Recording, Sighting, nobody
from htp_diffusion.data.keypoints.joint_count import layout_of_count, one_layout
from htp_diffusion.data.keypoints.json_file import number_array, require_keys, whole_number
from htp_diffusion.pose.layout import Layout

_NUMBER = re.compile(r"\d+")
_MOST_DIGITS = 15


def is_alphapose(content: Any) -> bool:
    """Whether JSON looks like it: a list of dictionaries with ``image_id`` and ``keypoints``."""
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and {"image_id", "keypoints"} <= first.keys()


def read_alphapose(path: Path, content: Any, layout: Layout | None = None) -> Recording:
    """Take the people out of alphapose-results.json.

    Args:
        path: The file, for errors.
        content: Its content.
        layout: The layout that the user names instead of the one that the number of joints tells.

    Raises:
        BenchmarkError: An entry of another form, an image without a number, or people of different layouts.
    """
    sightings, found = [], layout
    if not isinstance(content, list):
        raise BenchmarkError(f"{path}: AlphaPose's results are a list, this is a {type(content).__name__}")
    for index, entry in enumerate(content):
        what = f"{path}, entry {index}"
        entry = require_keys(entry, ("image_id", "keypoints"), what)
        joints = number_array(entry["keypoints"], 3, what)
        found = one_layout(layout_of_count(len(joints), what, layout), found, what)
        sightings.append(
            Sighting(
                frame=_frame(entry["image_id"], what),
                joints=joints[: found.num_joints],
                track=_track(entry.get("idx")),
            )
        )
    if found is None or not sightings:
        raise nobody(path)
    return Recording(format="AlphaPose results", layout=found, sightings=tuple(sightings))


def _frame(image: Any, what: str) -> int:
    """The number in an image's name (the last one), or the name itself where it is a number."""
    if not isinstance(image, str):
        return whole_number(image, f"{what}: image_id")
    numbers = _NUMBER.findall(Path(image).stem)
    if not numbers or len(numbers[-1]) > _MOST_DIGITS:
        raise BenchmarkError(f"{what}: no frame number in the image_id {image[:80]!r}")
    return int(numbers[-1])


def _track(value: Any) -> int | None:
    """The person's number, which some versions wrap in lists; None where there is none."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
        return None
    return int(value)
