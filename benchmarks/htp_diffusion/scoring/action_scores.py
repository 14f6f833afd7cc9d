"""Evaluation: sample a set of clips with one denoiser, and score them action by action."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.data.labelled import ClipSet
from htp_diffusion.data.motion import Windows
from htp_diffusion.data.protocol import EVERY_FRAME, EvaluationProtocol, cut_clips, place_root
from htp_diffusion.diffusion.sampling import Sampling, fit_sampling
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.scoring.clip_scores import scored_poses, weighted_mean
from htp_diffusion.scoring.draw_and_score import score_clips
from htp_diffusion.scoring.forecast import announce
from htp_diffusion.scoring.metrics import auc, mpjpe, p_mpjpe, pck


@dataclass(frozen=True, kw_only=True)
class PoseErrors:
    """Mean errors.

    Attributes:
        mpjpe: MPJPE, mm.
        p_mpjpe: MPJPE after Procrustes alignment, mm.
        pck: Percentage of correct keypoints at 150 mm; None where the data set has no such metric.
        auc: Mean of that percentage over the thresholds 0, 5, ..., 150 mm; None likewise.
    """

    mpjpe: float
    p_mpjpe: float
    pck: float | None = None
    auc: float | None = None


_ClipErrors = tuple[int, dict[str, PoseErrors]]
"""How many frames were scored, and the mean errors over them by way of aggregation."""


@dataclass(frozen=True, kw_only=True)
class ActionScore:
    """The clips of one action.

    Attributes:
        action: Its name.
        clips: Clips that were scored.
        frames: Frames that were scored; one that counts twice is two.
        errors: Mean errors over these frames, by way of aggregation.
    """

    action: str
    clips: int
    frames: int
    errors: dict[str, PoseErrors]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What one denoiser scored with one way to sample.

    Attributes:
        sampling: The way.
        windows: Windows that were sampled.
        frames: Frames that were scored.
        padded: Clips shorter than a window.
        actions: Each action.
        over_actions: Mean over actions, each counting the same: the field's average, by way of aggregation.
        over_frames: Mean over frames, by way of aggregation.
    """

    sampling: Sampling
    windows: int
    frames: int
    padded: int
    actions: list[ActionScore]
    over_actions: dict[str, PoseErrors]
    over_frames: dict[str, PoseErrors]


def evaluate_denoiser(
    denoiser: nn.Module,
    config: DenoiserConfig,
    found: ClipSet,
    sampling: Sampling,
    *,
    protocol: EvaluationProtocol = EVERY_FRAME,
    every: int = 1,
    device: torch.device | None = None,
    precision: Precision = "fp32",
    memory_budget: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Sample every window of the clips and score the poses.

    Args:
        denoiser: The model; it is moved to the device and put into evaluation mode.
        config: What it is.
        found: The clips.
        sampling: How to sample; batches and calls are made to fit the windows and the memory.
        protocol: Which windows, and which frames count.
        every: Sample every so many windows of each clip.
        device: Where; the CPU if None.
        precision: In which precision the denoiser computes.
        memory_budget: GiB for the activations of one call, as for ``even_max_batch``.
        progress: Told the batches done and all batches after each.

    Raises:
        BenchmarkError: Nothing to score, or sampling out of range.
    """
    device = device or torch.device("cpu")
    layout = found.space.layout
    cut = cut_clips(found.clips, config.num_frames, protocol, every)
    windows = [piece for _, piece in cut]
    count = sum(len(piece.start) for piece in windows)
    sampling = fit_sampling(sampling, count, config, memory_budget, device)
    denoiser = denoiser.to(device).eval()
    announce([denoiser], windows, sampling, device, precision)

    def draw(pose_2d: Tensor, number: int) -> Tensor:
        return place_root(sampling.draw(denoiser, pose_2d, number, layout), protocol.root, layout)

    score = partial(_score, pck_joints=found.pck_joints)
    with precision_of(precision, device), torch.no_grad():
        scores = score_clips(windows, sampling.batch_size, draw, score, device=device, progress=progress)
    by_action: dict[str, list[_ClipErrors]] = {action: [] for action in found.actions}
    for (clip, _), scored in zip(cut, scores, strict=True):
        by_action[clip.action].append(scored)
    actions = [
        ActionScore(
            action=action,
            clips=len(clips),
            frames=sum(frames for frames, _ in clips),
            errors=_mean(clips),
        )
        for action, clips in by_action.items()
        if clips
    ]
    return Evaluation(
        sampling=sampling,
        windows=count,
        frames=sum(frames for frames, _ in scores),
        padded=sum(len(clip.clip.pose_2d) < config.num_frames for clip, _ in cut),
        actions=actions,
        over_actions=_mean([(1, score.errors) for score in actions]),
        over_frames=_mean(scores),
    )


def _score(
    hypotheses: Float[Tensor, "windows hyps frames joints 3"],
    windows: Windows,
    *,
    pck_joints: tuple[int, ...] | None,
) -> _ClipErrors:
    poses, target = scored_poses(hypotheses, windows)
    errors = {}
    for way, predicted in poses.items():
        counted = None if pck_joints is None else (predicted[:, pck_joints], target[:, pck_joints])
        errors[way] = PoseErrors(
            mpjpe=mpjpe(predicted, target).mean().item(),
            p_mpjpe=p_mpjpe(predicted, target).mean().item(),
            pck=None if counted is None else 100 * pck(*counted).mean().item(),
            auc=None if counted is None else 100 * auc(*counted).mean().item(),
        )
    return len(target), errors


def _mean(parts: Sequence[_ClipErrors]) -> dict[str, PoseErrors]:
    """Means of parts that count as their numbers say, by way of aggregation."""

    def mean(values: Sequence[float]) -> float:
        return weighted_mean([(value, count) for value, (count, _) in zip(values, parts, strict=True)])

    def mean_if_any(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return mean(known) if known else None

    means = {}
    for way in parts[0][1]:
        errors = [part[way] for _, part in parts]
        means[way] = PoseErrors(
            mpjpe=mean([one.mpjpe for one in errors]),
            p_mpjpe=mean([one.p_mpjpe for one in errors]),
            pck=mean_if_any([one.pck for one in errors]),
            auc=mean_if_any([one.auc for one in errors]),
        )
    return means
