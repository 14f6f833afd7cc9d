"""The tests as a part: what is told of them, and what of those that take too long."""

import signal
from pathlib import Path

import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.reproduction import checks
from htp_diffusion.reproduction.part import Workplace

WAIT = "while :; do sleep 0.05; done"
REPORT = (
    '<testsuites><testsuite><testcase classname="t" name="good"/>'
    '<testcase classname="t" name="bad"><failure message="m"/></testcase>'
    '<testcase classname="t" name="broken"><error message="m"/></testcase>'
    '<testcase classname="t" name="none"><skipped/></testcase></testsuite></testsuites>'
)


def test_a_test_report_is_counted(tmp_path):
    (tmp_path / "tests.xml").write_text(REPORT)
    found = checks.read_report(tmp_path / "tests.xml", "pytest", 1.5)
    assert (found.passed, found.failed, found.skipped, found.failures) == (1, 2, 1, ["t::bad", "t::broken"])


@pytest.fixture
def run(monkeypatch, tmp_path):
    """The part, with a test runner that prints and reports what is given."""

    def part(*, told="", report=REPORT, in_time=True):
        def runner(command, _):
            path = next(word for word in command if word.startswith("--junitxml=")).partition("=")[2]
            if report:
                Path(path).write_text(report)
            return told, in_time

        monkeypatch.setattr(checks, "_run", runner)
        place = Workplace(folder=tmp_path, device=torch.device("cpu"), seconds=5.0, progress=lambda *_: None)
        return checks.run_checks(place)

    return part


def test_tests_that_were_stopped_are_told_by_what_had_ended(run):
    (whole,) = checks._tables(run())
    (stopped,) = checks._tables(run(in_time=False))
    assert whole.rows[0][:3] == stopped.rows[0][:3] == (1, 2, 1)
    assert stopped.notes == (*whole.notes, "Stopped before the end: the others did not run.")


def test_tests_that_told_nothing(run):
    with pytest.raises(BenchmarkError, match="the tests did not run: no module named pytest"):
        run(told="a traceback\nno module named pytest\n", report=None)
    with pytest.raises(BenchmarkError, match="the tests did not run: nothing was told"):
        run(report=None)
    with pytest.raises(BenchmarkError, match="the tests did not end within 25 s"):
        run(report=None, in_time=False)


@pytest.mark.parametrize("ours", [signal.default_int_handler, signal.SIG_IGN])  # ignored in the background
def test_what_takes_too_long_is_interrupted_and_may_report(ours):
    before = signal.signal(signal.SIGINT, ours)
    try:
        assert checks._run(["sh", "-c", "echo done"], 60.0) == ("done\n", True)
        reports = ["sh", "-c", f"trap 'echo reported; exit' INT; {WAIT}"]
        assert checks._run(reports, 1.0) == ("reported\n", False)
        assert signal.getsignal(signal.SIGINT) is ours
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_does_not_listen_is_killed(monkeypatch):
    monkeypatch.setattr(checks, "_PATIENCE", 0.2)
    assert checks._run(["sh", "-c", f"trap '' INT; echo deaf; {WAIT}"], 1.0) == ("deaf\n", False)
