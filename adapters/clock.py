"""Time and memory: how everything here measures, the benchmarks included."""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch

from adapters.errors import MeasurementError
from adapters.live_memory import peak_live_bytes

NOT_MEASURABLE = "not measurable"
_MOST_SPREAD = 1.5  # of the upper quartile of the rounds over the lower; calm rounds are within 1.1
_QUARTERS = 3  # rounds that it takes for quartiles to say more than the least and the largest do

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Timing:
    """Wall-clock times of one case.

    Attributes:
        samples: Seconds of each repeat, in the order taken.
    """

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples or min(self.samples) < 0:
            raise MeasurementError(f"expected at least one sample, none negative, got {self.samples}")

    @property
    def median(self) -> float:
        """Median, in seconds."""
        return statistics.median(self.samples)

    @property
    def iqr(self) -> float:
        """Interquartile range, in seconds; 0 for a single sample."""
        low, high = _quartiles(self.samples)
        return high - low


@dataclass(frozen=True, kw_only=True, eq=False)
class Lap(Generic[Item, Result]):
    """One timed call.

    Attributes:
        name: The case.
        item: What it was called with.
        result: What it returned.
        seconds: How long it took.
    """

    name: str
    item: Item
    result: Result
    seconds: float


@dataclass(frozen=True)
class SpeedUp:
    """How many times as fast one case is as another.

    Attributes:
        of_medians: The slow case's median over the fast one's.
        paired: Median over the rounds of the ratio within one round, in which slow drift, as of a warming
            processor, cancels.
        paired_low, paired_high: Quartiles of the rounds' ratios; of two, least and largest.
    """

    of_medians: float
    paired: float
    paired_low: float
    paired_high: float

    def is_measurable(self, rounds: int) -> bool:
        """Whether so many rounds agree so far that their median says something; a single one does not."""
        return rounds > 1 and self.paired_high <= _MOST_SPREAD * self.paired_low

    def cell(self, rounds: int) -> float | str:
        """The median for a column of numbers."""
        return self.paired if self.is_measurable(rounds) else NOT_MEASURABLE

    def told(self, rounds: int) -> str:
        """The median and the spread, or the spread alone."""
        if self.is_measurable(rounds):
            return f"{self.paired:.2f} [{self.paired_low:.2f}, {self.paired_high:.2f}]"
        return NOT_MEASURABLE + (f" [{self.paired_low:.2g}, {self.paired_high:.2g}]" if rounds > 1 else "")


def synchronise(device: torch.device | str) -> None:
    """Wait until the device has done all its work; at once on a CPU."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def _at_once() -> None:
    """Wait for nobody."""


def laps(
    cases: Mapping[str, Callable[[Item], Result]],
    items: Iterable[Item],
    device: torch.device | str = "cpu",
    together: Callable[[], None] = _at_once,
) -> Iterator[Lap[Item, Result]]:
    """Call several cases in turn on each item, so that what slows the machine for a while slows them all.

    Every other round goes backwards, so that no case always follows the same one. The device is synchronised
    before the clock starts and before it stops.

    Args:
        cases: What to call, by name.
        items: What to call them with, a round each.
        device: Where the cases run.
        together: Called before each clock starts, to wait for other processes that time the same.

    Yields:
        One call after the other; the clock stands still while the caller looks at it.
    """
    for turn, item in enumerate(items):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            synchronise(device)
            together()
            start = time.perf_counter()
            result = cases[name](item)
            synchronise(device)
            yield Lap(name=name, item=item, result=result, seconds=time.perf_counter() - start)


def check_whole(value: object, name: str, least: int = 1) -> None:
    """Check a count.

    Raises:
        MeasurementError: It is no int, or below ``least``.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise MeasurementError(f"{name} expects a whole number of at least {least}, got {value!r}")


def interleaved(
    cases: Mapping[str, Callable[[], Any]],
    *,
    repeats: int,
    warmup: int,
    device: torch.device | str = "cpu",
    together: Callable[[], None] = _at_once,
) -> dict[str, Timing]:
    """Time several cases by `laps` that do the same again and again.

    Args:
        cases: What to call, by name; results are thrown away.
        repeats: Timed rounds.
        warmup: Rounds before them, not timed (compilation, caches, the allocator).
        device: Where the cases run.
        together: Called before each clock starts, to wait for other processes that time the same.

    Returns:
        The times by name; sample i of each comes from round i.

    Raises:
        MeasurementError: There is no case, repeats is below 1 or warmup below 0.
    """
    if not cases:
        raise MeasurementError("expected at least one case to time, got none")
    check_whole(repeats, "repeats")
    check_whole(warmup, "warmup", least=0)

    def without_item(case: Callable[[], Any]) -> Callable[[int], Any]:
        return lambda _: case()

    seconds: dict[str, list[float]] = {name: [] for name in cases}
    calls = {name: without_item(case) for name, case in cases.items()}
    for lap in laps(calls, range(-warmup, repeats), device, together):
        if lap.item >= 0:
            seconds[lap.name].append(lap.seconds)
    return {name: Timing(tuple(samples)) for name, samples in seconds.items()}


def speed_up(slow: Timing, fast: Timing) -> SpeedUp:
    """Compare two cases of one `interleaved` call.

    Args:
        slow: The case that the ratio counts from, as a baseline.
        fast: The case whose speed is asked for; a ratio below 1 says that it is the slower one.

    Raises:
        MeasurementError: The two have different numbers of rounds, or a time is 0.
    """
    if len(slow.samples) != len(fast.samples):
        raise MeasurementError(
            f"expected the same number of rounds, got {len(slow.samples)} and {len(fast.samples)}"
        )
    if min(fast.samples) == 0:
        raise MeasurementError("expected times above 0: the case is too short for the clock")
    ratios = [base / other for base, other in zip(slow.samples, fast.samples, strict=True)]
    low, high = _quartiles(ratios) if len(ratios) >= _QUARTERS else (min(ratios), max(ratios))
    return SpeedUp(slow.median / fast.median, statistics.median(ratios), low, high)


def told_speed_up(median: float, low: float, high: float) -> str:
    """A ratio of several rounds and its quartiles, as a table of a study has them."""
    return SpeedUp(of_medians=median, paired=median, paired_low=low, paired_high=high).told(_QUARTERS)


def speed_up_notes(ratios: Iterable[SpeedUp], rounds: int) -> list[str]:
    """What is told below a table in which a ratio is not measurable; nothing otherwise."""
    if all(ratio.is_measurable(rounds) for ratio in ratios):
        return []
    return [
        f"{NOT_MEASURABLE}: a single round, or quartiles of the rounds over {_MOST_SPREAD:g} times apart; "
        "take more rounds, a larger model or a quieter machine."
    ]


def peak_memory(function: Callable[[], Any], device: torch.device | str = "cpu") -> int | None:
    """Call a function once and measure by how many bytes it raised the memory in use by tensors at most.

    Weights and whatever else was there before do not count. What libraries take for themselves, and what an
    allocator keeps back, does not either.

    Returns:
        Bytes, or None on a device that does not tell (the function is called all the same).
    """
    kind = torch.device(device).type
    if kind == "cpu":
        return peak_live_bytes(function)
    if kind != "cuda":
        function()
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    allocated = torch.cuda.memory_allocated(device)
    function()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - allocated


def _quartiles(samples: Sequence[float]) -> tuple[float, float]:
    if len(samples) == 1:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high
