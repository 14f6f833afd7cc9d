"""MMPose's predictions: instances frame by frame, as its demos and its inferencer write them."""

from pathlib import Path
from typing import Any

import numpy as np

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.detections import Recording, Sighting, nobody
from htp_diffusion.data.keypoints.joint_count import layout_of_count, one_layout
from htp_diffusion.data.keypoints.json_file import number_array, require_keys, whole_number
from htp_diffusion.pose.layout import H36M_17, Layout


def is_mmpose(content: Any) -> bool:
    """Whether JSON looks like it: ``instance_info``, or a list of ``instances`` or of ``keypoint_scores``."""
    if isinstance(content, dict):
        return "instance_info" in content
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and ("instances" in first or "keypoint_scores" in first)


def read_mmpose(path: Path, content: Any, layout: Layout | None = None) -> Recording:
    """Take the people out of a predictions file.

    Args:
        path: The file, for errors.
        content: Its content: {"meta_info", "instance_info": [{"frame_id", "instances"}, ...]}, that list
            alone, or the instances of one image.
        layout: The layout that the user names instead of the one that the file tells.

    Raises:
        BenchmarkError: An entry of another form, people of different layouts, or none.
    """
    meta, frames = None, content
    if isinstance(content, dict):
        meta, frames = (
            content.get("meta_info"),
            require_keys(content, ("instance_info",), str(path))["instance_info"],
        )
    if not isinstance(frames, list):
        raise BenchmarkError(f"{path}: instance_info is no list")
    if frames and isinstance(frames[0], dict) and "keypoint_scores" in frames[0]:
        frames = [{"frame_id": 0, "instances": frames}]
    named = layout or _named(meta)
    sightings, found = [], named
    for index, entry in enumerate(frames):
        what = f"{path}, frame entry {index}"
        entry = require_keys(entry, ("frame_id", "instances"), what)
        frame = whole_number(entry["frame_id"], f"{what}: frame_id")
        if not isinstance(entry["instances"], list):
            raise BenchmarkError(f"{what}: instances is no list")
        for instance in entry["instances"]:
            instance = require_keys(instance, ("keypoints", "keypoint_scores"), what)
            places = number_array(instance["keypoints"], 2, f"{what}: keypoints")
            scores = number_array(instance["keypoint_scores"], 1, f"{what}: keypoint_scores")
            if len(places) != len(scores):
                raise BenchmarkError(f"{what}: {len(places)} keypoints and {len(scores)} scores")
            found = one_layout(layout_of_count(len(places), what, named), found, what)
            track = instance.get("track_id")
            sightings.append(
                Sighting(
                    frame=frame,
                    joints=np.hstack([places, scores])[: found.num_joints],
                    track=None if track is None else whole_number(track, f"{what}: track_id"),
                )
            )
    if found is None or not sightings:
        raise nobody(path)
    return Recording(format="MMPose predictions", layout=found, sightings=tuple(sightings))


def _named(meta: Any) -> Layout | None:
    """Human3.6M has as many joints as COCO, the data set's name tells them apart; else the count tells."""
    name = str(meta.get("dataset_name", "")).lower() if isinstance(meta, dict) else ""
    return H36M_17 if name in ("h36m", "human36m") else None
