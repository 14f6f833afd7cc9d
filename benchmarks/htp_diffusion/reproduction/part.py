"""Part: one piece of the run, made at once or not at all, and what it says about the paper's figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from htp_diffusion.base.tables import Column, Table

Result = TypeVar("Result")


def _ignore(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class Workplace:
    """Where a part is made.

    Attributes:
        device: Where it computes.
        folder: Its pictures and checkpoints go there.
        seconds: How long it may take: a part that can do more in more time plans with it.
        progress: Told what is done of how much.
    """

    device: torch.device
    folder: Path
    seconds: float
    progress: Callable[[int, int], None] = _ignore


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One figure, measured here or quoted from the paper, or both.

    Attributes:
        item: The table or figure of the paper that it belongs to.
        what: Which figure, with its unit.
        measured: Measured here; None if it was not.
        quoted: The paper's; None if it has none, or none that is known.
        condition: How it was measured, where that is not how the paper did.
    """

    item: str
    what: str
    measured: float | None
    quoted: float | None
    condition: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture.

    Attributes:
        file: Its name.
        item: The figure of the paper that it stands for.
        caption: What it shows, and how it was made.
    """

    file: str
    item: str
    caption: str


@dataclass(frozen=True, kw_only=True)
class Part(Generic[Result]):
    """One piece of the run.

    Attributes:
        name: Of its file.
        title: For people.
        items: Tables and figures of the paper that it makes, or makes a part of.
        asked: Dataclass of all that the result depends on; not the time that it may take.
        kind: Dataclass of the result.
        estimate: Seconds that it will take at least, roughly.
        make: Makes it.
        tables: Of the result.
        compared: Its figures beside the paper's.
        pictures: That ``make`` leaves in the folder.
        share: Of the time that is left, how much it may take where that is more than the estimate.
    """

    name: str
    title: str
    items: tuple[str, ...]
    asked: Any
    kind: type[Result]
    estimate: float
    make: Callable[[Workplace], Result]
    tables: Callable[[Result], Sequence[Table]]
    compared: Callable[[Result], Sequence[Compared]] = lambda result: ()
    pictures: Callable[[Result], Sequence[Picture]] = lambda result: ()
    share: float = 0.0


def compared_table(title: str, rows: Sequence[Compared]) -> Table:
    """Measured and quoted figures side by side, each in a column of its own."""
    return Table(
        title=title,
        columns=(
            Column("figure"),
            Column("here", ",.6g", "measured"),
            Column("paper", ",.6g", "quoted"),
            Column("measured how"),
        ),
        rows=tuple((row.what, row.measured, row.quoted, row.condition or None) for row in rows),
    )
