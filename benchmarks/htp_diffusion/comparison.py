"""Comparison: models sample the same windows with the same noise, in turn, and are scored and timed."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.contender import Contender
from htp_diffusion.data.motion import Windows
from htp_diffusion.device import Precision, computing_in
from htp_diffusion.diffusion.ddim import Denoiser
from htp_diffusion.execution import Mode, executed
from htp_diffusion.report.counting import count_denoiser
from htp_diffusion.report.inference import ModelResult
from htp_diffusion.report.measure import Timing, laps, peak_memory, speed_up
from htp_diffusion.sampling import Sampling, batches
from htp_diffusion.scoring import Scorer, mean_scores, score_clip


def compare(
    contenders: Sequence[Contender],
    clips: Sequence[Windows],
    sampling: Sampling,
    *,
    device: torch.device,
    precision: Precision = "fp32",
    compiled: bool = False,
    advance: Callable[[], None] = lambda: None,
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

    Raises:
        BenchmarkError: The models cannot be compiled here.
    """
    pose_2d = batches(clips, sampling.batch_size).to(device)
    mode: Mode = "compiled" if compiled else "eager"
    cases = {
        contender.name: partial(
            _draw, sampling, executed(contender.denoiser.to(device), mode, device), pose_2d
        )
        for contender in contenders
    }
    scorers = {name: Scorer(clips, score_clip) for name in cases}
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    peaks: dict[str, int | None] = {}
    with computing_in(precision, device):
        for name, case in cases.items():
            if compiled:
                case(0)  # compiling is not what the peak is to tell
            peaks[name] = peak_memory(partial(case, 0), device)
            advance()
        for lap in laps(cases, range(len(pose_2d)), device):
            seconds[lap.name].append(lap.seconds)
            scorers[lap.name].add(lap.result)
            advance()

    timings = {name: Timing(tuple(samples)) for name, samples in seconds.items()}
    baseline = timings[contenders[0].name]
    num_frames = pose_2d.shape[2]
    results = []
    for contender in contenders:
        timing, cost = timings[contender.name], count_denoiser(contender.config.build, num_frames)
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
                thop_macs_per_frame=sampling.passes * cost.thop_macs / num_frames,
                true_macs_per_frame=sampling.passes * cost.true_macs / num_frames,
                params=cost.params,
                peak_memory=peaks[contender.name],
            )
        )
    return results


def _draw(
    sampling: Sampling,
    denoise: Denoiser,
    pose_2d: Float[Tensor, "batches windows frames joints 2"],
    number: int,
) -> Float[Tensor, "windows hyps frames joints 3"]:
    return sampling.draw(denoise, pose_2d[number], number)
