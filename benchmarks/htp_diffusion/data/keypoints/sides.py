"""Sides: frames in which a detector took a person's left for their right, put right by continuity.

The joints of a frame lie near those of the frames before. Where they lie nearer once left and right have
changed places, the detector has changed its mind. Which of the two minds a run of frames is in follows from
the cheapest path through all frames. A frame costs the mean distance of its joints from those of the last few
frames, so that one frame which is half of either does not decide; a change of mind costs something, as the
sides of somebody who turns around pass each other; and each frame in the rarer mind costs a little, so that a
change that was missed does not turn the rest of the video around.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from htp_diffusion.data.keypoints.detections import Track
from htp_diffusion.pose.layout import Layout

_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
_LAGS = 3  # frames
_CHANGE, _TURNED = 0.1, 0.003
"""Costs of a change and of a frame in the rarer mind, in heights of the person. From one frame to the next
joints move by 0.01 (at 60 a second), and by 0.2 to 0.4 where the sides change."""


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
    same, change = (
        [
            (_distance(here[lag:], plain[:-lag], seen[lag:] * weight[:-lag]) / height).tolist()
            for lag in range(1, _LAGS + 1)
        ]
        for here, seen in ((plain, weight), (turned, turned_weight))
    )
    return torch.tensor(_cheapest_path(len(plain), same, change), dtype=torch.bool)


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


def _cheapest_path(frames: int, same: list[list[float]], change: list[list[float]]) -> list[bool]:
    """For each frame whether it is in the second mind, by dynamic programming over the last frames' minds.

    Args:
        frames: How many there are.
        same: For each lag, for each frame from the lag on: the distance if both frames are in one mind.
        change: The same if they are in different ones.
    """
    cost: dict[tuple[int, ...], float] = {(0,): 0.0, (1,): _TURNED}  # by the minds of the last frames
    came: list[dict[tuple[int, ...], tuple[int, ...]]] = []
    for frame in range(1, frames):
        best: dict[tuple[int, ...], float] = {}
        back: dict[tuple[int, ...], tuple[int, ...]] = {}
        for minds, so_far in cost.items():
            lags = min(frame, _LAGS)
            for mind in (0, 1):
                moved = sum(
                    (same if minds[-lag] == mind else change)[lag - 1][frame - lag]
                    for lag in range(1, lags + 1)
                )
                total = so_far + moved / lags + _CHANGE * (minds[-1] != mind) + _TURNED * mind
                now = (*minds, mind)[-_LAGS:]
                if total < best.get(now, math.inf):
                    best[now], back[now] = total, minds
        cost = best
        came.append(back)
    minds = min(cost, key=lambda minds: cost[minds])
    path = [minds[-1]]
    for back in reversed(came):
        minds = back[minds]
        path.append(minds[-1])
    return [bool(mind) for mind in reversed(path)]
