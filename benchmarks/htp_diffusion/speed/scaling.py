"""What timing over T, H and K found: its JSON, its table and its picture."""

import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from adapters.clock import Timing
from htp_diffusion.base.device import Precision
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import Mode
from htp_diffusion.base.picture import save_png
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Cell, Column, Table
from htp_diffusion.base.units import MILLI

Axis = Literal["T", "B", "H", "K"]

_COLOURS = ("#d1495b", "#4c6a92")
_WORDS: dict[Axis, str] = {
    "T": "frames T, one pass",
    "B": "clips B, one pass",
    "H": "hypotheses H, K=1",
    "K": "steps K, H=1",
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A model at one length, number of clips, of hypotheses or of steps.

    Attributes:
        value: T, B, H or K.
        seconds: Wall-clock of each round.
        true_gmacs: Every matrix product of a round counted, G.
    """

    value: int
    seconds: list[float]
    true_gmacs: float

    @property
    def timing(self) -> Timing:
        """The rounds."""
        return Timing(tuple(self.seconds))


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A model's cost over one axis.

    Attributes:
        model: The model.
        axis: What grows: T of one pass, B clips in it, H at K=1, or K at H=1.
        points: Its points.
    """

    model: str
    axis: Axis
    points: list[Point]

    @property
    def exponent(self) -> float:
        """The power of the axis that the median time grows with; see :func:`fitted_exponent`."""
        return fitted_exponent(
            [point.value for point in self.points], [point.timing.median for point in self.points]
        )

    @property
    def exponent_of_macs(self) -> float:
        """The same of the multiply-accumulates."""
        return fitted_exponent(
            [point.value for point in self.points], [point.true_gmacs for point in self.points]
        )


@dataclass(frozen=True, kw_only=True)
class ScalingResult:
    """A run.

    Attributes:
        dim, depth, heads, batch: Sizes.
        sampling_frames: T over H and K.
        num_keep: f of the pruned model: frames, or a share of T.
        precision: In which the models compute.
        mode: How they are run.
        device: Where.
        curves: The curves.
        provenance: Where the result comes from.
    """

    dim: int
    depth: int
    heads: int
    batch: int
    sampling_frames: int
    num_keep: int | float
    precision: Precision
    mode: Mode
    device: str
    curves: list[Curve]
    provenance: Provenance


def fitted_exponent(values: Sequence[float], costs: Sequence[float]) -> float:
    """The a of cost = c value^a that fits best: least squares of the logarithms.

    Raises:
        BenchmarkError: Fewer than two different values, or one or a cost that is not above 0.
    """
    if len(set(values)) < 2 or min(*values, *costs) <= 0:
        raise BenchmarkError(
            f"an exponent expects two different values above 0 and costs above 0, got {list(values)} and "
            f"{list(costs)}"
        )
    logs = [[math.log(number) for number in numbers] for numbers in (values, costs)]
    return statistics.linear_regression(*logs).slope


def scaling_table(result: ScalingResult) -> Table:
    """One row a point, with its cost over the curve's first point; exponents in the notes."""
    rows: list[tuple[Cell, ...]] = []
    for curve in result.curves:
        first = curve.points[0]
        for point in curve.points:
            frames = point.value if curve.axis == "T" else result.sampling_frames
            clips = point.value if curve.axis == "B" else result.batch
            median = point.timing.median
            cells = (
                curve.model,
                f"{curve.axis}={point.value}",
                median / MILLI,
                point.timing.iqr / MILLI,
                clips * frames / median,
                point.value / first.value,
                median / first.timing.median,
                point.true_gmacs / first.true_gmacs,
            )
            rows.append(cells)
    return Table(
        title=f"Cost over {_listed(result)}: batch {result.batch}, D={result.dim}, {result.precision}, "
        f"{result.mode}, {result.device}, {result.provenance.told_threads}",
        columns=(
            Column("model"),
            Column("at"),
            Column("median, ms", ",.1f"),
            Column("IQR, ms", ",.1f"),
            Column("frames/s", ",.1f"),
            Column("ratio to first", ".2f"),
            Column("time ratio to first", ".2f"),
            Column("MAC ratio to first", ".2f"),
        ),
        rows=tuple(rows),
        notes=(
            *(
                f"{curve.model}: time grows as {curve.axis}^{curve.exponent:.2f}, "
                f"MACs as {curve.axis}^{curve.exponent_of_macs:.2f} (least squares of logarithms)."
                for curve in result.curves
            ),
            f"T: one pass, f={_kept(result.num_keep)}. H at K=1 and K at H=1: a whole sampling with flip, "
            f"T={result.sampling_frames}.",
            f"{len(result.curves[0].points[0].seconds)} rounds, every point of an axis in turn in each. "
            "Random weights.",
        ),
    )


def draw_scaling(path: str | os.PathLike[str], result: ScalingResult) -> None:
    """Draw time over each axis, both logarithmic, beside growth in proportion.

    Args:
        path: The PNG to write.
        result: What was found.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    axes_drawn: list[Axis] = list(dict.fromkeys(curve.axis for curve in result.curves))
    figure = Figure(figsize=(4.4 * len(axes_drawn), 3.8), dpi=130, layout="constrained")
    panels = figure.subplots(1, len(axes_drawn), squeeze=False)[0]
    for axis, panel in zip(axes_drawn, panels, strict=True):
        curves = [curve for curve in result.curves if curve.axis == axis]
        for curve, colour in zip(curves, _COLOURS, strict=False):
            values = [point.value for point in curve.points]
            medians = [point.timing.median for point in curve.points]
            label = f"{curve.model}: {axis}^{curve.exponent:.2f}"
            panel.loglog(values, medians, "o-", color=colour, linewidth=1.4, label=label)
            even = [medians[0] * value / values[0] for value in values]
            panel.loglog(values, even, ":", color=colour, linewidth=0.9)
        ticks = [point.value for point in curves[0].points]
        panel.set_xticks(ticks, [str(tick) for tick in ticks])
        panel.yaxis.set_major_locator(LogLocator(base=2))
        panel.yaxis.set_major_formatter("{x:g}")
        panel.minorticks_off()
        panel.set(xlabel=_WORDS[axis], ylabel="seconds")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize="small")
    figure.suptitle("Time; dotted: in proportion", fontsize="medium")
    save_png(figure, path)


def _listed(result: ScalingResult) -> str:
    """The axes, in words."""
    *first, last = dict.fromkeys(curve.axis for curve in result.curves)
    return f"{', '.join(first)} and {last}"


def _kept(num_keep: int | float) -> str:
    return f"{num_keep:.3g} T" if isinstance(num_keep, float) else str(num_keep)
