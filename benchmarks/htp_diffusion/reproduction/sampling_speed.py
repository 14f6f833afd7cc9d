"""Sampling speed: the paper's Table V, and the same in faster precisions and modes, as parts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from adapters.clock import synchronise
from htp_diffusion.base.device import Precision, device_name, precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import Mode
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.units import GIGA
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.reproduction.compared_speed import compared_speed
from htp_diffusion.reproduction.heat import Heat
from htp_diffusion.reproduction.machine import PLAIN, Way, release
from htp_diffusion.reproduction.pair import Pair
from htp_diffusion.reproduction.part import Part, Workplace
from htp_diffusion.reproduction.pass_cost import share
from htp_diffusion.reproduction.scale import Scale, ScaleName
from htp_diffusion.speed.agreement import exact_difference, fused_difference, short_inputs
from htp_diffusion.speed.drift import Drift, measure_drift
from htp_diffusion.speed.lineup import Entrant
from htp_diffusion.speed.result import Group, ThroughputResult
from htp_diffusion.speed.roofline import SQUARES, Roofline, measure_roofline
from htp_diffusion.speed.sharding import Shards
from htp_diffusion.speed.tables import throughput_tables
from htp_diffusion.speed.timing import Draw, Setting, time_group, timed_call
from htp_modules import HTPConfig
from htp_modules.errors import HTPError

_MOST_ROUNDS = 3
_BESIDE = 1.2  # what a round costs beside the passes that it was estimated by
_BUILDING = {"cuda": 20.0, "cpu": 10.0}  # seconds: building, checking, the matmul rate (an H200's)
_BUILT_BEFORE = {"cuda": 12.0, "cpu": 5.0}  # the same without building
_PREPARING: dict[Mode, float] = {
    "eager": 5.0,
    "cuda-graph": 15.0,
    "compiled": 130.0,
}  # seconds, and the drift
_FAST_SHARE = 0.12  # of the time that is left
_EFFICIENCY = 0.7


@dataclass(frozen=True, kw_only=True)
class SpeedAsked:
    """What the times depend on.

    Attributes:
        scale: The sizes.
        device: Where.
        precision: In which the denoisers compute.
        mode: How they are run.
        public: Name of the folder of public code; None without it.
        threads: Of one operation.
    """

    scale: ScaleName
    device: str
    precision: Precision
    mode: Mode
    public: str | None
    threads: int


def sampling_part(
    heat: Heat, scale: Scale, device: torch.device, way: Way, public: Path | None, flops: float, pair: Pair
) -> Part[ThroughputResult]:
    """Table V in one precision and mode.

    Args:
        heat: The denoisers.
        scale: The sizes.
        device: Where.
        way: Precision and mode.
        public: Folder of public code, timed beside ours in float32, eager; None leaves it out.
        flops: The device's rate, for the estimate.
        pair: Trained models, whose poses tell how far a fast way drifts.
    """
    precision, mode = way
    public = public if way == PLAIN else None
    first = scale.draws[0]
    passes = 2 * first.hypotheses * first.steps * scale.batch
    gmacs = heat.pass_gmacs * (1.5 if public else 1) * share(scale.sizes) * passes
    seconds = 2 * GIGA * gmacs / (flops * _EFFICIENCY)
    fixed = _BUILDING[device.type] if way == PLAIN else _BUILT_BEFORE[device.type] + _PREPARING[mode]

    def make(work: Workplace) -> ThroughputResult:
        try:
            return _measure(heat, scale, way, public, pair, work)
        finally:
            release(device)

    return Part(
        name=heat.name if way == PLAIN else f"{heat.name}-{precision}-{mode}",
        title=f"{heat.what}, {precision}, {mode}, in turn"
        + (" (Table V as printed)" if way == PLAIN else ""),
        items=("Table V",),
        asked=SpeedAsked(
            scale=scale.name,
            device=device_name(device),
            precision=precision,
            mode=mode,
            public=None if public is None else public.name,
            threads=torch.get_num_threads(),
        ),
        kind=ThroughputResult,
        estimate=fixed + 2 * seconds,
        make=make,
        tables=throughput_tables,
        compared=lambda result: compared_speed(result, heat.told),
        share=heat.share if way == PLAIN else _FAST_SHARE,
    )


def _measure(
    heat: Heat, scale: Scale, way: Way, public: Path | None, pair: Pair, work: Workplace
) -> ThroughputResult:
    """Build, check and time the denoisers, and tell how far a fast way drifts."""
    ends = time.monotonic() + work.seconds
    precision, mode = way
    device, sizes = work.device, scale.sizes
    entrants = heat.line_up(sizes, public, device)
    if mode == "compiled":
        torch.compiler.reset()
    checked = _checked(entrants, scale, way, work)
    roofline = measure_roofline(
        device,
        precision,
        tokens=scale.batch * sizes.frames * H36M_17.num_joints,
        dim=sizes.dim,
        squares=SQUARES[device.type] if scale.name == "paper" else SQUARES["cpu"][:1],
        repeats=3,
        copied_bytes=None if scale.name == "paper" else 1 << 20,
    )
    drift = [] if way == PLAIN else _drift(scale, way, pair, device)
    groups = _timed_draws(entrants, scale, way, roofline, checked, ends, work)
    return ThroughputResult(
        dim=sizes.dim,
        depth=sizes.depth,
        motionbert_depth=sizes.motionbert_depth,
        heads=sizes.heads,
        num_keep=HTPConfig().num_keep,
        device=device_name(device),
        processes=1,
        groups=groups,
        drift=drift,
        provenance=provenance(),
    )


class _Checked(NamedTuple):
    """By the denoiser's name, how far it is from its written-out attention and from float64."""

    fused: dict[str, float]
    differences: dict[str, float | None]


