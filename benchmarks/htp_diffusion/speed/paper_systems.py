"""The paper's systems: what it prints of them, and what their public code counts and takes."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from htp_diffusion.base.tables import Column, Table
from htp_diffusion.base.units import GIGA, MEGA, MILLI
from htp_diffusion.speed.counting import thop_macs
from htp_diffusion.speed.lineup import Host, random_inputs
from htp_diffusion.speed.paper_tables import (
    UNPLACED,
    PrintedTable,
    printed_or_none,
    printed_table,
    printed_tables,
    source_notes,
)
from htp_diffusion.speed.public_code import public_d3dp, public_mixste, public_motionbert
from htp_diffusion.speed.public_hosts import public_finepose, public_ktpformer, public_stcformer
from htp_diffusion.speed.public_systems import PUBLIC_SYSTEMS
from htp_diffusion.speed.system_times import SystemTimes

_FRAMES = 243
_SIZES = {"frames": _FRAMES, "dim": 512, "heads": 8}
_HOSTS: dict[str, tuple[Host, int, Callable[..., nn.Module]]] = {
    "MixSTE": ("mixste", 8, public_mixste),
    "D3DP": ("d3dp", 8, public_d3dp),
    "MotionBERT": ("motionbert", 5, public_motionbert),
    "FinePOSE": ("finepose", 8, public_finepose),
    "KTPFormer": ("ktpformer", 8, public_ktpformer),
    "STCFormer-L": ("stcformer", 6, public_stcformer),
}
"""Systems that can be patched: what they are called with, their depth, and what builds them."""
_OTHERS = ("Table II", "Table III", "Table IV", "Table V", "Table VI", UNPLACED)
_ERRORS = ("MPJPE, mm, CPN 2D", "P-MPJPE, mm, CPN 2D", "MPJPE, mm, true 2D")


@dataclass(frozen=True, kw_only=True)
class SystemRow:
    """What was counted on the public class of one system, at its published size.

    Attributes:
        system: Its name in the paper.
        frames: T of what was counted.
        counted_params_m: Parameters, M.
        counted_gmacs: THOP's count of one clip, G.
        counted_on: Repository, file and class.
        note: Why this differs from what the paper prints, or what else there is to know.
    """

    system: str
    frames: int
    counted_params_m: float
    counted_gmacs: float
    counted_on: str
    note: str | None


def count_again(rows: list[SystemRow], public: Path) -> list[SystemRow]:
    """The rows with what is counted on the public classes now, for those that can be built here.

    Args:
        rows: The rows.
        public: Folder of checkouts, each called owner+name.

    Raises:
        BenchmarkError: No checkout, or one that does not import.
    """
    return [_again(row, public) for row in rows]


def _again(row: SystemRow, public: Path) -> SystemRow:
    if row.system in PUBLIC_SYSTEMS:
        system = PUBLIC_SYSTEMS[row.system]
        model, inputs = system.build(public), system.inputs()
    elif row.system in _HOSTS:
        host, depth, build = _HOSTS[row.system]
        model, inputs = build(public, depth=depth, **_SIZES), random_inputs(host, 1, _FRAMES)
    else:
        return row
    model = model.eval()
    return replace(
        row,
        counted_params_m=sum(parameter.numel() for parameter in model.parameters()) / MEGA,
        counted_gmacs=thop_macs(model, inputs) / GIGA,
    )


def other_tables(tables: list[PrintedTable]) -> list[Table]:
    """The paper's tables of systems beside Table I; those of which nothing is known in one.

    Args:
        tables: All that is known of the paper's tables.
    """
    named = [table for table in tables if table.item in _OTHERS]
    empty = [table for table in named if not table.rows]
    return [*(printed_table(table) for table in named if table.rows), _nothing_known(empty)]


def systems_table(rows: list[SystemRow], times: SystemTimes) -> Table:
    """The paper's Table I, with what is counted and measured beside it.

    Args:
        rows: What was counted.
        times: What was timed.
    """
    table = printed_tables()["Table I"]
    counted = {row.system: row for row in rows}
    timed = {row.system: row for row in times.rows}
    cells = []
    for printed_row in table.rows:
        system = printed_row.name
        count, time = counted.get(system), timed.get(system)
        cells.append(
            (
                system,
                count.frames if count else printed_row.frames,
                *(printed_or_none(table.item, system, name) for name in _ERRORS),
                printed_or_none(table.item, system, "GMACs a pass"),
                count.counted_gmacs if count else None,
                printed_or_none(table.item, system, "parameters, M"),
                count.counted_params_m if count else None,
                time.timing.median / MILLI if time else None,
                count.counted_on if count else None,
                count.note if count else None,
            )
        )
    return Table(
        title="Table I, as the paper prints it, beside what is counted and measured on public code",
        columns=(
            Column("system"),
            Column("T", "d"),
            *(Column(name, "g", "quoted") for name in _ERRORS),
            Column("paper, G", "g", "quoted"),
            Column("THOP, G", ".2f", "counted"),
            Column("paper, M", "g", "quoted"),
            Column("params, M", ".2f", "counted"),
            Column("one pass, ms", ",.0f", "measured"),
            Column("counted on"),
            Column("note"),
        ),
        rows=tuple(cells),
        notes=(
            "Counted: THOP 0.1.1, one clip, on the public classes with the sizes that their authors publish; "
            "T is that of the count. Rows of HTP are counted in the table of multiply-accumulates.",
            f"Measured: {times.conditions}; the table of systems in docs/benchmarks.md has the spread.",
            *source_notes(table),
        ),
    )


def _nothing_known(tables: list[PrintedTable]) -> Table:
    return Table(
        title="Tables of which no figure is known here",
        columns=(Column("table"), Column("not known")),
        rows=tuple((table.item, table.missing) for table in tables),
    )
