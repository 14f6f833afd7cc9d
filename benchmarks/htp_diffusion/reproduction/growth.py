"""Growth: how the cost grows with the sizes, and what a step of training costs, as parts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from htp_diffusion.base.computing import Computing, Precise
from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.units import GIGA
from htp_diffusion.reproduction.machine import free_bytes, release
from htp_diffusion.reproduction.part import Compared, Part, Picture, Workplace
from htp_diffusion.reproduction.pass_cost import PASS_GMACS, share
from htp_diffusion.reproduction.scale import Scale, ScaleName
from htp_diffusion.speed.commands import scaling, training
from htp_diffusion.speed.scaling import ScalingResult, draw_scaling, scaling_table
from htp_diffusion.speed.step_cost import TrainingCost, step_table

PICTURE = "scaling.png"
_PAPER_BATCH = 4  # sequences in a step (Section IV-A)
_FILLED = 0.85  # of the memory that is free
_EFFICIENCY = 0.6
_D3DP = PASS_GMACS["d3dp"]


@dataclass(frozen=True, kw_only=True)
class GrowthAsked:
    """What the costs depend on: the sizes, where, and the threads of one operation."""

    scale: ScaleName
    device: str
    threads: int


@dataclass(frozen=True, kw_only=True)
class StepCosts:
    """Steps of training at the paper's batch, and at the largest that fits into the memory or is allowed."""

    costs: list[TrainingCost]


def growth_part(scale: Scale, device: torch.device, flops: float) -> Part[ScalingResult]:
    """Cost over T, batch, H and K."""
    sizes = scale.sizes
    per_frame = (_D3DP[0] + _D3DP[1]) * share(sizes) / sizes.frames
    frames = sum(scale.lengths) + sum(scale.batches) * scale.sampling_frames
    frames += 2 * 2 * sum(scale.hypotheses) * scale.sampling_frames  # H and K, flip
    rounds = scale.rounds + 3  # checks in float64, the first call, a round to warm up
    seconds = 2 * GIGA * per_frame * frames * rounds / (flops * _EFFICIENCY)

    def make(work: Workplace) -> ScalingResult:
        result = scaling.measure(
            scaling.Options(
                frames=scale.lengths,
                batches=scale.batches,
                hypotheses=scale.hypotheses,
                steps=scale.hypotheses,
                sampling_frames=scale.sampling_frames,
                dim=sizes.dim,
                depth=sizes.depth,
                heads=sizes.heads,
                num_keep=2 / 9,
                computing=Computing(device=str(work.device)),
                repeats=scale.rounds,
            )
        )
        draw_scaling(work.folder / PICTURE, result)
        release(work.device)
        return result

    return Part(
        name="scaling",
        title="Cost over T, batch, H and K",
        items=("Table V", "Table XIII"),
        asked=_asked(scale, device),
        kind=ScalingResult,
        estimate=seconds + 12.0,
        make=make,
        tables=lambda result: [scaling_table(result)],
        compared=_exponents,
        pictures=lambda result: [
            Picture(
                file=PICTURE,
                item="",
                caption=f"Time over T, batch, H and K: {result.device}, {result.precision}, {result.mode}.",
            )
        ],
    )


def training_step_part(scale: Scale, device: torch.device, flops: float) -> Part[StepCosts]:
    """A step of training at the paper's batch and at the largest."""
    gmacs = 3 * (_D3DP[0] + _D3DP[3]) * share(scale.sizes) * _PAPER_BATCH
    seconds = 2 * GIGA * gmacs * (scale.rounds + 3) / (flops * _EFFICIENCY)
    seconds *= 10 if device.type == "cuda" else 1 + scale.most_sequences / _PAPER_BATCH  # the largest batch

    def make(work: Workplace) -> StepCosts:
        paper = training.measure(_step_options(scale, device, _PAPER_BATCH))
        work.progress(1, 2)
        batch = largest_batch(paper, free_bytes(device), scale.most_sequences)
        costs = [paper]
        while batch > _PAPER_BATCH:
            try:
                costs.append(training.measure(_step_options(scale, device, batch)))
                break
            except torch.cuda.OutOfMemoryError:
                release(device)
                batch //= 2
        release(device)
        return StepCosts(costs=costs)

    return Part(
        name="training-step",
        title="A step of training",
        items=("Table V",),
        asked=_asked(scale, device),
        kind=StepCosts,
        estimate=seconds + 8.0,
        make=make,
        tables=lambda found: [step_table(cost) for cost in found.costs],
        compared=_step_ratios,
    )


def largest_batch(cost: TrainingCost, free: int, most: int) -> int:
    """Sequences whose activations fit into the memory, from the peak of a step with fewer, by doubling.

    Raises:
        BenchmarkError: The step's memory is not known.
    """
    peaks = [model.peak_memory for model in cost.models]
    if any(peak is None for peak in peaks):
        raise BenchmarkError("the memory of a step is not known on this device")
    each = max(peak for peak in peaks if peak is not None) / cost.batch
    batch = cost.batch
    while 2 * batch <= most and 2 * batch * each <= _FILLED * free:
        batch *= 2
    return batch


def _step_options(scale: Scale, device: torch.device, batch: int) -> training.Options:
    sizes = scale.sizes
    return training.Options(
        frames=sizes.frames,
        dim=sizes.dim,
        depth=sizes.depth,
        heads=sizes.heads,
        batch_size=batch,
        computing=Precise(device=str(device)),
        repeats=scale.rounds,
    )


def _asked(scale: Scale, device: torch.device) -> GrowthAsked:
    return GrowthAsked(scale=scale.name, device=device_name(device), threads=torch.get_num_threads())


def _exponents(result: ScalingResult) -> Sequence[Compared]:
    return [
        Compared(
            item="Table XIII" if curve.axis == "T" else "Table V",
            what=f"{curve.model}: power of {curve.axis} that the time grows with",
            measured=curve.exponent,
            quoted=None,
            condition=f"{result.device}, D={result.dim}, {result.precision}; "
            f"the multiply-accumulates grow with {curve.exponent_of_macs:.2f}",
        )
        for curve in result.curves
    ]


def _step_ratios(found: StepCosts) -> Sequence[Compared]:
    return [
        Compared(
            item="Table V",
            what=f"{model.model}, a training step of {cost.batch} sequences: times as fast as "
            f"{cost.models[0].model}",
            measured=model.speed_up.paired,
            quoted=None,
            condition=f"{cost.device}, T={cost.frames}, D={cost.dim}, {cost.precision}",
        )
        for cost in found.costs
        for model in cost.models[1:]
    ]
