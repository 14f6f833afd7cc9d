"""Timing: the models of a line-up, checked, then timed in turn in one precision and mode."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from adapters.clock import Timing, interleaved, peak_memory, speed_up
from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.base.execution import Mode, prepare_model
from htp_diffusion.base.units import GIGA
from htp_diffusion.diffusion.sampling import Sampling, even_max_batch
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.speed.counting import Count
from htp_diffusion.speed.lineup import HOST_NAMES, SAMPLED, Entrant, Sizes, random_inputs
from htp_diffusion.speed.prompts import encoding_cost, told
from htp_diffusion.speed.result import Group, Row
from htp_diffusion.speed.roofline import MatmulRate, Roofline
from htp_diffusion.speed.sharding import Shards

_WORDS = 3  # inputs before those of the prompts: 2D poses, noisy poses, timestep


@dataclass(frozen=True, kw_only=True)
class Draw:
    """A whole sampling.

    Attributes:
        hypotheses: H.
        steps: K.
    """

    hypotheses: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the models of a group have in common.

    Attributes:
        sizes: Of the models.
        batch: Clips in a round, over all processes.
        draw: The sampling that is timed; None for one pass.
        precision: In which they compute.
        mode: How they are run.
        memory_budget: GiB for the activations of one call while sampling.
    """

    sizes: Sizes
    batch: int
    draw: Draw | None
    precision: Precision
    mode: Mode
    memory_budget: float | None

    @property
    def passes(self) -> int:
        """Passes over one clip in a round."""
        return self.batch * (2 * self.draw.hypotheses * self.draw.steps if self.draw else 1)

    def takes(self, entrant: Entrant) -> bool:
        """Whether a model can do it: only some denoisers sample."""
        return self.draw is None or entrant.host in SAMPLED

    def sampling(self, clips: int, device: torch.device) -> Sampling:
        """How one process samples its clips."""
        draw = self.draw or Draw(hypotheses=1, steps=1)
        widest = DenoiserConfig(kind="d3dp", num_frames=self.sizes.frames, dim=self.sizes.dim)
        return Sampling(
            hypotheses=draw.hypotheses,
            steps=draw.steps,
            eta=1.0,
            flip=True,
            seed=0,
            batch_size=clips,
            max_batch=even_max_batch(2 * clips * draw.hypotheses, widest, self.memory_budget, device),
        )


def timed_call(
    entrant: Entrant, setting: Setting, device: torch.device, shards: Shards
) -> Callable[[], Tensor]:
    """What is timed: one pass over this process's clips, or a whole sampling of them.

    Raises:
        BenchmarkError: A batch that cannot be shared, or a mode that there is not here.
    """
    inputs = random_inputs(entrant.host, setting.batch, setting.sizes.frames)
    mine = tuple(part.to(device) for part in shards.share(inputs))
    call = prepare_model(entrant.model, setting.mode, device, whole=entrant.own)
    if setting.draw is None:
        return partial(call, *mine)
    sampling = setting.sampling(len(mine[0]), device)
    return partial(_sampled, entrant, sampling, call, mine[0], mine[_WORDS:])


