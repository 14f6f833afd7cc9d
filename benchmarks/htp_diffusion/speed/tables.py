"""The tables of what timing the models found: speed, the device's limits, and the drift of fast modes."""

from collections.abc import Sequence

from adapters.clock import speed_up_notes
from adapters.words import counted
from htp_diffusion.base.tables import Cell, Column, Table
from htp_diffusion.base.units import GIGA, MEBIBYTE, MILLI
from htp_diffusion.speed.lineup import HOST_NAMES, SAMPLED
from htp_diffusion.speed.result import Group, Row, ThroughputResult
from htp_diffusion.speed.roofline import MatmulRate, Roofline

_PERCENT = 1e-2
_EVEN = 1.0


def throughput_tables(result: ThroughputResult) -> list[Table]:
    """Speed, how far from what the device allows, and the drift of fast modes where it was measured."""
    tables = [throughput_table(result), roofline_table(result)]
    return [*tables, drift_table(result)] if result.drift else tables


def throughput_table(result: ThroughputResult) -> Table:
    """One row a model and group, with its time over the plain host's beside the ratio of their MACs."""
    setting = _Setting(result.groups)
    several = len({(group.precision, group.mode) for group in result.groups}) > 1
    rows: list[tuple[Cell, ...]] = []
    for group in result.groups:
        for row in group.rows:
            timing, frames = row.timing, group.batch * group.frames
            cells = (
                row.model,
                *setting.cells(group),
                timing.median / MILLI,
                timing.iqr / MILLI,
                frames / timing.median,
                group.batch / timing.median,
                row.speed_up.cell(len(row.seconds)),
                f"{row.speed_up.paired_low:.2f} to {row.speed_up.paired_high:.2f}",
                group.plain(row.host).true_gmacs / row.true_gmacs,
                *((_over_first_way(result, group, row),) if several else ()),
                row.thop_gmacs,
                row.true_gmacs,
                None if row.peak_memory is None else row.peak_memory / MEBIBYTE,
                row.difference,
            )
            rows.append(cells)
    first = result.groups[0]
    base = "the public code" if any(row.is_public for row in first.rows) else "the plain host"
    return Table(
        title="Speed: "
        + ", ".join((*setting.common, f"D={result.dim}", *_machine(result), *_recovery(result))),
        columns=(
            Column("model"),
            *setting.columns,
            Column("median, ms", ",.1f"),
            Column("IQR, ms", ",.1f"),
            Column("frames/s", ",.1f"),
            Column("clips/s", ",.3f"),
            Column("times as fast as the plain host", ".2f"),
            Column("quartiles"),
            Column("MAC ratio", ".2f"),
            *(
                (Column(f"times as fast as {base} in {first.precision}, {first.mode}", ".2f"),)
                if several
                else ()
            ),
            Column("THOP GMACs", ",.2f"),
            Column("true GMACs", ",.2f"),
            Column("peak memory, MiB", ",.0f"),
            Column("max relative error vs float64", ".0e"),
        ),
        rows=tuple(rows),
        notes=tuple(_notes(result)),
    )


def roofline_table(result: ThroughputResult) -> Table:
    """One row a model and group: what it achieves beside what the device can do in the same precision."""
    setting = _Setting(result.groups)
    rows: list[tuple[Cell, ...]] = []
    for group in result.groups:
        for row in group.rows:
            median, roofline = row.timing.median, group.roofline
            operations = 2 * row.true_gmacs * GIGA
            cells = (
                row.model,
                *setting.cells(group),
                median / MILLI,
                row.flops / GIGA,
                row.flops / roofline.square.flops / _PERCENT,
                row.flops / roofline.own.flops / _PERCENT,
                operations / roofline.square.flops / MILLI,
                row.moved_bytes / GIGA,
                row.moved_bytes / roofline.copied / MILLI,
            )
            rows.append(cells)
    return Table(
        title="Measured beside what the device can do",
        columns=(
            Column("model"),
            *setting.columns,
            Column("median, ms", ",.1f"),
            Column("GFLOP/s", ",.1f"),
            Column("% of square matmul", ".0f"),
            Column("% of matmul of own shape", ".0f"),
            Column("time at matmul rate, ms", ",.1f"),
            Column("moved, GB", ",.2f"),
            Column("time at copy rate, ms", ",.1f"),
        ),
        rows=tuple(rows),
        notes=(
            *dict.fromkeys(_rates(setting.words(group), group.roofline) for group in result.groups),
            "GFLOP/s: two a true multiply-accumulate, over the median. Matmul and copy: the fastest of their "
            "repeats, in the same run.",
            "Moved: what each operation of an unfused pass reads and writes, in the precision's width; "
            "fusion and caches go below it, so it is no floor.",
        ),
    )


def drift_table(result: ThroughputResult) -> Table:
    """One row a trained denoiser and fast mode."""
    first = result.drift[0]
    return Table(
        title=f"Drift from fp32, eager: H={first.hypotheses}, K={first.steps}, eta 1, flip, {result.device}",
        columns=(
            Column("model"),
            Column("precision"),
            Column("mode"),
            Column("MPJPE in fp32, mm", ".3f"),
            Column("MPJPE, mm", ".3f"),
            Column("MPJPE drift, mm", ".3f"),
            Column("mean joint distance, mm", ".3f"),
            Column("median, mm", ".3f"),
        ),
        rows=tuple(
            (
                drift.model,
                drift.precision,
                drift.mode,
                drift.mpjpe_fp32,
                drift.mpjpe,
                drift.mpjpe_drift,
                drift.distance,
                drift.median,
            )
            for drift in result.drift
        ),
        notes=(
            f"The shipped {', '.join(dict.fromkeys(drift.checkpoint for drift in result.drift))}, on "
            f"{first.windows} windows of embedded synthetic motion, with the same noise.",
            "MPJPE: of the mean hypothesis. Joint distance: between the two runs, over all hypotheses.",
        ),
    )


