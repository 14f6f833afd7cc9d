"""Sides: frames in which a detector took a person's left for their right, put right by continuity.

The joints of a frame lie near those of the frame before. Where they lie nearer once left and right have
changed places, the detector has changed its mind. Which of the two minds a run of frames is in follows from
the cheapest path through all frames: a step costs the mean distance that joints move, and each frame in the
rarer mind a little, so that a change that was missed does not turn the rest of the video around.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from htp_diffusion.data.keypoints.detections import Track
from htp_diffusion.pose.layout import Layout

_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_TURNED = 0.003
"""Cost of a frame in the rarer mind, in heights of the person. From one frame to the next joints move by 0.01
(at 60 a second), and by 0.3 where the sides change."""


def swapped_frames(track: Track, layout: Layout) -> Bool[Tensor, " seen"]:
    """The frames in which left and right are taken for each other; at most half of all.

    Args:
        track: The person.
        layout: The order of the joints.
    """
    limbs = [joint for joint in range(layout.num_joints) if layout.joints[joint].endswith(_LIMBS)]
    limbs = [joint for joint in limbs if layout.mirror[joint] != joint]
    mirror = [layout.mirror[joint] for joint in limbs]
    plain, turned = track.joints[:, limbs], track.joints[:, mirror]
    weight, turned_weight = track.confidence[:, limbs], track.confidence[:, mirror]
    height = _height(plain, weight)
    same = _distance(plain[1:], plain[:-1], weight[1:] * weight[:-1]) / height
    change = _distance(turned[1:], plain[:-1], turned_weight[1:] * weight[:-1]) / height
    path = _cheapest_path(same.tolist(), change.tolist())
    swapped = torch.tensor(path, dtype=torch.bool)
    return ~swapped if swapped.sum() * 2 > len(swapped) else swapped


def swap_back(track: Track, layout: Layout, swapped: Bool[Tensor, " seen"]) -> Track:
    """The track with left and right changed in these frames."""
    mirror = list(layout.mirror)
    return replace(
        track,
        joints=torch.where(swapped[:, None, None], track.joints[:, mirror], track.joints),
        confidence=torch.where(swapped[:, None], track.confidence[:, mirror], track.confidence),
    )


def _height(places: Float[Tensor, "seen joints 2"], weight: Float[Tensor, "seen joints"]) -> float:
    """The median height of the joints that are seen, pixels, at least 1."""
    y, seen = places[..., 1], weight > 0
    extent = y.masked_fill(~seen, -torch.inf).amax(dim=1) - y.masked_fill(~seen, torch.inf).amin(dim=1)
    extent = extent[seen.any(dim=1)]
    return max(1.0, extent.median().item()) if len(extent) else 1.0


def _distance(
    here: Float[Tensor, "steps joints 2"],
    before: Float[Tensor, "steps joints 2"],
    weight: Float[Tensor, "steps joints"],
) -> Float[Tensor, " steps"]:
    """Weighted mean distance; 0 where no joint is seen in both frames."""
    moved = (here - before).norm(dim=-1)
    return (moved * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1e-9)


def _cheapest_path(same: list[float], change: list[float]) -> list[bool]:
    """For each frame whether it is in the second mind (dynamic programming over the two)."""
    cost, came = [0.0, _TURNED], []
    for stay, turn in zip(same, change, strict=True):
        choices = [
            [cost[before] + (stay if before == mind else turn) for before in (0, 1)] for mind in (0, 1)
        ]
        came.append([int(choice[1] < choice[0]) for choice in choices])
        cost = [min(choice) + _TURNED * mind for mind, choice in enumerate(choices)]
    mind = int(cost[1] < cost[0])
    path = [bool(mind)]
    for best in reversed(came):
        mind = best[mind]
        path.append(bool(mind))
    return path[::-1]
