"""Checks: the tests that need a GPU, run by the test runner in a process of its own, as a part."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree import ElementTree

import torch

from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.reproduction.part import Part, Workplace

_ROOT = Path(__file__).resolve().parents[3]
# On a GPU every test of it; on a CPU the quickest file, whose tests run there by the same code.
_ARGUMENTS = {"cuda": ("-m", "cuda", "tests/cuda"), "cpu": ("-m", "not cuda", "tests/cuda/test_sampling.py")}
_LIMIT = {"cuda": 150.0, "cpu": 180.0}  # seconds
_ABOUT = {"cuda": 60.0, "cpu": 25.0}  # seconds (an H200's)
_PATIENCE = 10.0  # seconds for the report of tests that were stopped
_WORKERS = 6  # at most: each takes half a gigabyte of the GPU, and computes float64 on several cores
_SHOWN = 20  # failures


@dataclass(frozen=True, kw_only=True)
class ChecksAsked:
    """Where the tests run, and with what."""

    device: str
    torch: str
    commit: str | None


@dataclass(frozen=True, kw_only=True)
class Checks:
    """What came out.

    Attributes:
        command: What was run.
        passed, failed, skipped: Tests.
        failures: Names of those that failed, the first ones.
        seconds: How long it took.
        in_time: Whether they ended before they were stopped.
    """

    command: str
    passed: int
    failed: int
    skipped: int
    failures: list[str]
    seconds: float
    in_time: bool = field(default=True, metadata=ADDED_LATER)


def checks_part(device: torch.device) -> Part[Checks]:
    """The part."""
    return Part(
        name="checks",
        title="Checks: modules, patched models and samplers against float64",
        items=("Table V",),
        asked=ChecksAsked(
            device=device_name(device), torch=str(torch.__version__), commit=provenance().commit
        ),
        kind=Checks,
        estimate=_ABOUT[device.type],
        make=run_checks,
        tables=_tables,
        share=0.5,
    )


def run_checks(work: Workplace) -> Checks:
    """Run the tests.

    Those that are stopped for the time's sake are told by what had ended until then.

    Raises:
        BenchmarkError: They did not run at all, or told nothing when they were stopped.
    """
    arguments = _ARGUMENTS[work.device.type]
    if work.device.type == "cuda" and importlib.util.find_spec("xdist"):  # their float64 is the CPU's work
        workers = max(1, min(_WORKERS, (os.cpu_count() or 1) // 2))
        arguments = (*arguments, "-n", str(workers), "--dist", "worksteal")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "tests.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            *arguments,
            "-p",
            "no:cacheprovider",
            f"--junitxml={report}",
        ]
        limit = max(_ABOUT[work.device.type], min(work.seconds, _LIMIT[work.device.type]))
        told, in_time = _run(command, limit)
        if not report.exists():
            reason = told.strip().splitlines()[-1:] or ["nothing was told"]
            said = f"run: {reason[0]}" if in_time else f"end within {limit:.0f} s"
            raise BenchmarkError(f"the tests did not {said}")
        checks = read_report(report, f"pytest {' '.join(arguments)}", time.monotonic() - started)
        return replace(checks, in_time=in_time)


def _run(command: Sequence[str], limit: float) -> tuple[str, bool]:
    """What a command prints, and whether it ended in time; else it is interrupted, which pytest reports."""
    with _interruptible():
        running = subprocess.Popen(  # noqa: S603
            command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    with running:
        try:
            return running.communicate(timeout=limit)[0], True
        except subprocess.TimeoutExpired:
            running.send_signal(signal.SIGINT)
        try:
            return running.communicate(timeout=_PATIENCE)[0], False
        except subprocess.TimeoutExpired:
            running.kill()
            return running.communicate()[0], False


@contextmanager
def _interruptible() -> Iterator[None]:
    """A process started inside the block takes SIGINT, though a program in the background does not."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def read_report(report: Path, command: str, seconds: float) -> Checks:
    """What a test report says.

    Args:
        report: In JUnit's XML.
        command: What was run.
        seconds: How long it took.
    """
    passed, skipped, failures = 0, 0, []
    for case in ElementTree.parse(report).getroot().iter("testcase"):  # noqa: S314
        if case.find("failure") is not None or case.find("error") is not None:
            failures.append(f"{case.get('classname')}::{case.get('name')}")
        elif case.find("skipped") is not None:
            skipped += 1
        else:
            passed += 1
    return Checks(
        command=command,
        passed=passed,
        failed=len(failures),
        skipped=skipped,
        failures=failures[:_SHOWN],
        seconds=seconds,
    )


def _tables(checks: Checks) -> Sequence[Table]:
    return [
        Table(
            title=f"Tests: {checks.command}",
            columns=(
                Column("passed", "d"),
                Column("failed", "d"),
                Column("skipped", "d"),
                Column("s", ".0f"),
            ),
            rows=((checks.passed, checks.failed, checks.skipped, checks.seconds),),
            notes=(
                *(f"failed: {name}" for name in checks.failures),
                *(() if checks.in_time else ("Stopped before the end: the others did not run.",)),
            ),
        )
    ]
