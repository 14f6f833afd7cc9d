"""tune(model, clips): which setting to take, found on a user's own clips and machine."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from torch import Tensor, nn

from adapters.benchmark import Cost
from adapters.clock import Timing, check_whole, interleaved, peak_memory, speed_up
from adapters.counting import Counter
from adapters.deviation import Batches, Distance, Judge, Metric, joint_distance
from adapters.errors import MeasurementError
from adapters.trial import Trial, device_in_words, trial
from adapters.tuning import Trade, Tuning
from htp_modules import HTPConfig

# Around what the paper trains and uses (Table VIII); k = 1.0 masks nothing.
_LAYERS, _KEEP, _NEIGHBORS = (1, 3, 5), (1 / 9, 2 / 9, 1 / 3, 1 / 2), (1 / 3, 2 / 3, 1.0)
_METRICS = ("mean", "p95")


def tune(
    model: nn.Module,
    clips: Tensor | tuple[Tensor, ...],
    *,
    tolerance: float,
    metric: Metric = "mean",
    truth: Tensor | None = None,
    distance: Distance = joint_distance,
    num_sft_layers: Sequence[int] | None = None,
    num_keep: Sequence[int | float] | None = None,
    num_neighbors: Sequence[int | float] | None = None,
    batch_size: int = 8,
    repeats: int = 5,
    warmup: int = 1,
) -> Tuning:
    """Run a grid of settings on clips, and leave the model with the fastest within a tolerance.

    Without ground truth, a setting is judged by how far its output is from the model's own unpruned output;
    with it, by how much larger its error is. Of a patch from scratch, the unpruned model is HTP with every
    frame kept and unmasked. A setting is dropped as soon as another, of no more operations, is
    certainly closer; the rest is timed in turn with the unpruned model. Settings whose times lie
    within the spread of the rounds are ranked by their operations.

    Args:
        model: Patched, or not yet: then it is patched, with interpolation and no Spatial GCN, as needs no
            training. Patch it first to tune another recovery, density or required frames.
        clips: What the model's forward takes, clips along the first axis; a tuple of several such tensors for
            a model that takes more than one. They are run in batches, with the same random draws each time.
        tolerance: How much farther off than the unpruned model a setting may be, in the output's unit.
        metric: What the tolerance is for: the ``"mean"`` over all joints, or the 95th percentile, ``"p95"``.
        truth: What the output should be, clips along the first axis.
        distance: How far an output is from a reference (the truth, or an output): one number for each joint,
            frame or clip, not their mean, such as of the centre frame alone. By default the Euclidean
            distance of each joint.
        num_sft_layers: Settings of n; by default 1, 3 and 5 where the host has more pairs of blocks.
        num_keep: Settings of f; by default 1/9, 2/9, 1/3 and 1/2.
        num_neighbors: Settings of k; by default 1/3, 2/3 and 1.0, which masks nothing.
        batch_size: Clips in a batch; the first batch is timed.
        repeats: Timed rounds.
        warmup: Rounds before them, not timed.

    Returns:
        What was found; print it, or draw it with its ``draw``. If no setting within the tolerance is faster,
        or as fast within the spread of the rounds by fewer operations, ``chosen`` is None and the model is as
        it was, as after any error.

    Raises:
        PatchError: The model cannot be patched, or the patch is not in force any more.
        UnrecognisedHostError: It holds no host; the error names the nearest.
        ConfigError: A setting that does not fit the model.
        MeasurementError: Clips, truth, tolerance or outputs that cannot be used.
    """
    if metric not in _METRICS:
        raise MeasurementError(f"metric expects one of {', '.join(_METRICS)}, got {metric!r}")
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
        raise MeasurementError(f"tolerance expects a finite number of at least 0, got {tolerance!r}")
    check_whole(batch_size, "batch_size")
    check_whole(repeats, "repeats")
    check_whole(warmup, "warmup", least=0)
    with trial(model) as tried:
        base = tried.htp.config
        batches = Batches.of(clips, truth, batch_size, tried.device)
        judge = Judge(model, tried, batches, distance, metric)
        grid = _grid(tried, judge.frames, num_sft_layers, num_keep, num_neighbors)
        trades = _judged(judge, Counter.of(model, judge.frames), grid, metric)
        timed = _timed(model, tried, batches, _undominated(trades, metric), repeats, warmup)
        best, chosen = _choose(timed, metric, tolerance)
        by_config = {trade.config: trade for trade in timed}
        settings = tuple(by_config.get(trade.config, trade) for trade in trades if trade.config is not None)
        tried.keep = None if chosen is None else chosen.config
        return Tuning(
            host=tried.name,
            device=device_in_words(tried.device),
            frames=judge.frames,
            clips=batches.clips,
            batch_size=min(batch_size, batches.clips),
            metric=metric,
            tolerance=tolerance,
            with_truth=truth is not None,
            unpruned=by_config[None],
            settings=settings,
            best=best,
            chosen=chosen,
            before=None if tried.fresh else base,
        )


def _grid(
    tried: Trial,
    frames: int,
    num_sft_layers: Sequence[int] | None,
    num_keep: Sequence[int | float] | None,
    num_neighbors: Sequence[int | float] | None,
) -> list[HTPConfig]:
    """The settings, each once: shares that come to the same frames are the same setting."""
    base, pairs = tried.htp.config, tried.adapter.num_pairs(tried.htp.facts)
    required = len(base.frames_required(frames))
    if num_sft_layers is None:
        num_sft_layers = [n for n in _LAYERS if n < pairs - 1] or [0]
    if num_keep is None:
        num_keep = [f for f in _KEEP if replace(base, num_keep=f).frames_kept(frames) >= required]
    settings: dict[tuple[int, int, int], HTPConfig] = {}
    if num_neighbors is None:
        num_neighbors = _NEIGHBORS
    for name, values in (
        ("num_sft_layers", num_sft_layers),
        ("num_keep", num_keep),
        ("num_neighbors", num_neighbors),
    ):
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise MeasurementError(f"{name} expects several settings, such as ({values!r},), got {values!r}")
    for n, f, k in product(num_sft_layers, num_keep, num_neighbors):
        one = replace(base, num_sft_layers=n, num_keep=f, num_neighbors=k)
        settings.setdefault((n, one.frames_kept(frames), one.neighbors(frames)), one)
    if not settings:
        raise MeasurementError("the grid has no setting: give at least one value each for n, f and k")
    return list(settings.values())


def _judged(judge: Judge, counter: Counter, grid: list[HTPConfig], metric: Metric) -> list[Trade]:
    """Every setting and the unpruned model, by operations, with the deviation of those not given up."""
    unpruned = Trade(config=None, macs=counter.plain(), deviation=judge.unpruned, cost=None)
    # No shape depends on k: settings that differ in it alone are counted once.
    shapes = {replace(one, num_neighbors=1.0) for one in grid}
    macs = {shape: counter.pruned(shape) for shape in shapes}
    counted = [
        Trade(config=one, macs=macs[replace(one, num_neighbors=1.0)], deviation=None, cost=None)
        for one in grid
    ]
    trades, bound = [], math.inf
    for trade in sorted([unpruned, *counted], key=lambda trade: trade.macs):  # ties in the order of the grid
        if trade.config is not None:
            trade = replace(trade, deviation=judge.of(trade.config, bound))
        if trade.deviation is not None:
            bound = min(bound, trade.deviation.figure(metric))
        trades.append(trade)
    return trades


def _undominated(trades: list[Trade], metric: Metric) -> list[Trade]:
    """The unpruned model, and the settings that are closer than all others of no more operations.

    Of settings that come to the same, the first one stands.
    """
    ranks = [
        (trade.deviation.figure(metric) if trade.deviation else math.inf, number)
        for number, trade in enumerate(trades)
    ]
    return [
        one
        for one, rank in zip(trades, ranks, strict=True)
        if one.config is None
        or all(other.macs > one.macs or rank <= first for other, first in zip(trades, ranks, strict=True))
    ]


def _timed(
    model: nn.Module, tried: Trial, batches: Batches, trades: list[Trade], repeats: int, warmup: int
) -> list[Trade]:
    """The same with their times, taken in turn, and their memory."""
    base, inputs = tried.htp.config, batches.inputs[0]

    def run(config: HTPConfig | None) -> None:
        tried.htp.config = config or base
        arguments = [x.clone() for x in inputs]
        if config is None:
            tried.unpruned(model, *arguments)
        else:
            model(*arguments)

    cases = {str(number): partial(run, trade.config) for number, trade in enumerate(trades)}
    timings = interleaved(cases, repeats=repeats, warmup=warmup, device=tried.device)
    peaks = {name: peak_memory(case, tried.device) for name, case in cases.items()}
    costs = [
        Cost(timing=timings[name], macs=trade.macs, peak_memory=peaks[name])
        for name, trade in zip(cases, trades, strict=True)
    ]
    return [replace(trade, cost=cost) for trade, cost in zip(trades, costs, strict=True)]


def _choose(timed: list[Trade], metric: Metric, tolerance: float) -> tuple[tuple[Trade, ...], Trade | None]:
    """The settings that nothing beats, the closest first, and the one to take.

    A setting is beaten by one that is no farther off and faster beyond the spread of both.
    """
    unpruned = next(trade for trade in timed if trade.config is None)
    speeds = {trade.config: speed_up(_timing(unpruned), _timing(trade)) for trade in timed}
    figures = {trade.config: trade.deviation.figure(metric) for trade in timed if trade.deviation}

    def faster(one: Trade, other: Trade) -> bool:
        return speeds[one.config].paired_low > speeds[other.config].paired_high

    def beaten(one: Trade) -> bool:
        return any(figures[other.config] <= figures[one.config] and faster(other, one) for other in timed)

    def saves(one: Trade) -> bool:
        return faster(one, unpruned) or (not faster(unpruned, one) and one.macs < unpruned.macs)

    best = sorted((trade for trade in timed if not beaten(trade)), key=lambda trade: figures[trade.config])
    limit = figures[None] + tolerance
    chosen: Trade | None = None
    for trade in sorted(best, key=lambda trade: trade.macs):
        allowed = trade.config is not None and figures[trade.config] <= limit and saves(trade)
        if allowed and (chosen is None or faster(trade, chosen)):
            chosen = trade
    return tuple(best), chosen


def _timing(trade: Trade) -> Timing:
    if trade.cost is None:
        raise AssertionError("only what was timed is compared")
    return trade.cost.timing
