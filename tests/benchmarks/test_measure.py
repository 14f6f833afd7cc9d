import dataclasses
import subprocess
import sys

import numpy
import pytest
import torch
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.report import measure
from htp_diffusion.report.measure import Timing
from hypothesis import given
from hypothesis import strategies as st

SECONDS = st.floats(1e-6, 1e3)


class Clock:
    """A clock that only the timed cases move."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(measure.time, "perf_counter", lambda: self.now)

    def case(self, name, durations):
        remaining = iter(durations)

        def run():
            self.log.append(name)
            self.now += next(remaining)

        return run


def test_interleaved_times_what_the_clock_says(monkeypatch):
    clock = Clock(monkeypatch)
    cases = {
        "slow": clock.case("slow", [9.0, 4.0, 5.0, 6.0]),
        "fast": clock.case("fast", [8.0, 1.0, 2.0, 1.5]),
    }
    timings = measure.interleaved(cases, repeats=3, warmup=1)
    assert timings == {"slow": Timing((4.0, 5.0, 6.0)), "fast": Timing((1.0, 2.0, 1.5))}
    # The warm-up round, then rounds that change direction.
    assert clock.log == ["fast", "slow", "slow", "fast", "fast", "slow", "slow", "fast"]


def test_interleaved_waits_for_the_device_on_both_sides(monkeypatch):
    log = []
    monkeypatch.setattr(measure, "synchronise", lambda device: log.append(device))
    measure.interleaved({"case": lambda: log.append("case")}, repeats=1, warmup=0, device="cuda:1")
    assert log == ["cuda:1", "case", "cuda:1"]


@pytest.mark.parametrize(
    ("cases", "repeats", "warmup"), [({}, 1, 0), ({"a": list}, 0, 0), ({"a": list}, 1, -1)]
)
def test_interleaved_refuses_nothing_to_time(cases, repeats, warmup):
    with pytest.raises(BenchmarkError, match="expected a case, repeats >= 1"):
        measure.interleaved(cases, repeats=repeats, warmup=warmup)


@given(st.lists(SECONDS, min_size=1, max_size=9))
def test_median_and_iqr_are_those_of_numpy(samples):
    timing = Timing(tuple(samples))
    low, median, high = numpy.percentile(samples, [25, 50, 75])
    assert timing.median == pytest.approx(median)
    assert timing.iqr == pytest.approx(high - low, abs=1e-9)


def test_timing_needs_samples():
    for samples in ((), (1.0, -1.0)):
        with pytest.raises(BenchmarkError, match="at least one sample"):
            Timing(samples)


def test_speed_up_by_hand():
    result = measure.speed_up(Timing((4.0, 6.0, 20.0)), Timing((2.0, 2.0, 4.0)))
    # Medians 6 and 2; ratios of the rounds 2, 3, 5.
    assert result == measure.SpeedUp(of_medians=3.0, paired=3.0, paired_low=2.5, paired_high=4.0)


def test_speed_up_in_pairs_ignores_a_machine_that_slows_down():
    fast = (1.0, 2.0, 4.0, 8.0)
    result = measure.speed_up(Timing(tuple(2 * seconds for seconds in fast)), Timing(fast))
    assert (result.paired, result.paired_low, result.paired_high) == (2.0, 2.0, 2.0)


def test_speed_up_refuses_what_does_not_compare():
    with pytest.raises(BenchmarkError, match="same number of rounds, got 2 and 1"):
        measure.speed_up(Timing((1.0, 1.0)), Timing((1.0,)))
    with pytest.raises(BenchmarkError, match="too short for the clock"):
        measure.speed_up(Timing((1.0,)), Timing((0.0,)))


def test_peak_memory_on_a_cpu_sees_a_large_allocation():
    calls = []

    def allocate():
        calls.append(None)
        return torch.ones(64 << 20, dtype=torch.uint8)

    peak = measure.peak_memory(allocate)
    assert len(calls) == 1
    if peak is None:
        pytest.skip("this system does not tell the peak of a process")
    assert 60 << 20 <= peak <= 128 << 20


def test_peak_memory_is_none_where_the_system_does_not_tell(monkeypatch):
    monkeypatch.setattr(measure, "_resident", lambda field: None)
    assert measure.peak_memory(list) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_peak_memory_on_cuda_counts_tensors():
    def allocate():
        torch.empty(64 << 20, dtype=torch.uint8, device="cuda")

    before = torch.cuda.memory_allocated()
    assert measure.peak_memory(allocate, "cuda") == before + (64 << 20)


def git(root, *arguments):
    identity = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def test_git_state_tells_the_commit_and_changes_to_tracked_files(tmp_path):
    root = tmp_path / "checkout"
    below = root / "below"
    below.mkdir(parents=True)
    assert measure.git_state(root) == (None, None)
    git(root, "init")
    assert measure.git_state(root) == (None, None)
    tracked = root / "tracked"
    tracked.write_text("one")
    git(root, "add", "tracked")
    git(root, "commit", "--message", "first")
    commit = git(root, "rev-parse", "HEAD")
    (root / "untracked").write_text("")
    assert measure.git_state(root) == (commit, False)
    tracked.write_text("two")
    assert measure.git_state(root) == (commit, True)
    assert measure.git_state(below) == (None, None)
    assert measure.git_state(root / "missing") == (None, None)


def test_command_line_names_no_folder_of_this_machine(tmp_path):
    arguments = [
        str(tmp_path / "benchmarks" / "run.py"),
        "--data",
        "/home/someone/data/poses.npz",
        f"--json={tmp_path / 'out' / 'a b.json'}",
        "--lr=1e-3",
        "../relative/file.npz",
        "x=/not/an/option",
        "--steps",
        "5",
    ]
    assert measure.command_line(arguments, tmp_path) == (
        "benchmarks/run.py --data poses.npz '--json=out/a b.json' --lr=1e-3 ../relative/file.npz "
        "x=/not/an/option --steps 5"
    )


def test_provenance_describes_this_process(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["run.py", "--steps", "5"])
    found = measure.provenance()
    assert found.torch == torch.__version__
    assert found.numpy == numpy.__version__
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.threads == torch.get_num_threads()
    assert found.cores >= 1
    assert found.command == "run.py --steps 5"
    assert (found.gpu is None) == (not torch.cuda.is_available())
    assert (found.commit is None) == (found.dirty is None)
    assert found.date.endswith("+00:00")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.commit = "other"
