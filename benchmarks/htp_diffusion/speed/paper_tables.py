"""The paper's tables as it prints them, as far as this project knows them: the one place of quoted figures.

Bi et al., Efficient Diffusion-Based 3D Human Pose Estimation with Hierarchical Temporal Pruning (arXiv
2508.21363). The figures are data, in benchmarks/results/paper-tables.json, each with its source; a figure
that is not known here is not there.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.base.tables import Column, Table

PAPER_TABLES = Path(__file__).resolve().parents[3] / "benchmarks" / "results" / "paper-tables.json"
UNPLACED = "tables not known"
"""The item of figures of the paper whose table this project does not know."""


@dataclass(frozen=True, kw_only=True)
class PrintedFigure:
    """One figure.

    Attributes:
        name: What it is, with its unit.
        value: As printed.
        source: Where it was read.
    """

    name: str
    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class PrintedRow:
    """One row.

    Attributes:
        name: The system or setting.
        frames: T, where the paper's row tells it and it is known here.
        figures: What is known of it; empty where nothing is.
    """

    name: str
    frames: int | None
    figures: list[PrintedFigure]


@dataclass(frozen=True, kw_only=True)
class PrintedTable:
    """One table.

    Attributes:
        item: Its name in the paper, or UNPLACED.
        missing: What of it is not known here; None if nothing is missing.
        rows: Its rows.
    """

    item: str
    missing: str | None
    rows: list[PrintedRow]

    @property
    def known(self) -> str:
        """What of it is known here, and what is not."""
        names = [row.name for row in self.rows if row.figures]
        known = f"figures of {', '.join(names)}" if names else "no figure"
        return known if self.missing is None else f"{known}; not known: {self.missing}"


@cache
def printed_tables() -> dict[str, PrintedTable]:
    """Every table, by its name.

    Raises:
        BenchmarkError: The file is missing or damaged.
    """
    return {table.item: table for table in read_json(PAPER_TABLES, list[PrintedTable])}


def printed(item: str, row: str, figure: str) -> float:
    """One figure of the paper.

    Raises:
        BenchmarkError: It is not known here.
    """
    if (value := printed_or_none(item, row, figure)) is None:
        raise BenchmarkError(f"{PAPER_TABLES.name} has no figure {figure!r} of {row!r} in {item}")
    return value


def printed_or_none(item: str, row: str, figure: str) -> float | None:
    """One figure of the paper; None where it is not known here."""
    rows = printed_tables()[item].rows
    found = (one.value for entry in rows if entry.name == row for one in entry.figures if one.name == figure)
    return next(found, None)


def printed_table(table: PrintedTable) -> Table:
    """A table as the paper prints it; what is not known here is left empty."""
    names = list(dict.fromkeys(figure.name for row in table.rows for figure in row.figures))
    cells = [
        (row.name, row.frames, *(printed_or_none(table.item, row.name, name) for name in names))
        for row in table.rows
    ]
    return Table(
        title="Figures of the paper whose table is not known here"
        if table.item == UNPLACED
        else f"{table.item}, as the paper prints it",
        columns=(Column("row"), Column("T", "d"), *(Column(name, "g", "quoted") for name in names)),
        rows=tuple(cells),
        notes=tuple(source_notes(table)),
    )


def source_notes(table: PrintedTable) -> list[str]:
    """Where the figures were read, and what is missing."""
    rows_of: dict[str, list[str]] = {}
    for row in table.rows:
        for source in dict.fromkeys(figure.source for figure in row.figures):
            rows_of.setdefault(source, []).append(row.name)
    notes = [f"{', '.join(rows)}: {source}." for source, rows in rows_of.items()]
    if len(rows_of) == 1:
        notes = [f"All of it: {source}." for source in rows_of]
    return notes if table.missing is None else [*notes, f"Not known here: {table.missing}."]
