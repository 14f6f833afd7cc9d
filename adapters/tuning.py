"""Tuning: what the settings of a patched model cost and change, and which of them nothing beats."""

import os
from dataclasses import dataclass
from typing import Any

from adapters.benchmark import Cost, aligned
from adapters.clock import SpeedUp, speed_up
from adapters.deviation import Deviation, Metric
from adapters.errors import MeasurementError
from htp_modules import HTPConfig

METRIC_WORDS: dict[Metric, str] = {"mean": "mean", "p95": "95th percentile"}
_MILLI, _GIGA, _MIB = 1e-3, 1e9, 2**20
_SIZE = (7.0, 4.5)  # of the picture, inches


@dataclass(frozen=True, kw_only=True)
class Trade:
    """One setting of a model.

    Attributes:
        config: Where and how hard it prunes; None for the unpruned model.
        macs: Multiply-accumulates of one pass over one clip.
        deviation: How far its output is off; None if it was given up before the last clip, because a setting
            of no more operations is closer for certain.
        cost: Of a batch; None if it was not timed, because a setting of no more operations is closer.
    """

    config: HTPConfig | None
    macs: int
    deviation: Deviation | None
    cost: Cost | None


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a grid of settings costs and changes on clips, and the one that was chosen.

    Attributes:
        host: The host's class, and what it was recognised as.
        device: What it ran on.
        frames: T, frames of a clip as it reached the host.
        clips: How many clips it was tuned on.
        batch_size: Clips in the batch that was timed.
        metric: The figure of a deviation that decides.
        tolerance: How much farther off than the unpruned model a setting may be.
        with_truth: Deviations are errors against the truth; else from the unpruned model's own output.
        unpruned: The model as it is.
        settings: Every setting of the grid, by operations.
        best: The settings that nothing beats, the unpruned model included, the closest first.
        chosen: The fastest of them within the tolerance; None if pruning makes none faster, nor as fast by
            fewer operations. The model is left with its config.
        before: The config that the model came with and, if none is chosen, is left with; None if it was not
            patched.
    """

    host: str
    device: str
    frames: int
    clips: int
    batch_size: int
    metric: Metric
    tolerance: float
    with_truth: bool
    unpruned: Trade
    settings: tuple[Trade, ...]
    best: tuple[Trade, ...]
    chosen: Trade | None
    before: HTPConfig | None

    def excess(self, trade: Trade) -> float | None:
        """How much farther off than the unpruned model a setting is; None if it was given up early."""
        if trade.deviation is None or self.unpruned.deviation is None:
            return None
        return trade.deviation.figure(self.metric) - self.unpruned.deviation.figure(self.metric)

    def speed_up(self, trade: Trade) -> SpeedUp | None:
        """How many times as fast as the unpruned model a setting is; None if it was not timed."""
        if trade.cost is None or self.unpruned.cost is None:
            return None
        return speed_up(self.unpruned.cost.timing, trade.cost.timing)

    def label(self, trade: Trade) -> str:
        """A setting in short."""
        return "unpruned" if trade.config is None else self._in_short(trade.config)

    def _in_short(self, config: HTPConfig) -> str:
        kept, neighbors = config.frames_kept(self.frames), config.neighbors(self.frames)
        return f"n={config.num_sft_layers}, f={kept}, k={neighbors}"

    def __str__(self) -> str:
        off = "error" if self.with_truth else "off"
        rows = [("  setting", f"{off}, mean", f"{off}, 95 %", "ms", "speed", "GMACs/clip", "peak MiB")]
        rows += [self._cells(trade) for trade in self.best]
        against = "the truth" if self.with_truth else "the unpruned output"
        if self.chosen is not None:
            verdict = f"chosen: {self.label(self.chosen)}"
        else:
            left = "unpatched" if self.before is None else f"patched: {self._in_short(self.before)}"
            verdict = f"none is faster and within the tolerance: the model is left as it was, {left}"
        return "\n".join(
            (
                f"{self.host}, {self.frames} frames, {self.clips} clips against {against}, "
                f"batches of {self.batch_size} on {self.device}",
                *aligned(rows),
                f"{len(self.settings)} settings tried; what is not listed is beaten by one that is",
                f"tolerance {self.tolerance:g} by the {METRIC_WORDS[self.metric]}; {verdict}",
            )
        )

    def _cells(self, trade: Trade) -> tuple[str, ...]:
        speed, deviation, cost = self.speed_up(trade), trade.deviation, trade.cost
        if speed is None or deviation is None or cost is None:
            raise AssertionError("what nothing beats was timed")
        peak = "-" if cost.peak_memory is None else f"{cost.peak_memory / _MIB:.1f}"
        return (
            f"{'*' if trade is self.chosen else ' '} {self.label(trade)}",
            f"{deviation.mean:.4g}",
            f"{deviation.p95:.4g}",
            f"{cost.timing.median / _MILLI:.2f}",
            f"{speed.paired:.2f} [{speed.paired_low:.2f}, {speed.paired_high:.2f}]",
            f"{trade.macs / _GIGA:.3f}",
            peak,
        )

    def draw(self, path: str | os.PathLike[str]) -> None:
        """Draw deviation against time: what was timed, what nothing beats joined, the chosen one a star.

        Args:
            path: The picture, of the kind that its ending says (.png, .svg, .pdf).

        Raises:
            MeasurementError: matplotlib is not installed, or the picture cannot be written.
        """
        try:
            from matplotlib.figure import Figure  # optional, and slow to import
        except ImportError:
            raise MeasurementError("drawing needs matplotlib: pip install matplotlib") from None
        figure = Figure(figsize=_SIZE, layout="constrained")
        axes: Any = figure.add_subplot()
        timed = [trade for trade in (self.unpruned, *self.settings) if trade.cost is not None]
        axes.plot(*self._points(timed), "o", color="0.7", label="beaten")
        axes.plot(*self._points(list(self.best)), "o-", color="tab:blue", label="nothing beats these")
        if self.chosen is not None:
            axes.plot(*self._points([self.chosen]), "*", color="tab:red", markersize=16, label="chosen")
        limit = axes.axhline(self.tolerance, color="0.4", linestyle="--")
        limit.set_label(f"tolerance, {self.tolerance:g}")
        for trade in self.best:
            (x,), (y,) = self._points([trade])
            axes.annotate(self.label(trade), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
        more = "error more than unpruned" if self.with_truth else "deviation from the unpruned output"
        axes.set_xlabel(f"ms for a batch of {self.batch_size}, {self.device}")
        axes.set_ylabel(f"{more}\n({METRIC_WORDS[self.metric]} over joints, the output's unit)")
        axes.set_title(self.host, fontsize=10)
        axes.set_xlim(left=0)
        axes.legend(fontsize=8)
        try:
            figure.savefig(path, dpi=150)
        except (OSError, ValueError) as error:
            raise MeasurementError(f"cannot write {os.fspath(path)}: {error}") from error

    def _points(self, trades: list[Trade]) -> tuple[list[float], list[float]]:
        """Times and deviations, by time."""
        points = sorted(
            (trade.cost.timing.median / _MILLI, self.excess(trade) or 0.0) for trade in trades if trade.cost
        )
        return [x for x, _ in points], [y for _, y in points]
