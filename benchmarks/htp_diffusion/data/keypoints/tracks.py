"""Tracks: sightings of one person put together, by the file's own numbers or by the overlap of boxes."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Float64

from htp_diffusion.data.keypoints.detections import Sighting, Track

LONGEST_LOSS = 30
"""Frames. Somebody who was out of sight for longer is somebody new: half a second to one."""

_LEAST_OVERLAP = 0.1  # of the boxes' union; people walk by a tenth of their width from one frame to the next
_CONFIDENT = 0.1  # joints below it do not shape the box: many tools put them at (0, 0)


_Boxes = Float64[np.ndarray, "sides=4 boxes"]  # left, top, right, bottom

_LARGEST_NUMBER = 2**31  # of a person; numpy would keep one of over 64 bits as an object, in a pickle


def numbered_by_file(sightings: Sequence[Sighting]) -> bool:
    """Whether the file's numbers follow people: everybody has one, and no two in a frame have the same.

    A number of 2**31 or more is none.
    """
    numbers = [(sighting.frame, sighting.track) for sighting in sightings]
    told = all(track is not None and abs(track) < _LARGEST_NUMBER for _, track in numbers)
    return told and len(set(numbers)) == len(numbers)


def follow(sightings: Sequence[Sighting]) -> tuple[Track, ...]:
    """Tracks by the file's numbers where they follow people, else by overlap.

    Frame by frame, the two boxes that overlap most are joined first; who overlaps nobody of the last
    ``LONGEST_LOSS`` frames begins a track.

    Args:
        sightings: In any order.

    Returns:
        The person seen in the most frames first, of equals the one with the smaller number.
    """
    ordered = sorted(sightings, key=lambda sighting: sighting.frame)
    numbers = (
        [sighting.track or 0 for sighting in ordered]
        if numbered_by_file(ordered)
        else _numbers_by_overlap(ordered)
    )
    people: dict[int, list[Sighting]] = defaultdict(list)
    for sighting, number in zip(ordered, numbers, strict=True):
        people[number].append(sighting)
    chosen = sorted(people, key=lambda number: (-len(people[number]), number))
    return tuple(_track(number, people[number]) for number in chosen)


def _track(number: int, sightings: Sequence[Sighting]) -> Track:
    joints = torch.from_numpy(np.stack([sighting.joints for sighting in sightings])).float()
    return Track(
        number=number,
        frames=torch.tensor([sighting.frame for sighting in sightings]),
        joints=joints[..., :2].contiguous(),
        confidence=joints[..., 2].contiguous(),
    )


def _numbers_by_overlap(ordered: Sequence[Sighting]) -> list[int]:
    """A number for each sighting; ``ordered`` by frame."""
    boxes = np.stack([_box(sighting) for sighting in ordered], axis=1)
    numbers = [-1] * len(ordered)
    near: dict[int, int] = {}  # of each number of late, the sighting seen last
    begin = count = 0
    while begin < len(ordered):
        frame = ordered[begin].frame
        end = next((i for i in range(begin, len(ordered)) if ordered[i].frame != frame), len(ordered))
        near = {number: seen for number, seen in near.items() if frame - ordered[seen].frame <= LONGEST_LOSS}
        for number, here in _pairs(boxes, near, range(begin, end)):
            if numbers[here] < 0 and near[number] < begin:
                numbers[here], near[number] = number, here
        for here in range(begin, end):
            if numbers[here] < 0:
                numbers[here], near[count] = count, here
                count += 1
        begin = end
    return numbers


def _pairs(boxes: _Boxes, near: dict[int, int], here: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Numbers and sightings whose boxes overlap enough, those that overlap most first."""
    numbers, before = np.array(list(near), dtype=np.int64), boxes[:, list(near.values())]
    overlap, number, sighting = [], [], []
    for index in here:
        box = boxes[:, index : index + 1]
        beside = ((before[0] < box[2]) & (before[2] > box[0])).nonzero()[0]  # few of thousands
        shares = _overlap(before[:, beside], box)
        enough = shares >= _LEAST_OVERLAP
        overlap.append(shares[enough])
        number.append(numbers[beside[enough]])
        sighting.append(np.full(enough.sum(), index))
    overlap, number, sighting = map(np.concatenate, (overlap, number, sighting))
    order = np.lexsort((sighting, number, -overlap))
    return zip(number[order].tolist(), sighting[order].tolist(), strict=True)


def _box(sighting: Sighting) -> Float64[np.ndarray, " sides"]:
    """The least x and y of the joints that were found, and the largest."""
    found = sighting.joints[sighting.joints[:, 2] >= _CONFIDENT, :2]
    if not len(found):
        found = sighting.joints[:, :2]
    return np.concatenate([found.min(axis=0), found.max(axis=0)])


def _overlap(ones: _Boxes, others: _Boxes) -> Float64[np.ndarray, " boxes"]:
    """Area of the boxes' intersection as a share of their union; 0 for boxes without area."""
    width, height = np.minimum(ones[2:], others[2:]) - np.maximum(ones[:2], others[:2])
    shared = width.clip(min=0.0) * height.clip(min=0.0)
    union = _area(ones) + _area(others) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _area(boxes: _Boxes) -> Float64[np.ndarray, " boxes"]:
    return (boxes[2] - boxes[0]) * (boxes[3] - boxes[1])
