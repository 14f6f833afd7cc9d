"""Drift: how far a fast mode moves the poses of trained denoisers from those of float32, same seeds."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.base.execution import Mode, prepare_model
from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.data.motion import Windows, windows
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.data.window_batches import WindowBatches, first_windows
from htp_diffusion.diffusion.sampling import Sampling, even_max_batch
from htp_diffusion.models.checkpoint import SHIPPED
from htp_diffusion.models.config import Kind
from htp_diffusion.models.contender import NAMES, Contender, Pruning, trained_contenders
from htp_diffusion.scoring.action_scores import mean_scores
from htp_diffusion.scoring.aggregation import AGGREGATIONS
from htp_diffusion.scoring.clip_scores import score_clip
from htp_diffusion.scoring.metrics import joint_error

_KINDS: tuple[Kind, ...] = ("d3dp", "htp")


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One trained denoiser in one fast mode.

    Attributes:
        model: For tables.
        checkpoint: File name of its weights.
        precision: Of the fast mode.
        mode: How the fast mode is run.
        hypotheses: H.
        steps: K.
        windows: Windows sampled.
        mpjpe: MPJPE of the mean hypothesis in the fast mode, mm.
        mpjpe_fp32: The same in float32, run as it is, with the same noise.
        distance: Mean distance between a joint in the one and in the other, over all hypotheses, mm.
        median: The distance that half of the joints stay below: where rounding keeps other frames, a few move
            far and lift the mean. None in older files.
    """

    model: str
    checkpoint: str
    precision: Precision
    mode: Mode
    hypotheses: int
    steps: int
    windows: int
    mpjpe: float
    mpjpe_fp32: float
    distance: float
    median: float | None = field(default=None, metadata=ADDED_LATER)

    @property
    def mpjpe_drift(self) -> float:
        """By how much the MPJPE differs, mm."""
        return abs(self.mpjpe - self.mpjpe_fp32)


def measure_drift(
    fast: Sequence[tuple[Precision, Mode]],
    *,
    device: torch.device,
    hypotheses: int,
    steps: int,
    max_windows: int | None = None,
    memory_budget: float | None = None,
    contenders: Sequence[Contender] | None = None,
) -> list[Drift]:
    """Sample the embedded motion with trained models in each fast mode and in float32.

    Args:
        fast: Precisions and modes to compare with float32, eager.
        device: Where.
        hypotheses: H.
        steps: K.
        max_windows: At most so many windows.
        memory_budget: GiB for the activations of one call of a denoiser.
        contenders: The models, of one length; None for the shipped ones.

    Raises:
        BenchmarkError: A mode or precision that there is not here, or a checkpoint that is missing.
    """
    if contenders is None:
        contenders = trained_contenders(SHIPPED, "small", _KINDS, Pruning())
    num_frames = contenders[0].config.num_frames
    clips = first_windows([windows(clip, num_frames) for clip in embedded_set(num_frames).clips], max_windows)
    count = sum(len(clip.start) for clip in clips)
    sequences = 2 * count * hypotheses
    drifts = []
    for contender in contenders:
        sampling = Sampling(
            hypotheses=hypotheses,
            steps=steps,
            eta=1.0,
            flip=True,
            seed=0,
            batch_size=count,
            max_batch=even_max_batch(sequences, contender.config, memory_budget, device),
        )
        model = contender.denoiser.to(device)
        expected = _drawn(model, clips, sampling, "fp32", "eager", device)
        for precision, mode in fast:
            found = _drawn(model, clips, sampling, precision, mode, device)
            drifts.append(_compared(contender, precision, mode, sampling, clips, found, expected))
    return drifts


def _compared(
    contender: Contender,
    precision: Precision,
    mode: Mode,
    sampling: Sampling,
    clips: Sequence[Windows],
    found: Tensor,
    expected: Tensor,
) -> Drift:
    distance = joint_error(found, expected)
    return Drift(
        model=NAMES[contender.config.kind],
        checkpoint=contender.source or "",
        precision=precision,
        mode=mode,
        hypotheses=sampling.hypotheses,
        steps=sampling.steps,
        windows=len(found),
        mpjpe=_score(found, clips),
        mpjpe_fp32=_score(expected, clips),
        distance=distance.mean().item(),
        median=distance.median().item(),
    )


def _drawn(
    model: nn.Module,
    clips: Sequence[Windows],
    sampling: Sampling,
    precision: Precision,
    mode: Mode,
    device: torch.device,
) -> Tensor:
    [pose_2d] = WindowBatches(clips, sampling.batch_size, device).pose_2d
    denoise = prepare_model(model, mode, device)
    with torch.inference_mode(), precision_of(precision, device):
        return sampling.draw(denoise, pose_2d).float().cpu()


def _score(hypotheses: Tensor, clips: Sequence[Windows]) -> float:
    scorer = WindowBatches(clips, len(hypotheses)).scorer(score_clip)
    scorer.add(hypotheses)
    return mean_scores(scorer.scores).over_frames[AGGREGATIONS[0].name].mpjpe
