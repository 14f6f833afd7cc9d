"""Watched: one person's 2D poses in every frame, as a lifter takes them."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.keypoints.detections import Detections
from htp_diffusion.data.keypoints.gaps import LEAST_CONFIDENCE, fill
from htp_diffusion.data.keypoints.sides import swap_back, swapped_frames
from htp_diffusion.pose.cameras import normalise_screen
from htp_diffusion.pose.conversions import conversion
from htp_diffusion.pose.layout import H36M_17

DEFAULT_RULE = "cmu"
"""The rule that suits this project's own checkpoints, which are trained on CMU motion."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Watched:
    """One person from the first to the last frame in which a detector saw them.

    Attributes:
        person: Their number in the detections.
        pose_2d: The 17 Human3.6M joints, screen-normalised.
        frames: Frame numbers, without a gap.
        gap: Of each frame: 0 seen, 1 in a gap, 2 in a long one.
        filled: Joints that rest on something that the detector missed.
        swapped: Frames in which left and right have been changed.
        rule: The rule that made the joints; None if they were there.
    """

    person: int
    pose_2d: Float[Tensor, "frames joints 2"]
    frames: Int64[Tensor, " frames"]
    gap: Int64[Tensor, " frames"]
    filled: Bool[Tensor, "frames joints"]
    swapped: Bool[Tensor, " frames"]
    rule: str | None


def watch(
    detections: Detections,
    *,
    person: int | None = None,
    rule: str = DEFAULT_RULE,
    least_confidence: float = LEAST_CONFIDENCE,
    repair_sides: bool = True,
) -> Watched:
    """Make one person's detections ready.

    Args:
        detections: What a detector found.
        person: Whom; None for the person seen in the most frames.
        rule: Which conversion makes the 17 Human3.6M joints, if the detector's are others.
        least_confidence: Below it a joint counts as missing.
        repair_sides: Change left and right where the detector took one for the other.

    Raises:
        BenchmarkError: No such person or rule, a confidence that is none, or a joint that the rule needs and
            the detector never saw.
    """
    if not 0 <= least_confidence < 1:
        raise BenchmarkError(f"confidence expects a number from 0 to below 1, got {least_confidence:g}")
    layout, track = detections.layout, detections.person(person)
    swapped = torch.zeros(len(track.frames), dtype=torch.bool)
    if repair_sides:
        swapped = swapped_frames(track, layout)
        track = swap_back(track, layout, swapped)
    made = None if layout == H36M_17 else conversion(layout, H36M_17, rule)
    matrices = [torch.eye(H36M_17.num_joints)] if made is None else [part.float() for part in made.weights]
    reads = torch.stack([part != 0 for part in matrices]).any(dim=0)
    filled = fill(track, layout, reads.any(dim=0), least_confidence)
    pixels = filled.joints if made is None else made.apply(filled.joints)
    everywhere = torch.zeros(len(filled.frames), dtype=torch.bool)
    everywhere[track.frames - track.frames[0]] = swapped
    return Watched(
        person=track.number,
        pose_2d=normalise_screen(pixels, detections.image_size),
        frames=filled.frames,
        gap=filled.gap,
        filled=filled.filled.float() @ reads.float().T > 0,
        swapped=everywhere,
        rule=None if made is None else made.name,
    )
