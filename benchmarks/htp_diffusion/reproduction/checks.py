"""Checks: the tests that need a GPU, run by the test runner in a process of its own, as a part."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import torch

from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.reproduction.part import Part, Workplace

_ROOT = Path(__file__).resolve().parents[3]
# On a GPU every test of it; on a CPU the quickest file, whose tests run there by the same code.
_ARGUMENTS = {"cuda": ("-m", "cuda", "tests/cuda"), "cpu": ("-m", "not cuda", "tests/cuda/test_sampling.py")}
_LIMIT = {"cuda": 150.0, "cpu": 180.0}  # seconds
_ABOUT = {"cuda": 60.0, "cpu": 25.0}  # seconds (an H200's)
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
    """

    command: str
    passed: int
    failed: int
    skipped: int
    failures: list[str]
    seconds: float


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

    Raises:
        BenchmarkError: They did not end in time, or did not run at all.
    """
    arguments = _ARGUMENTS[work.device.type]
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
        try:
            done = subprocess.run(  # noqa: S603
                command,
                cwd=_ROOT,
                capture_output=True,
                text=True,
                timeout=max(_ABOUT[work.device.type], min(work.seconds, _LIMIT[work.device.type])),
            )
        except subprocess.TimeoutExpired as error:
            raise BenchmarkError(f"the tests did not end within {error.timeout:.0f} s") from error
        if not report.exists():
            told = (done.stdout + done.stderr).strip().splitlines() or ["nothing was told"]
            raise BenchmarkError(f"the tests did not run: {told[-1]}")
        return read_report(report, f"pytest {' '.join(arguments)}", time.monotonic() - started)


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
            notes=tuple(f"failed: {name}" for name in checks.failures),
        )
    ]