class _Setting:
    """What tells the groups of a run apart, as columns, and what they have in common, as words."""

    def __init__(self, groups: Sequence[Group]) -> None:
        every = [self._facts(group) for group in groups]
        self._apart = [name for name in every[0] if len({facts[name] for facts in every}) > 1]
        self.common = [self._word(name, cell) for name, cell in every[0].items() if name not in self._apart]
        self.columns = tuple(
            Column(name, "d" if name in ("T", "batch") else "") for name in every[0] if name in self._apart
        )

    def cells(self, group: Group) -> tuple[Cell, ...]:
        """The group's cells."""
        return tuple(cell for name, cell in self._facts(group).items() if name in self._apart)

    def words(self, group: Group) -> str:
        """What the matmul and the copy of a group depend on."""
        return f"{group.precision}, T={group.frames}, batch {group.batch}"

    @staticmethod
    def _facts(group: Group) -> dict[str, Cell]:
        return {
            "timed": group.timed,
            "T": group.frames,
            "batch": group.batch,
            "precision": group.precision,
            "mode": group.mode,
        }

    @staticmethod
    def _word(name: str, cell: Cell) -> str:
        return {"T": f"T={cell}", "batch": f"batch {cell}"}.get(name, str(cell))


def _over_first_way(result: ThroughputResult, group: Group, row: Row) -> float | None:
    """Speed over the host's public code, or else the plain host, in the run's first precision and mode."""
    first = result.groups[0]
    for other in result.groups:
        same_work = (other.frames, other.batch, other.timed) == (group.frames, group.batch, group.timed)
        if same_work and (other.precision, other.mode) == (first.precision, first.mode):
            public = [base for base in other.rows if base.host == row.host and base.is_public]
            base = public[0] if public else other.plain(row.host)
            return base.timing.median / row.timing.median
    return None


def _machine(result: ThroughputResult) -> list[str]:
    processes = [f"{result.processes} processes"] if result.processes > 1 else []
    return [result.device, *processes, result.provenance.told_threads]


def _recovery(result: ThroughputResult) -> list[str]:
    return [] if result.recovery == "cross_attention" else [f"recovery by {result.recovery}"]


def _notes(result: ThroughputResult) -> list[str]:
    rows = [row for group in result.groups for row in group.rows]
    fused = [row.fused_difference for row in rows if row.fused_difference is not None]
    checked = (
        f"Checked before: fused and written-out attention agree in float64 (to {max(fused, default=0):.0e}). "
    )
    setting = _Setting(result.groups)
    rounds = len(rows[0].seconds)
    notes = [
        *speed_up_notes([row.speed_up for row in rows], rounds),
        f"{counted(rounds, 'round')}, a group's models in turn in each; ratios are medians over rounds.",
        "Random weights. MACs: every matrix product, attention included. Peak memory: weights left out.",
        f"{checked if fused else ''}Max relative error: the largest difference in the row's precision and "
        "mode over the largest output, the same frames kept.",
    ]
    if patched := [
        row.model
        for row in rows
        if row.host not in SAMPLED and row.model == HOST_NAMES[row.host] and row.is_public
    ]:
        notes.append(f"Plain and pruned from the public code: {', '.join(dict.fromkeys(patched))}.")
    if any(group.hypotheses is not None for group in result.groups):
        notes.append("H, K: a whole sampling with flip, 2HK passes a clip, of the denoisers alone.")
        if any(row.host == "finepose" for group in result.groups for row in group.rows):
            notes.append(
                "FinePOSE: all clips share one text, as an action's do; ours encodes it once a sampling, "
                "public code in every call, where it is counted for every pass."
            )
    if result.processes > 1:
        notes.append(
            f"{result.processes} processes share each batch, start together and count until the slowest is "
            "done; frames/s and GFLOP/s are their sum, peak memory that of the largest."
        )
    if len({(group.precision, group.mode) for group in result.groups}) > 1:
        notes.append("Between precisions and modes: ratios of medians, from other rounds of the same run.")
    losses = [
        " ".join(str(cell) for cell in (row.model, *setting.cells(group)))
        for group in result.groups
        for row in group.rows
        if row.is_pruned
        if row.speed_up.is_measurable(len(row.seconds)) and row.speed_up.paired < _EVEN
    ]
    if losses:
        notes.append(f"Pruning does not pay in: {'; '.join(losses)}.")
    return notes


def _rates(words: str, roofline: Roofline) -> str:
    return (
        f"{words}: matmul {_rate(roofline.square)}, own shape {_rate(roofline.own)}; "
        f"copy {roofline.copied / GIGA:,.1f} GB/s."
    )


def _rate(rate: MatmulRate) -> str:
    return f"{rate.flops / GIGA:,.1f} GFLOP/s ({rate.rows} x {rate.inner} x {rate.columns})"
