"""Time, memory and provenance: how every benchmark measures."""

import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy
import torch

from htp_diffusion.errors import BenchmarkError

_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Timing:
    """Wall-clock times of one case.

    Attributes:
        samples: Seconds of each repeat, in the order taken.
    """

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples or min(self.samples) < 0:
            raise BenchmarkError(f"expected at least one sample, none negative, got {self.samples}")

    @property
    def median(self) -> float:
        """Median, in seconds."""
        return statistics.median(self.samples)

    @property
    def iqr(self) -> float:
        """Interquartile range, in seconds; 0 for a single sample."""
        low, high = _quartiles(self.samples)
        return high - low


@dataclass(frozen=True)
class SpeedUp:
    """How many times as fast one case is as another.

    Attributes:
        of_medians: The slow case's median over the fast one's.
        paired: Median over the rounds of the ratio within one round: what drifts slowly, as a warming
            processor does, falls out of it.
        paired_low, paired_high: Quartiles of the rounds' ratios.
    """

    of_medians: float
    paired: float
    paired_low: float
    paired_high: float


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a result comes from.

    Attributes:
        commit: Commit of the checkout that holds this file, None outside one.
        dirty: Whether tracked files differ from the commit, None outside a checkout.
        python, torch, numpy: Versions.
        cpu: Model of the processor, None where the system does not tell.
        cores: Processors that this process may use.
        threads: Threads of one torch operation.
        gpu: Name of the current CUDA device, None without one.
        date: When, in UTC, to the second (ISO 8601).
        command: Command line; absolute paths are cut to the part inside the checkout, or to their last name.
    """

    commit: str | None
    dirty: bool | None
    python: str
    torch: str
    numpy: str
    cpu: str | None
    cores: int
    threads: int
    gpu: str | None
    date: str
    command: str


def synchronise(device: torch.device | str) -> None:
    """Wait until the device has done all its work; at once on a CPU."""
    kind = torch.device(device).type
    if kind == "cuda":
        torch.cuda.synchronize(device)
    elif kind == "mps":
        torch.mps.synchronize()


def interleaved(
    cases: Mapping[str, Callable[[], Any]], *, repeats: int, warmup: int, device: torch.device | str = "cpu"
) -> dict[str, Timing]:
    """Time several cases in turn, so that what slows the machine for a while slows them all.

    A round calls every case once; every other round goes backwards, so that no case always follows the same
    one. The device is synchronised before the clock starts and before it stops.

    Args:
        cases: What to call, by name; results are thrown away.
        repeats: Timed rounds.
        warmup: Rounds before them, not timed (compilation, caches, the allocator).
        device: Where the cases run.

    Returns:
        The times by name; sample i of each comes from round i.

    Raises:
        BenchmarkError: There is no case, repeats is below 1 or warmup below 0.
    """
    if not cases or repeats < 1 or warmup < 0:
        raise BenchmarkError(
            f"expected a case, repeats >= 1 and warmup >= 0, got {len(cases)} cases, {repeats} and {warmup}"
        )
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(-warmup, repeats):
        for name in list(cases)[:: -1 if turn % 2 else 1]:
            synchronise(device)
            start = time.perf_counter()
            cases[name]()
            synchronise(device)
            if turn >= 0:
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(tuple(samples)) for name, samples in seconds.items()}


def speed_up(slow: Timing, fast: Timing) -> SpeedUp:
    """Compare two cases of one `interleaved` call.

    Args:
        slow: The case that the ratio counts from, as a baseline.
        fast: The case whose speed is asked for; a ratio below 1 says that it is the slower one.

    Raises:
        BenchmarkError: The two have different numbers of rounds, or a time is 0.
    """
    if len(slow.samples) != len(fast.samples):
        raise BenchmarkError(
            f"expected the same number of rounds, got {len(slow.samples)} and {len(fast.samples)}"
        )
    if min(fast.samples) == 0:
        raise BenchmarkError("expected times above 0: the case is too short for the clock")
    ratios = [base / other for base, other in zip(slow.samples, fast.samples, strict=True)]
    low, high = _quartiles(ratios)
    return SpeedUp(slow.median / fast.median, statistics.median(ratios), low, high)


def peak_memory(function: Callable[[], Any], device: torch.device | str = "cpu") -> int | None:
    """Call a function once and measure its peak memory, in bytes.

    The figures of the two kinds of device do not compare. On CUDA it is the most memory that tensors held on
    the device, the weights and whatever else was there before included (`torch.cuda.max_memory_allocated`).
    On a CPU it is by how much the process's resident memory rose above where it stood at the call (Linux
    only); memory that the process had freed but kept is used again without a rise, so the first call in a
    process is the one to trust.

    Returns:
        Bytes, or None where the system does not tell (the function is called all the same).
    """
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        function()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    before = _reset_resident_peak()
    function()
    after = _resident("VmHWM")
    return None if before is None or after is None else max(0, after - before)


def provenance() -> Provenance:
    """Describe this process, its machine and its code as they are now."""
    commit, dirty = git_state(_ROOT)
    return Provenance(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        torch=str(torch.__version__),
        numpy=numpy.__version__,
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command_line(sys.argv, _ROOT),
    )


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit of the checkout whose top folder is root, and whether tracked files differ from it.

    Returns:
        None and None if root is not the top of a git checkout with a commit. Not the checkout above it: code
        installed inside another project's folder is not of that project's commit.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)  # noqa: S603
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None, None
        return git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no") != ""
    except (OSError, subprocess.SubprocessError):
        return None, None


def command_line(arguments: Sequence[str], root: Path) -> str:
    """Quote a command line for a shell, without paths that only this machine has.

    An absolute path is cut to the part below root, or to its last name outside root; so is the value of
    --option=value.
    """

    def portable(argument: str) -> str:
        option, equals, value = argument.partition("=")
        if equals and option.startswith("-"):
            return f"{option}={portable(value)}"
        path = Path(argument)
        if not path.is_absolute():
            return argument
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name

    return shlex.join(map(portable, arguments))


def _quartiles(samples: Sequence[float]) -> tuple[float, float]:
    if len(samples) == 1:
        return samples[0], samples[0]
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return low, high


def _resident(field: str) -> int | None:
    """Read a line of /proc/self/status given in kB, in bytes; None where there is none."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None


def _reset_resident_peak() -> int | None:
    """Set the peak of the resident memory back to what is resident now; return that, or None if refused."""
    high_before = _resident("VmHWM")
    try:
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets the peak (man 5 proc)
    except OSError:
        return None
    resident, high = _resident("VmRSS"), _resident("VmHWM")
    if resident is None or high is None or high_before is None:
        return None
    # Some sandboxes take the write and do nothing: a peak that stays far above the resident was not reset.
    slack = 4 << 20
    return None if high == high_before and high > resident + slack else resident


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor()) or None