def _checked(entrants: Sequence[Entrant], scale: Scale, way: Way, work: Workplace) -> _Checked:
    """Check what every denoiser computes, once."""
    precision, mode = way
    found = _Checked({}, {})
    for number, entrant in enumerate(entrants):
        inputs = short_inputs(entrant, scale.sizes.frames, work.device)
        if entrant.own:
            found.fused[entrant.name] = fused_difference(entrant.model, inputs)
        found.differences[entrant.name] = exact_difference(
            entrant, inputs, precision=precision, mode=mode, device=work.device
        )
        work.progress(number + 1, len(entrants) + len(scale.draws))
    return found


def _timed_draws(
    entrants: Sequence[Entrant],
    scale: Scale,
    way: Way,
    roofline: Roofline,
    checked: _Checked,
    ends: float,
    work: Workplace,
) -> list[Group]:
    """Time each H and K for as many rounds as there is time; the first for one at least.

    Public code is timed at the first alone: a step of a longer sampling is the same pass again.
    """
    precision, mode = way
    a_pass = _seconds_of_a_pass(entrants, scale, precision, work.device)
    groups: list[Group] = []
    for number, draw in enumerate(scale.draws):
        if groups:  # what a pass really takes in this mode
            last = scale.draws[number - 1]
            timed = sum(row.timing.median for row in groups[-1].rows if not row.is_public)
            a_pass = timed / (last.hypotheses * last.steps)
        a_round = a_pass * draw.hypotheses * draw.steps
        before = a_round * _before_the_clock(mode, work.device, draw)
        rounds = rounds_within(ends - time.monotonic() - _BESIDE * before, _BESIDE * a_round)
        if groups and rounds < 1:
            break
        groups.append(
            time_group(
                [entrant for entrant in entrants if entrant.own or not groups],
                _setting(scale, draw, precision, mode),
                device=work.device,
                shards=Shards(),
                roofline=roofline,
                fused=checked.fused,
                differences=checked.differences,
                repeats=max(1, rounds),
                warmup=0,
            )
        )
        work.progress(len(entrants) + number + 1, len(entrants) + len(scale.draws))
    return groups


def _before_the_clock(mode: Mode, device: torch.device, draw: Draw) -> float:
    """Rounds that timing takes before its clock runs, to warm up and for the memory."""
    if mode == "cuda-graph":
        return 1.0
    if device.type == "cuda":
        return (2.0 if mode == "compiled" else 1.0) / draw.steps
    return 2.0


def rounds_within(seconds: float, a_round: float) -> int:
    """Rounds that fit into a time: none, or up to three."""
    return max(0, min(_MOST_ROUNDS, int(seconds / a_round)))


def _setting(scale: Scale, draw: Draw, precision: Precision, mode: Mode) -> Setting:
    return Setting(
        sizes=scale.sizes, batch=scale.batch, draw=draw, precision=precision, mode=mode, memory_budget=None
    )


def _seconds_of_a_pass(
    entrants: Sequence[Entrant], scale: Scale, precision: Precision, device: torch.device
) -> float:
    """All models, one hypothesis and step with flip, as they are; the second call counts."""
    total = 0.0
    setting = _setting(scale, Draw(hypotheses=1, steps=1), precision, "eager")
    with torch.inference_mode(), precision_of(precision, device):
        for entrant in entrants:
            call = timed_call(entrant, setting, device, Shards())
            call()
            total += _timed(call, device)
    return total


def _timed(call: Callable[[], object], device: torch.device) -> float:
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def _drift(scale: Scale, way: Way, pair: Pair, device: torch.device) -> list[Drift]:
    """How far the trained pair's poses move; none where it cannot be loaded, which another part tells."""
    try:
        contenders = pair.contenders()[:2]
    except (BenchmarkError, HTPError):
        return []
    return measure_drift(
        [way],
        device=device,
        hypotheses=scale.drift.hypotheses,
        steps=scale.drift.steps,
        contenders=contenders,
    )
