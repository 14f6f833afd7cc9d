"""Gaps: frames and joints that a detector missed, filled in and marked."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.detections import Track
from htp_diffusion.pose.layout import Layout

LEAST_CONFIDENCE = 0.2
"""Below it a joint counts as missing. On ../shared/data/video a line through the gap is nearer to the truth
than what the detector says below it, and farther from 0.3 on (an arm behind the body)."""

LONG_GAP = 15
"""Frames. Half a second at 30 frames a second: people do something else in a longer one than a line between
its ends tells."""

_MOST_FRAMES = 1_000_000
_FACE = ("eye", "ear")  # of a face from the side one of a pair is seen; the other is a hand's breadth away


@dataclass(frozen=True, kw_only=True, eq=False)
class Filled:
    """One person in every frame from the first to the last in which they were seen.

    Attributes:
        frames: Their numbers, without a gap.
        joints: Pixels. A missing joint lies on the line between the frames where it was seen, and stays where
            it was first and last seen; a missing eye or ear lies where the other is.
        confidence: The detector's; 0 where filled in.
        filled: Which joints are filled in.
    """

    frames: Int64[Tensor, " frames"]
    joints: Float[Tensor, "frames joints 2"]
    confidence: Float[Tensor, "frames joints"]
    filled: Bool[Tensor, "frames joints"]

    @property
    def gap(self) -> Int64[Tensor, " frames"]:
        """Of each frame: 0 where a joint was seen, 1 in a gap, 2 in one longer than ``LONG_GAP``."""
        missed = self.filled.all(dim=1)
        gap = missed.long()
        for start, end in runs(missed):
            if end - start > LONG_GAP:
                gap[start:end] = 2
        return gap


def fill(
    track: Track, layout: Layout, needed: Bool[Tensor, " joints"], least: float = LEAST_CONFIDENCE
) -> Filled:
    """Fill in what a detector missed of one person.

    Args:
        track: The person.
        layout: The order of the joints.
        needed: The joints that are asked for; of the others no value is needed, and they may never be seen.
        least: Confidence below which a joint counts as missing.

    Raises:
        BenchmarkError: A joint that is needed is never seen, or the frame numbers lie too far apart.
    """
    first, last = int(track.frames[0]), int(track.frames[-1])
    count = last - first + 1
    if count > _MOST_FRAMES:
        raise BenchmarkError(
            f"person {track.number}: frames {first} to {last} are over {_MOST_FRAMES} frames"
        )
    joints = torch.zeros(count, layout.num_joints, 2)
    confidence = torch.zeros(count, layout.num_joints)
    place = track.frames - first
    joints[place], confidence[place] = track.joints, track.confidence
    seen = (confidence >= least) & (confidence > 0)
    filled = ~seen | ~needed
    _lend_faces(joints, seen, layout)
    never = [
        name
        for name, ok, asked in zip(layout.joints, seen.any(dim=0), needed, strict=True)
        if asked and not ok
    ]
    if never:
        names = ", ".join(never)
        raise BenchmarkError(
            f"person {track.number}: {names} never seen with a confidence of {least:g} or more; "
            "the whole body must be in the picture in some frame"
        )
    for joint in range(layout.num_joints):
        _interpolate(joints[:, joint], seen[:, joint])
    return Filled(
        frames=torch.arange(first, last + 1),
        joints=joints,
        confidence=torch.where(filled, 0.0, confidence),
        filled=filled,
    )


def runs(marks: Bool[Tensor, " frames"]) -> list[tuple[int, int]]:
    """First frame of each run of marked frames, and the frame after its last."""
    padded = torch.cat([marks.new_zeros(1), marks, marks.new_zeros(1)]).int()
    starts, ends = (padded.diff() == 1).nonzero(), (padded.diff() == -1).nonzero()
    return list(zip(starts.flatten().tolist(), ends.flatten().tolist(), strict=True))


def _lend_faces(
    joints: Float[Tensor, "frames joints 2"], seen: Bool[Tensor, "frames joints"], layout: Layout
) -> None:
    """Put an eye or an ear that is not seen where the other one is."""
    pairs = [
        pair
        for pair in zip(layout.left + layout.right, layout.right + layout.left, strict=True)
        if layout.joints[pair[0]].endswith(_FACE)
    ]
    before = seen.clone()
    for joint, other in pairs:
        lent = ~before[:, joint] & before[:, other]
        joints[lent, joint] = joints[lent, other]
        seen[lent, joint] = True


def _interpolate(places: Float[Tensor, "frames 2"], seen: Bool[Tensor, " frames"]) -> None:
    """Fill in the frames that are not seen, in place; left as they are where none is."""
    if seen.all() or not seen.any():
        return
    known, missing = seen.nonzero().flatten().numpy(), (~seen).nonzero().flatten()
    for axis in range(2):
        values = np.interp(missing.numpy(), known, places[known, axis].numpy())
        places[missing, axis] = torch.from_numpy(values).to(places)
