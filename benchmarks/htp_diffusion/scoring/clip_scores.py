"""Scores of clips: errors of sampled hypotheses over the frames that count, by way of aggregation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.data.motion import Windows
from htp_diffusion.scoring.aggregation import AGGREGATIONS, Evidence
from htp_diffusion.scoring.metrics import auc, mpjpe, mpjve, p_mpjpe, pck


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Mean errors.

    Attributes:
        mpjpe: MPJPE, mm.
        p_mpjpe: MPJPE after Procrustes alignment, mm.
        mpjve: Velocity error, mm a frame, over the steps from a scored frame to the next of the clip; None
            where there is no such step.
        pck: Percentage of correct keypoints at 150 mm; None where the data set has no such metric.
        auc: Mean of that percentage over the thresholds 0, 5, ..., 150 mm; None likewise.
    """

    mpjpe: float
    p_mpjpe: float
    mpjve: float | None
    pck: float | None = field(default=None, metadata=ADDED_LATER)
    auc: float | None = field(default=None, metadata=ADDED_LATER)


@dataclass(frozen=True, kw_only=True)
class ClipScore:
    """One clip.

    Attributes:
        name: The clip.
        frames: Frames that were scored; one that counts twice is two.
        errors: Mean errors over these frames, by way of aggregation.
        steps: Steps between them that the velocity error is the mean of; None means frames - 1.
        action: What it shows; None where actions have no names.
    """

    name: str
    frames: int
    errors: dict[str, Errors]
    steps: int | None = field(default=None, metadata=ADDED_LATER)
    action: str | None = field(default=None, metadata=ADDED_LATER)


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


def score_clip(
    hypotheses: Float[Tensor, "windows hyps frames joints 3"],
    windows: Windows,
    *,
    pck_joints: tuple[int, ...] | None = None,
    action: str | None = None,
) -> ClipScore:
    """Score the hypotheses of a clip's windows.

    The scored frames of the windows are joined to the clip that they were cut from, so that every frame
    counts once and the velocity error sees a jump from one window to the next.

    Args:
        hypotheses: Root-relative, in the clip's unit.
        windows: The clip.
        pck_joints: The joints of PCK and AUC; None leaves these out.
        action: What the clip shows.
    """
    poses, target = scored_poses(hypotheses, windows)
    step = _steps(windows)
    errors = {}
    for way, predicted in poses.items():
        counted = None if pck_joints is None else (predicted[:, pck_joints], target[:, pck_joints])
        errors[way] = Errors(
            mpjpe=mpjpe(predicted, target).mean().item(),
            p_mpjpe=p_mpjpe(predicted, target).mean().item(),
            mpjve=mpjve(predicted, target)[step].mean().item() if step.any() else None,
            pck=None if counted is None else 100 * pck(*counted).mean().item(),
            auc=None if counted is None else 100 * auc(*counted).mean().item(),
        )
    return ClipScore(
        name=windows.name, frames=len(target), errors=errors, steps=int(step.sum()), action=action
    )


def _steps(windows: Windows) -> Bool[Tensor, " steps"]:
    """Which steps between consecutive scored frames join neighbouring frames of the clip."""
    frame = windows.start[:, None] + torch.arange(windows.scored.shape[1])
    return frame[windows.scored].diff() == 1


def mean_errors(parts: Sequence[tuple[dict[str, Errors], int, int]]) -> dict[str, Errors]:
    """Means by way of aggregation.

    Args:
        parts: Errors, how often they count, and how often the velocity error among them does.
    """

    def mean(values: Sequence[float | None], counts: Sequence[int]) -> float | None:
        known = [pair for pair in zip(values, counts, strict=True) if pair[0] is not None and pair[1]]
        return weighted_mean(known) if known else None  # pyright: ignore[reportArgumentType]

    frames, steps = [frames for _, frames, _ in parts], [steps for _, _, steps in parts]
    means = {}
    for way in parts[0][0]:
        errors = [part[way] for part, _, _ in parts]
        means[way] = Errors(
            mpjpe=weighted_mean([(one.mpjpe, count) for one, count in zip(errors, frames, strict=True)]),
            p_mpjpe=weighted_mean([(one.p_mpjpe, count) for one, count in zip(errors, frames, strict=True)]),
            mpjve=mean([one.mpjve for one in errors], steps),
            pck=mean([one.pck for one in errors], frames),
            auc=mean([one.auc for one in errors], frames),
        )
    return means


def weighted_mean(values: Sequence[tuple[float, int]]) -> float:
    """The mean of values that count as often as the number beside each says."""
    return math.fsum(value * weight for value, weight in values) / sum(weight for _, weight in values)
