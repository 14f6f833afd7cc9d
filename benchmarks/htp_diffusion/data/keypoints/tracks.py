"""Tracks: sightings of one person put together, by the file's own numbers or by the overlap of boxes."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from htp_diffusion.data.keypoints.detections import Sighting, Track

LONGEST_LOSS = 30
"""Frames. Somebody who was out of sight for longer is somebody new: half a second to one."""

_LEAST_OVERLAP = 0.1  # of the boxes' union; people walk by a tenth of their width from one frame to the next
_CONFIDENT = 0.1  # joints below it do not shape the box: many tools put them at (0, 0)


def numbered_by_file(sightings: Sequence[Sighting]) -> bool:
    """Whether the file's numbers follow people: everybody has one, and no two in a frame have the same."""
    numbers = [(sighting.frame, sighting.track) for sighting in sightings]
    return all(track is not None for _, track in numbers) and len(set(numbers)) == len(numbers)


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
    count = Counter(numbers)
    chosen = sorted(count, key=lambda number: (-count[number], number))
    return tuple(
        _track(number, [one for one, own in zip(ordered, numbers, strict=True) if own == number])
        for number in chosen
    )


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
    boxes = [_box(sighting) for sighting in ordered]
    numbers = [-1] * len(ordered)
    last: dict[int, int] = {}  # of each number, the sighting seen last
    begin = 0
    while begin < len(ordered):
        frame = ordered[begin].frame
        end = next((i for i in range(begin, len(ordered)) if ordered[i].frame != frame), len(ordered))
        near = {number: seen for number, seen in last.items() if frame - ordered[seen].frame <= LONGEST_LOSS}
        pairs = sorted(
            (-overlap, number, here)
            for here in range(begin, end)
            for number, seen in near.items()
            if (overlap := _overlap(boxes[seen], boxes[here])) >= _LEAST_OVERLAP
        )
        for _, number, here in pairs:
            if numbers[here] < 0 and last[number] < begin:
                numbers[here], last[number] = number, here
        for here in range(begin, end):
            if numbers[here] < 0:
                numbers[here] = len(last)
                last[numbers[here]] = here
        begin = end
    return numbers


def _box(sighting: Sighting) -> Float64[np.ndarray, "2 2"]:
    """The least and the largest x and y of the joints that were found."""
    found = sighting.joints[sighting.joints[:, 2] >= _CONFIDENT, :2]
    if not len(found):
        found = sighting.joints[:, :2]
    return np.stack([found.min(axis=0), found.max(axis=0)])


def _overlap(one: Float64[np.ndarray, "2 2"], other: Float64[np.ndarray, "2 2"]) -> float:
    """Area of the boxes' intersection as a share of their union; 0 for boxes without area."""
    shared = np.prod((np.minimum(one[1], other[1]) - np.maximum(one[0], other[0])).clip(min=0.0))
    union = np.prod(one[1] - one[0]) + np.prod(other[1] - other[0]) - shared
    return float(shared / union) if union > 0 else 0.0
