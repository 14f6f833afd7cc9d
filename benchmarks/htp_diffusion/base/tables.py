"""One table, shown in the terminal and written as Markdown from the same cells."""

from dataclasses import dataclass
from typing import Literal

from rich import table as rich_table
from rich import text as rich_text
from rich.console import Console

from adapters.words import printable
from htp_diffusion.base.errors import BenchmarkError

Source = Literal["measured", "counted", "quoted"]

_UNBOUNDED = 10_000  # characters, wider than any table
_MARKS: dict[Source, str] = {"measured": "*", "counted": "‡", "quoted": "†"}
_LEGEND: dict[Source, str] = {
    "measured": "measured here",
    "counted": "counted here",
    "quoted": "quoted from the paper",
}


@dataclass(frozen=True)
class Figure:
    """A number that says where it comes from, in a column that holds both kinds.

    Attributes:
        value: The number; None if there is none.
        source: Measured or counted here, or quoted from the paper.
    """

    value: int | float | None
    source: Source


Cell = str | int | float | Figure | None


@dataclass(frozen=True)
class Column:
    """A column and how its numbers are written.

    Attributes:
        name: Head of the column, with its unit.
        spec: Format of its numbers, as ".1f"; a column with a format is flush right.
        source: Where all its figures come from, marked once in the head; None if they are none of these, or
            if the cells say it.
    """

    name: str
    spec: str = ""
    source: Source | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """A titled table.

    Attributes:
        title: What it shows.
        columns: Its columns.
        rows: Cells, one for each column; None is shown as a dash.
        notes: Sentences below it; the meaning of the marks in use is added.

    Raises:
        BenchmarkError: A row has another number of cells than there are columns.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise BenchmarkError(
                    f"table {self.title!r}: expected {len(self.columns)} cells in row {index}, got {len(row)}"
                )

    def to_rich(self) -> rich_table.Table:
        """Lay the table out for a terminal."""
        # Text objects, as rich would read a plain string's brackets as markup.
        notes = rich_text.Text("\n".join(map(printable, self._all_notes())))
        table = rich_table.Table(
            title=rich_text.Text(printable(self.title)), caption=notes or None, caption_justify="left"
        )
        for column in self.columns:
            table.add_column(rich_text.Text(_head(column)), justify="right" if column.spec else "left")
        for row in self._texts():
            table.add_row(*(rich_text.Text(printable(text)) for text in row))
        return table

    def to_markdown(self) -> str:
        """Write the table as Markdown: bold title, pipe table, notes as a list; ends with a newline."""
        rules = ["---:" if column.spec else "---" for column in self.columns]
        heads = [escaped(_head(column)) for column in self.columns]
        body = [[escaped(text) for text in row] for row in self._texts()]
        lines = [f"**{escaped(self.title)}**", ""]
        lines += [f"| {' | '.join(cells)} |" for cells in [heads, rules, *body]]
        notes = [f"- {escaped(note)}" for note in self._all_notes()]
        return "\n".join(lines + ([""] if notes else []) + notes) + "\n"

    def _texts(self) -> list[list[str]]:
        return [
            [_shown(cell, column.spec) for cell, column in zip(row, self.columns, strict=True)]
            for row in self.rows
        ]

    def _all_notes(self) -> list[str]:
        sources = {column.source for column in self.columns}
        sources |= {cell.source for row in self.rows for cell in row if isinstance(cell, Figure)}
        return [*self.notes, *(f"{_MARKS[key]} {_LEGEND[key]}" for key in _MARKS if key in sources)]


def show(table: Table) -> None:
    """Print a table; into a file or a pipe, which has no width, as wide as its rows are."""
    console, laid_out = Console(), table.to_rich()
    if not console.is_terminal:
        unbounded = console.options.update(width=_UNBOUNDED)
        console.width = max(console.width, console.measure(laid_out, options=unbounded).maximum)
    console.print(laid_out)


def escaped(text: str) -> str:
    """The text for a line of Markdown that shows it as it is."""
    for character in "\\`*_|<":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _head(column: Column) -> str:
    return column.name if column.source is None else f"{column.name} {_MARKS[column.source]}"


def _shown(cell: Cell, spec: str) -> str:
    if isinstance(cell, Figure):
        return _shown(None, spec) if cell.value is None else f"{cell.value:{spec}}{_MARKS[cell.source]}"
    if cell is None:
        return "-"
    return cell if isinstance(cell, str) else f"{cell:{spec}}"
