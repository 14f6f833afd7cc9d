"""Comparison: models sample the same windows with the same noise, in turn, and are scored and timed."""

from collections.abc import Callable, Sequence
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.base.execution import Mode, prepare_model
from htp_diffusion.comparison.table import ModelResult
from htp_diffusion.data.motion import Windows
from htp_diffusion.diffusion.denoisers import Network
from htp_diffusion.diffusion.sampling import Sampling, batches
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.contender import Contender
from htp_diffusion.scoring.clip_scores import Scorer, mean_scores, score_clip
from htp_diffusion.speed.counting import Count, count_denoiser
from htp_diffusion.speed.measure import Timing, laps, peak_memory, speed_up


def compare(
    contenders: Sequence[Contender],
    clips: Sequence[Windows],
    sampling: Sampling,
    *,
    device: torch.device,
    precision: Precision = "fp32",
    compiled: bool = False,
    advance: Callable[[], None] = lambda: None,
    observe: Callable[[str, Tensor], None] = lambda name, hypotheses: None,
) -> list[ModelResult]:
    """Sample every window with every model, the models in turn on each batch.

    Each model samples the first batch once before the clock runs.

    Args:
        contenders: The models, the baseline first; they are moved to the device.
        clips: What to score, cut into windows.
        sampling: How to sample.
        device: Where.
        precision: In which precision the denoisers compute.
        compiled: Compile the denoisers.
        advance: Called after each batch that a model sampled, the first ones included.
        observe: Told a model's name and its hypotheses (windows, H, frames, joints, 3) of each batch in turn.

    Raises:
        BenchmarkError: The models cannot be compiled here.
    """
    pose_2d = batches(clips, sampling.batch_size).to(device)
    mode: Mode = "compiled" if compiled else "eager"

    @cache  # contenders may share a denoiser: it is compiled once
    def ready(model: nn.Module) -> Network:
        return prepare_model(model.to(device), mode, device)

    cases = {
        contender.name: partial(
            _draw,
            sampling,
            ready(contender.denoiser),
            None if contender.early is None else ready(contender.early),
            pose_2d,
        )
        for contender in contenders
    }
    scorers = {name: Scorer(clips, score_clip) for name in cases}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    peaks: dict[str, int | None] = {}
    with precision_of(precision, device):
        for name, case in cases.items():
            if compiled:
                case(0)  # compiling is not what the peak is to tell
            peaks[name] = peak_memory(partial(case, 0), device)
            advance()
        for lap in laps(cases, range(len(pose_2d)), device):
            seconds[lap.name].append(lap.seconds)
            scorers[lap.name].add(lap.result)
            observe(lap.name, lap.result)
            advance()

    timings = {name: Timing(tuple(samples)) for name, samples in seconds.items()}
    baseline = timings[contenders[0].name]
    num_frames = pose_2d.shape[2]

    @cache
    def counted(config: DenoiserConfig) -> Count:
        return count_denoiser(config.build, num_frames)

    results = []
    for contender in contenders:
        timing, cost = timings[contender.name], counted(contender.config)
        early_cost = counted(contender.early_config)
        results.append(
            ModelResult(
                name=contender.name,
                denoiser=contender.config,
                checkpoint=contender.source,
                trained_steps=contender.checkpoint.step if contender.checkpoint else None,
                scores=mean_scores(scorers[contender.name].clips),
                seconds=list(timing.samples),
                frames_per_second=sampling.batch_size * num_frames / timing.median,
                speed_up=speed_up(baseline, timing),
                thop_macs_per_frame=_all_passes(sampling, early_cost.thop_macs, cost.thop_macs) / num_frames,
                true_macs_per_frame=_all_passes(sampling, early_cost.true_macs, cost.true_macs) / num_frames,
                params=cost.params,
                peak_memory=peaks[contender.name],
                early_keep=contender.early_keep,
            )
        )
    return results


def _all_passes(sampling: Sampling, early: int, last: int) -> int:
    """The cost of a window, from that of a pass at a step before the last and of one at the last."""
    return sampling.early_passes * early + (sampling.passes - sampling.early_passes) * last


def _draw(
    sampling: Sampling,
    network: Network,
    early: Network | None,
    pose_2d: Float[Tensor, "batches windows frames joints 2"],
    number: int,
) -> Float[Tensor, "windows hyps frames joints 3"]:
    return sampling.draw(network, pose_2d[number], number, early=early)
