"""Runner: makes parts in order of importance within a time, each stored as it ends and found again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from adapters.words import printable
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.parts import Parts
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import Provenance, provenance
from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.reproduction.part import Part, Workplace
from htp_modules.errors import HTPError

PARTS_FOLDER = "parts"

State = Literal["made", "found again", "left out", "failed", "to come"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a part.

    Attributes:
        part: The part.
        state: What became of it.
        result: Its result; None if it has none.
        seconds: How long it took, in this run or the one that made it.
        provenance: Code and machine of the run that made it; None in files of earlier versions.
        reason: Why there is no result.
    """

    part: Part[Any]
    state: State
    result: Any = None
    seconds: float | None = None
    provenance: Provenance | None = None
    reason: str | None = None

    @property
    def made(self) -> bool:
        """Whether there is a result."""
        return self.result is not None


class Budget:
    """A time from now on.

    Args:
        seconds: How long.
        clock: Tells the time in seconds.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends = clock() + seconds

    @property
    def left(self) -> float:
        """Seconds left; below 0 once it is over."""
        return self._ends - self._clock()


def find_finished(parts: Sequence[Part[Any]], folder: Path) -> list[Outcome]:
    """What an earlier run of the same command has made.

    Raises:
        BenchmarkError: A part was asked for otherwise, or its file is damaged.
    """
    store = Parts(folder / PARTS_FOLDER)
    outcomes = []
    for part in parts:
        found = store.find(part.name, part.asked, _timed(part))
        outcomes.append(
            Outcome(part=part, state="to come")
            if found is None
            else Outcome(
                part=part,
                state="found again",
                result=found.result,
                seconds=found.seconds,
                provenance=found.provenance,
            )
        )
    return outcomes


def run_parts(
    outcomes: Sequence[Outcome],
    folder: Path,
    device: torch.device,
    budget: Budget,
    console: Console,
    after: Callable[[Sequence[Outcome]], None] = lambda outcomes: None,
) -> list[Outcome]:
    """Make what is not there yet, in order; what does not fit into the time that is left is left out.

    Args:
        outcomes: As ``find_finished`` gives them.
        folder: Where everything is written.
        device: Where parts compute.
        budget: The time.
        console: Where progress is told.
        after: Shown all outcomes after each part that was made.

    Returns:
        The outcomes, none of them to come.

    Raises:
        BenchmarkError: A part cannot be stored.
    """
    store = Parts(folder / PARTS_FOLDER)
    found = list(outcomes)
    for index, outcome in enumerate(found):
        part, left = outcome.part, budget.left
        if outcome.made:
            _tell(console, f"{part.title}: found again, took {outcome.seconds:.1f} s")
            continue
        if part.estimate > left:
            reason = f"about {part.estimate:.0f} s, with {max(0.0, left):.0f} s left"
            found[index] = Outcome(part=part, state="left out", reason=reason)
            _tell(console, f"{part.title}: left out, {reason}")
            continue
        _tell(console, f"{part.title}: about {part.estimate:.0f} s")
        found[index] = _made(part, store, folder, device, max(part.estimate, part.share * left), console)
        after(found)
    return found


def _made(
    part: Part[Any], store: Parts, folder: Path, device: torch.device, seconds: float, console: Console
) -> Outcome:
    start = time.monotonic()
    with progress_bar(console) as bar:
        task = bar.add_task(part.name, total=None)
        work = Workplace(
            device=device,
            folder=folder,
            seconds=seconds,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        try:
            result = part.make(work)
        except (BenchmarkError, HTPError) as error:
            _tell(console, f"{part.title}: failed, {error}")
            return Outcome(part=part, state="failed", reason=printable(" ".join(str(error).split())))
        except torch.cuda.OutOfMemoryError:
            _tell(console, f"{part.title}: failed, out of GPU memory")
            return Outcome(part=part, state="failed", reason="out of GPU memory")
    taken = time.monotonic() - start
    made = _timed(part)(seconds=taken, result=result, provenance=provenance())
    store.store(part.name, part.asked, made)
    _tell(console, f"{part.title}: {taken:.1f} s")
    return Outcome(part=part, state="made", result=result, seconds=taken, provenance=made.provenance)


def _tell(console: Console, line: str) -> None:
    """As it is: names of data files may have brackets, which rich reads as markup, and errors quote files."""
    console.print(printable(line), highlight=False, markup=False)


def _timed(part: Part[Any]) -> Any:
    """The dataclass of a part's result with the time that it took, and what made it."""
    by = ("provenance", Provenance | None, field(default=None, metadata=ADDED_LATER))
    return make_dataclass("Timed", [("seconds", float), ("result", part.kind), by], frozen=True)
