"""Comparison: models sample the same windows with the same noise, in turn, and are scored and timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapters.clock import Timing, laps, peak_memory, speed_up
from htp_diffusion.base.device import Precision, device_name, precision_of
from htp_diffusion.base.execution import Mode, prepare_model
from htp_diffusion.base.provenance import provenance
from htp_diffusion.comparison.result import ComparisonResult, ModelResult
from htp_diffusion.data.mocap.cmu import trained_among
from htp_diffusion.data.motion import Windows
from htp_diffusion.data.protocol import CutSet, place_root
from htp_diffusion.data.window_batches import Scorer, WindowBatches
from htp_diffusion.diffusion.denoisers import Network
from htp_diffusion.diffusion.sampling import Sampling, fit_sampling
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.contender import Contender
from htp_diffusion.scoring.action_scores import mean_scores
from htp_diffusion.scoring.clip_scores import ClipScore, score_clip
from htp_diffusion.scoring.forecast import announce
from htp_diffusion.speed.counting import Count, count_denoiser


def compare(
    contenders: Sequence[Contender],
    cut: CutSet,
    sampling: Sampling,
    *,
    device: torch.device,
    precision: Precision = "fp32",
    mode: Mode = "eager",
    memory_budget: float | None = None,
    clock: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
    observe: Callable[[str, Tensor], None] = lambda name, hypotheses: None,
) -> ComparisonResult:
    """Sample every window with every model, the models in turn on each batch, and score the poses.

    Args:
        contenders: The models, the baseline first; they are moved to the device.
        cut: What to score.
        sampling: How to sample; batches and calls are made to fit the windows and the memory.
        device: Where.
        precision: In which precision the denoisers compute.
        mode: How they are run.
        memory_budget: GiB for the activations of one call, as for ``even_max_batch``.
        clock: Time each batch, measure memory and count operations; each model samples the first batch once
            before the clock runs.
        progress: Told the batches done and all batches, of all models, after each.
        observe: Told a model's name and its hypotheses (windows, H, frames, joints, 3) of each batch in turn;
            the last batch may be filled up with copies of its last window.

    Raises:
        BenchmarkError: Motion of another space than a model's, sampling out of range, or a mode that there is
            not here.
    """
    for contender in contenders:
        contender.require_space(cut.found.space, cut.found.description)
    widest = max((contender.config for contender in contenders), key=lambda config: config.dim)
    sampling = fit_sampling(sampling, cut.count, widest, memory_budget, device)
    announce([contender.denoiser for contender in contenders], cut.windows, sampling, device, precision)
    batches = WindowBatches(cut.windows, sampling.batch_size, device)
    runners = _runners(contenders, cut, sampling, batches, mode, precision, device)
    total = (len(batches) + clock) * len(runners)
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        progress(done, total)

    with torch.no_grad():
        if clock:
            for runner in runners:
                runner.warm_up(mode, device)
                advance()
        cases = {runner.name: runner.draw for runner in runners}
        by_name = {runner.name: runner for runner in runners}
        for lap in laps(cases, range(len(batches)), device):
            by_name[lap.name].seconds.append(lap.seconds)
            by_name[lap.name].scorer.add(lap.result)
            observe(lap.name, lap.result)
            advance()
    costs = _Costs(sampling, cut.num_frames)
    models = [
        _model_result(contender, runner, runners[0], cut, costs if clock else None)
        for contender, runner in zip(contenders, runners, strict=True)
    ]
    return ComparisonResult(
        data=cut.found.description,
        trained_on=_trained_on(contenders, cut),
        clips=len(cut.clips),
        windows=cut.count,
        frames=sum(clip.frames for clip in models[0].scores.clips),
        window_frames=cut.num_frames,
        device=device_name(device),
        precision=precision,
        compiled=mode == "compiled",
        sampling=sampling,
        models=models,
        provenance=provenance(),
        camera=cut.found.camera,
        space=cut.found.space.to_json(),
        notes=list(cut.found.notes),
        protocol=cut.protocol,
        every=cut.every,
        padded=cut.padded,
        mode=mode,
    )


@dataclass(kw_only=True, eq=False)
class _Runner:
    """A model at work.

    Attributes:
        name: The contender's.
        draw: Hypotheses of the batch of a number.
        scorer: Takes them.
        seconds: Wall-clock of each batch.
        peak: Most bytes in use while a batch was sampled.
    """

    name: str
    draw: Callable[[int], Float[Tensor, "windows hyps frames joints 3"]]
    scorer: Scorer[ClipScore]
    seconds: list[float] = field(default_factory=list)
    peak: int | None = None

    def warm_up(self, mode: Mode, device: torch.device) -> None:
        """Sample the first batch, and see what memory it takes."""
        if mode == "compiled":  # a graph, in turn, takes its memory when it is captured
            self.draw(0)  # compiling is not what the peak is to tell
        self.peak = peak_memory(partial(self.draw, 0), device)


def _runners(
    contenders: Sequence[Contender],
    cut: CutSet,
    sampling: Sampling,
    batches: WindowBatches,
    mode: Mode,
    precision: Precision,
    device: torch.device,
) -> list[_Runner]:
    layout = cut.found.space.layout
    action_of = {id(piece): clip.action for clip, piece in zip(cut.clips, cut.windows, strict=True)}

    @cache  # contenders may share a denoiser: it is compiled once
    def ready(model: nn.Module) -> Network:
        return prepare_model(model.to(device).eval(), mode, device)

    def draw(network: Network, early: Network | None, number: int) -> Tensor:
        with precision_of(precision, device):  # which poses are not scored in
            return sampling.draw(network, batches[number], number, layout, early)

    def score(hypotheses: Tensor, windows: Windows) -> ClipScore:
        return score_clip(
            place_root(hypotheses, cut.protocol.root, layout),
            windows,
            pck_joints=cut.found.pck_joints,
            action=action_of[id(windows)],
        )

    return [
        _Runner(
            name=contender.name,
            draw=partial(
                draw,
                ready(contender.denoiser),
                None if contender.early is None else ready(contender.early),
            ),
            scorer=batches.scorer(score),
        )
        for contender in contenders
    ]


class _Costs:
    """Multiply-accumulates of a sampling, by contender."""

    def __init__(self, sampling: Sampling, num_frames: int) -> None:
        self._sampling, self._num_frames = sampling, num_frames
        self._counted: dict[DenoiserConfig, Count] = {}

    def of(self, config: DenoiserConfig) -> Count:
        """Multiply-accumulates of one pass over a window, and parameters."""
        if config not in self._counted:
            self._counted[config] = count_denoiser(config.build, self._num_frames)
        return self._counted[config]

    def per_frame(self, contender: Contender) -> tuple[float, float]:
        """Multiply-accumulates of all passes, by THOP and counting every matrix product."""
        early, last = self.of(contender.early_config), self.of(contender.config)
        first = self._sampling.early_passes
        rest = self._sampling.passes - first
        thop = first * early.thop_macs + rest * last.thop_macs
        true = first * early.true_macs + rest * last.true_macs
        return thop / self._num_frames, true / self._num_frames

    def frames_per_second(self, timing: Timing) -> float:
        """From the times of batches."""
        return self._sampling.batch_size * self._num_frames / timing.median


def _model_result(
    contender: Contender, runner: _Runner, baseline: _Runner, cut: CutSet, costs: _Costs | None
) -> ModelResult:
    scores = mean_scores(runner.scorer.scores, cut.found.actions)
    timing = Timing(tuple(runner.seconds))
    thop, true = (None, None) if costs is None else costs.per_frame(contender)
    return ModelResult(
        name=contender.name,
        denoiser=contender.config,
        checkpoint=contender.source,
        trained_steps=contender.checkpoint.step if contender.checkpoint else None,
        scores=scores,
        seconds=[] if costs is None else list(timing.samples),
        frames_per_second=None if costs is None else costs.frames_per_second(timing),
        speed_up=None if costs is None else speed_up(Timing(tuple(baseline.seconds)), timing),
        thop_macs_per_frame=thop,
        true_macs_per_frame=true,
        params=None if costs is None else costs.of(contender.config).params,
        peak_memory=runner.peak,
        early_keep=contender.early_keep,
    )


def _trained_on(contenders: Sequence[Contender], cut: CutSet) -> list[str]:
    """Scored motions that were trained on; synthetic ones recur in name alone."""
    trained = [name.partition("@")[0] for contender in contenders for name in contender.trained_on]
    return trained_among([clip.motion for clip in cut.clips if clip.subject != "synthetic"], trained)
