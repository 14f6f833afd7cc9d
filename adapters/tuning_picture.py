"""The picture of a tuning: deviation against time. The only file that needs matplotlib, which is optional."""

import os
from typing import Any

from adapters.errors import MeasurementError
from adapters.tuning import METRIC_WORDS, Trade, Tuning

_MILLI = 1e-3
_SIZE = (7.0, 4.5)  # inches


def draw_tuning(tuning: Tuning, path: str | os.PathLike[str]) -> None:
    """Draw what was timed; the setting that was chosen is a star.

    Raises:
        MeasurementError: matplotlib is not installed, or the picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MeasurementError("drawing needs matplotlib: pip install matplotlib") from None
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes: Any = figure.add_subplot()
    timed = [trade for trade in (tuning.unpruned, *tuning.settings) if trade.cost is not None]
    axes.plot(*_points(tuning, timed), "o", color="0.7", label="beaten")
    axes.plot(*_points(tuning, list(tuning.best)), "o-", color="tab:blue", label="nothing beats these")
    if tuning.chosen is not None:
        axes.plot(*_points(tuning, [tuning.chosen]), "*", color="tab:red", markersize=16, label="chosen")
    limit = axes.axhline(tuning.tolerance, color="0.4", linestyle="--")
    limit.set_label(f"tolerance, {tuning.tolerance:g}")
    for trade in tuning.best:
        (x,), (y,) = _points(tuning, [trade])
        axes.annotate(tuning.label(trade), (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
    more = "error more than unpruned" if tuning.with_truth else "deviation from the unpruned output"
    axes.set_xlabel(f"ms for a batch of {tuning.batch_size}, {tuning.device}")
    axes.set_ylabel(f"{more}\n({METRIC_WORDS[tuning.metric]} over joints, the output's unit)")
    axes.set_title(tuning.host, fontsize=10)
    axes.set_xlim(left=0)
    axes.legend(fontsize=8)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise MeasurementError(f"cannot write {os.fspath(path)}: {error}") from error


def _points(tuning: Tuning, trades: list[Trade]) -> tuple[list[float], list[float]]:
    """Times and deviations, by time."""
    points = sorted(
        (trade.cost.timing.median / _MILLI, tuning.excess(trade) or 0.0) for trade in trades if trade.cost
    )
    return [x for x, _ in points], [y for _, y in points]
