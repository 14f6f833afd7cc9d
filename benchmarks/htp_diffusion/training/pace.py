"""Pace: how fast a run goes and whether the data keeps up; and drawing ahead, so that it does."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(kw_only=True)
class Pace:
    """Seconds and windows of the steps of this process so far.

    Attributes:
        windows: Windows trained on, those of the other processes too.
        seconds: Time of the steps, from one batch to the next; saving and evaluating do not count.
        drawing: Time that drawing these windows took, in its thread.
        waiting: Time that the steps waited for it.
    """

    windows: int = 0
    seconds: float = 0.0
    drawing: float = 0.0
    waiting: float = 0.0

    def count(self, windows: int, *, seconds: float, drawing: float, waiting: float) -> None:
        """Add a step."""
        self.windows += windows
        self.seconds += seconds
        self.drawing += drawing
        self.waiting += waiting

    def describe(self) -> str:
        """One line: windows a second with the model and by the data alone, and the time lost between."""
        if not self.windows:
            return "windows/s: no step was done"
        return (
            f"windows/s: {_rate(self.windows, self.seconds)} with the model, "
            f"{_rate(self.windows, self.drawing)} by the data alone; "
            f"{100 * self.waiting / self.seconds:.1f} % of the time waiting for data"
        )


def timed(function: Callable[[], Item]) -> tuple[Item, float]:
    """Call a function; returns its result and the seconds that it took."""
    start = time.perf_counter()
    return function(), time.perf_counter() - start


def drawn_ahead(draw: Callable[[int], Item], steps: Iterable[int]) -> Iterator[tuple[int, Item, float]]:
    """Draw each step's item in a thread while the step before it is computed.

    Drawing is many small operations that take some milliseconds a window: a GPU would wait for them.

    Yields:
        The step, its item and the seconds that drawing took.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="draw") as pool:
        waiting = None
        for step in steps:
            following = (step, pool.submit(timed, lambda step=step: draw(step)))
            if waiting is not None:
                yield (waiting[0], *waiting[1].result())
            waiting = following
        if waiting is not None:
            yield (waiting[0], *waiting[1].result())


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:.3g}"
