"""Scores: errors of sampled hypotheses by way of aggregation, over all frames and clip by clip."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.data.motion import Windows
from htp_diffusion.scoring.aggregation import AGGREGATIONS, Evidence
from htp_diffusion.scoring.metrics import mpjpe, mpjve, p_mpjpe

Score = TypeVar("Score")


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Mean errors.

    Attributes:
        mpjpe: MPJPE, mm.
        p_mpjpe: MPJPE after Procrustes alignment, mm.
        mpjve: Velocity error, mm a frame; None where no clip has two frames.
    """

    mpjpe: float
    p_mpjpe: float
    mpjve: float | None


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One clip.

    Attributes:
        name: The clip.
        frames: Frames that were scored.
        errors: Mean errors over these frames, by way of aggregation.
    """

    name: str
    frames: int
    errors: dict[str, Errors]


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All clips.

    Attributes:
        over_frames: Mean over every scored frame, by way of aggregation; the velocity error over every step
            between two of them.
        over_clips: Mean over clips, each counting the same.
        clips: Each clip.
    """

    over_frames: dict[str, Errors]
    over_clips: dict[str, Errors]
    clips: list[ClipScore]


def scored_poses(
    hypotheses: Float[Tensor, "windows hyps frames joints 3"], windows: Windows
) -> tuple[dict[str, Float[Tensor, "scored joints 3"]], Float[Tensor, "scored joints 3"]]:
    """The poses of the scored frames in metres, joined: predicted, by way of aggregation, and true."""
    evidence = Evidence(
        pose_2d=windows.pose_2d, root=windows.root, camera=windows.camera, target=windows.pose_3d
    )
    # The oracles choose within a frame, so that a frame's scale does not matter to them.
    predicted = {
        way.name: windows.to_metres(way.combine(hypotheses, evidence))[windows.scored] for way in AGGREGATIONS
    }
    return predicted, windows.to_metres(windows.pose_3d)[windows.scored]


def score_clip(hypotheses: Float[Tensor, "windows hyps frames joints 3"], windows: Windows) -> ClipScore:
    """Score the hypotheses of a clip's windows.

    The scored frames of the windows are joined to the clip that they were cut from, so that every frame
    counts once and the velocity error sees a jump from one window to the next.
    """
    poses, target = scored_poses(hypotheses, windows)
    errors = {
        way: Errors(
            mpjpe=mpjpe(predicted, target).mean().item(),
            p_mpjpe=p_mpjpe(predicted, target).mean().item(),
            mpjve=mpjve(predicted, target).mean().item() if len(target) > 1 else None,
        )
        for way, predicted in poses.items()
    }
    return ClipScore(name=windows.name, frames=len(target), errors=errors)


def mean_scores(clips: Sequence[ClipScore]) -> Scores:
    """Put clips together."""
    ways = clips[0].errors
    frames = [clip.frames for clip in clips]
    return Scores(
        over_frames={way: _mean([clip.errors[way] for clip in clips], frames) for way in ways},
        over_clips={way: _mean([clip.errors[way] for clip in clips]) for way in ways},
        clips=list(clips),
    )


class Scorer(Generic[Score]):
    """Scores clips as the hypotheses of their windows come in, and forgets the hypotheses.

    Args:
        clips: The clips, cut into windows, in the order in which hypotheses will come.
        score: Scores one clip.
    """

    def __init__(self, clips: Iterable[Windows], score: Callable[[Tensor, Windows], Score]) -> None:
        self.clips: list[Score] = []
        self._score = score
        self._left = deque(clips)
        self._waiting: list[Tensor] = []

    def add(self, hypotheses: Float[Tensor, "windows hyps frames joints 3"]) -> None:
        """Take the next windows' hypotheses; those past the last clip are ignored."""
        self._waiting.append(hypotheses.float().cpu())
        while self._left and sum(map(len, self._waiting)) >= len(self._left[0].start):
            clip, waiting = self._left.popleft(), torch.cat(self._waiting)
            mine = len(clip.start)
            self.clips.append(self._score(waiting[:mine], clip))
            self._waiting = [waiting[mine:]]


def _mean(errors: Sequence[Errors], frames: Sequence[int] | None = None) -> Errors:
    """Mean errors: of clips that count the same, or of clips of so many frames (and one step fewer)."""
    count = [1] * len(errors) if frames is None else list(frames)
    steps = count if frames is None else [number - 1 for number in frames]
    moving = [(one.mpjve, weight) for one, weight in zip(errors, steps, strict=True) if one.mpjve is not None]
    return Errors(
        mpjpe=weighted_mean([(one.mpjpe, weight) for one, weight in zip(errors, count, strict=True)]),
        p_mpjpe=weighted_mean([(one.p_mpjpe, weight) for one, weight in zip(errors, count, strict=True)]),
        mpjve=weighted_mean(moving) if moving else None,
    )


def weighted_mean(values: Sequence[tuple[float, int]]) -> float:
    """The mean of values that count as often as the number beside each says."""
    return math.fsum(value * weight for value, weight in values) / sum(weight for _, weight in values)