def _sampled(
    entrant: Entrant,
    sampling: Sampling,
    call: Callable[..., Tensor],
    pose_2d: Tensor,
    words: tuple[Tensor, ...],
) -> Tensor:
    """A whole sampling, the prompts of FinePOSE included."""
    prompts = told(entrant, words)

    def network(pose_2d: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        return call(pose_2d, noisy, timestep, *prompts)

    return sampling.draw(network, pose_2d)


def _first_step(
    entrant: Entrant, setting: Setting, device: torch.device, shards: Shards
) -> Callable[[], Tensor]:
    """The same sampling with a single denoising step."""
    if setting.draw is None:
        return timed_call(entrant, setting, device, shards)
    return timed_call(entrant, replace(setting, draw=replace(setting.draw, steps=1)), device, shards)


def time_group(
    entrants: Sequence[Entrant],
    setting: Setting,
    *,
    device: torch.device,
    shards: Shards,
    roofline: Roofline,
    fused: dict[str, float],
    differences: dict[str, float | None],
    repeats: int,
    warmup: int,
) -> Group:
    """Time models that share a length, batch, precision and mode.

    Args:
        entrants: The models; those that cannot sample are left out where sampling is timed.
        setting: What they share.
        device: Where they are.
        shards: The processes that share the batch.
        roofline: What the device can do in the precision.
        fused: How far fused attention is from written-out attention, by model; public code is not in it.
        differences: How far the precision and mode are from float64, by model.
        repeats: Timed rounds.
        warmup: Rounds before them.

    Raises:
        BenchmarkError: A batch that cannot be shared, or a model that cannot be run so.
    """
    entrants = [entrant for entrant in entrants if setting.takes(entrant)]
    cases = {entrant.name: timed_call(entrant, setting, device, shards) for entrant in entrants}
    peaks: dict[str, int | None] = {}
    with torch.inference_mode(), precision_of(setting.precision, device):
        for entrant in entrants:
            case = cases[entrant.name]
            if device.type == "cuda" and setting.mode != "cuda-graph" and setting.draw is not None:
                # A step warms the device up; its peak is that of the whole sampling.
                step = _first_step(entrant, setting, device, shards)
                if setting.mode == "compiled":  # compiling takes memory of its own
                    step()
                peaks[entrant.name] = peak_memory(step, device)
                continue
            if setting.mode != "cuda-graph":  # a graph takes its memory when it is captured
                case()
            peaks[entrant.name] = peak_memory(case, device)
        timings = interleaved(cases, repeats=repeats, warmup=warmup, device=device, together=shards.wait)
    timings = {name: slowest(timing, shards) for name, timing in timings.items()}
    rows = []
    for entrant in entrants:
        timing = timings[entrant.name]
        cost, elements = _cost(entrant, setting)
        rows.append(
            Row(
                model=entrant.name,
                host=entrant.host,
                seconds=list(timing.samples),
                speed_up=speed_up(timings[HOST_NAMES[entrant.host]], timing),
                thop_gmacs=cost.thop_macs / GIGA,
                true_gmacs=cost.true_macs / GIGA,
                moved_bytes=float(elements * _bytes_per_number(setting.precision)),
                peak_memory=_largest(peaks[entrant.name], shards),
                fused_difference=fused.get(entrant.name),
                difference=differences[entrant.name],
            )
        )
    return Group(
        frames=setting.sizes.frames,
        batch=setting.batch,
        hypotheses=setting.draw.hypotheses if setting.draw else None,
        steps=setting.draw.steps if setting.draw else None,
        precision=setting.precision,
        mode=setting.mode,
        roofline=roofline,
        rows=rows,
    )


def _cost(entrant: Entrant, setting: Setting) -> tuple[Count, int]:
    """What a round costs, and the numbers that its operations move."""
    passes = setting.passes
    once, once_moved = Count(thop_macs=0, true_macs=0, params=0), 0
    if setting.draw is not None:
        once, once_moved = encoding_cost(entrant, random_inputs(entrant.host, 1, 1)[_WORDS:])
    cost = Count(
        thop_macs=passes * (entrant.cost.thop_macs - once.thop_macs) + once.thop_macs,
        true_macs=passes * (entrant.cost.true_macs - once.true_macs) + once.true_macs,
        params=entrant.cost.params,
    )
    return cost, passes * (entrant.elements - once_moved) + once_moved


def slowest(timing: Timing, shards: Shards) -> Timing:
    """The times of the process that took longest, round by round: all started together."""
    return Timing(tuple(max(seconds) for seconds in zip(*shards.gather(timing.samples), strict=True)))


def summed(roofline: Roofline, shards: Shards) -> Roofline:
    """The rates of all processes together; the size of the square product is this process's."""
    mine = (roofline.square.flops, roofline.own.flops, roofline.copied)
    square, own, copied = (sum(rates) for rates in zip(*shards.gather(mine), strict=True))

    def at(rate: MatmulRate, flops: float) -> MatmulRate:
        return MatmulRate(rows=rate.rows, inner=rate.inner, columns=rate.columns, flops=flops)

    return Roofline(square=at(roofline.square, square), own=at(roofline.own, own), copied=copied)


def _bytes_per_number(precision: Precision) -> int:
    """Width of most numbers in a precision."""
    return 2 if precision in ("bf16", "fp16") else 4


def _largest(peak: int | None, shards: Shards) -> int | None:
    peaks = [number for numbers in shards.gather([-1.0 if peak is None else peak]) for number in numbers]
    return None if min(peaks) < 0 else int(max(peaks))
