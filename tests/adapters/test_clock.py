import numpy
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapters import clock
from adapters.clock import Timing
from adapters.errors import MeasurementError

SECONDS = st.floats(1e-6, 1e3)


class Clock:
    """A clock that only the timed cases move."""

    def __init__(self, monkeypatch):
        self.now, self.log = 0.0, []
        monkeypatch.setattr(clock.time, "perf_counter", lambda: self.now)

    def case(self, name, durations):
        remaining = iter(durations)

        def run():
            self.log.append(name)
            self.now += next(remaining)

        return run


def test_interleaved_times_what_the_clock_says(monkeypatch):
    fake = Clock(monkeypatch)
    cases = {
        "slow": fake.case("slow", [9.0, 4.0, 5.0, 6.0]),
        "fast": fake.case("fast", [8.0, 1.0, 2.0, 1.5]),
    }
    timings = clock.interleaved(cases, repeats=3, warmup=1)
    assert timings == {"slow": Timing((4.0, 5.0, 6.0)), "fast": Timing((1.0, 2.0, 1.5))}
    # Every round changes direction, the warm-up first.
    assert fake.log == ["slow", "fast", "fast", "slow", "slow", "fast", "fast", "slow"]


def test_laps_hand_each_item_to_every_case_and_time_it_alone(monkeypatch):
    fake = Clock(monkeypatch)
    spend = {"slow": fake.case("slow", [3.0, 5.0]), "fast": fake.case("fast", [1.0, 2.0])}
    cases = {name: lambda item, name=name: (spend[name](), f"{name} {item}")[1] for name in spend}
    found = []
    for lap in clock.laps(cases, ["a", "b"]):
        fake.now += 100.0  # what the caller does between two laps is nobody's time
        found.append((lap.name, lap.item, lap.result, lap.seconds))
    assert found == [
        ("slow", "a", "slow a", 3.0),
        ("fast", "a", "fast a", 1.0),
        ("fast", "b", "fast b", 2.0),
        ("slow", "b", "slow b", 5.0),
    ]


def test_interleaved_waits_for_the_device_on_both_sides(monkeypatch):
    log = []
    monkeypatch.setattr(clock, "synchronise", lambda device: log.append(device))
    clock.interleaved({"case": lambda: log.append("case")}, repeats=1, warmup=0, device="cuda:1")
    assert log == ["cuda:1", "case", "cuda:1"]


def test_interleaved_waits_for_the_others_before_each_clock_starts(monkeypatch):
    fake = Clock(monkeypatch)

    def wait():
        fake.log.append("wait")
        fake.now += 100.0

    timings = clock.interleaved({"case": fake.case("case", [1.0, 2.0])}, repeats=2, warmup=0, together=wait)
    assert timings == {"case": Timing((1.0, 2.0))}
    assert fake.log == ["wait", "case", "wait", "case"]


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("cases", "repeats", "warmup", "message"),
    [
        ({}, 1, 0, "at least one case"),
        ({"a": list}, 0, 0, "repeats expects a whole number of at least 1, got 0"),
        ({"a": list}, 1.5, 0, "repeats expects a whole number of at least 1, got 1.5"),
        ({"a": list}, 1, -1, "warmup expects a whole number of at least 0, got -1"),
    ],
)
def test_interleaved_refuses_nothing_to_time(cases, repeats, warmup, message):
    with pytest.raises(MeasurementError, match=message):
        clock.interleaved(cases, repeats=repeats, warmup=warmup)


@given(st.lists(SECONDS, min_size=1, max_size=9))
def test_median_and_iqr_are_those_of_numpy(samples):
    timing = Timing(tuple(samples))
    low, median, high = numpy.percentile(samples, [25, 50, 75])
    assert timing.median == pytest.approx(median)
    assert timing.iqr == pytest.approx(high - low, abs=1e-9)


def test_timing_needs_samples():
    for samples in ((), (1.0, -1.0)):
        with pytest.raises(MeasurementError, match="at least one sample"):
            Timing(samples)


@pytest.mark.parametrize(
    ("slow", "fast", "told"),
    [
        ((4.0, 6.0, 4.0), (2.0, 3.0, 2.0), "2.00 [2.00, 2.00]"),
        ((10.0, 0.1), (0.15, 0.01), "not measurable [10, 67]"),  # two rounds of a tiny model: "38.33 times"
        ((3.0,), (1.0,), "not measurable"),
    ],
)
def test_a_speed_up_that_the_clock_cannot_carry_is_no_figure(slow, fast, told):
    ratio = clock.speed_up(Timing(slow), Timing(fast))
    assert ratio.told(len(slow)) == told
    assert ratio.cell(len(slow)) == (2.0 if told.startswith("2") else "not measurable")
    assert bool(clock.speed_up_notes([ratio], len(slow))) == told.startswith("not")


def test_speed_up_by_hand():
    result = clock.speed_up(Timing((4.0, 6.0, 20.0)), Timing((2.0, 2.0, 4.0)))
    # Medians 6 and 2; ratios of the rounds 2, 3, 5.
    assert result == clock.SpeedUp(of_medians=3.0, paired=3.0, paired_low=2.5, paired_high=4.0)


def test_speed_up_in_pairs_ignores_a_machine_that_slows_down():
    fast = (1.0, 2.0, 4.0, 8.0)
    result = clock.speed_up(Timing(tuple(2 * seconds for seconds in fast)), Timing(fast))
    assert (result.paired, result.paired_low, result.paired_high) == (2.0, 2.0, 2.0)


def test_speed_up_refuses_what_does_not_compare():
    with pytest.raises(MeasurementError, match="same number of rounds, got 2 and 1"):
        clock.speed_up(Timing((1.0, 1.0)), Timing((1.0,)))
    with pytest.raises(MeasurementError, match="too short for the clock"):
        clock.speed_up(Timing((1.0,)), Timing((0.0,)))


def test_peak_memory_on_a_cpu_counts_tensors():
    calls = []

    def allocate():
        calls.append(None)
        return torch.ones(64 << 20, dtype=torch.uint8)

    assert clock.peak_memory(allocate) == clock.peak_memory(allocate) == 64 << 20
    assert len(calls) == 2


def test_peak_memory_is_none_where_the_device_does_not_tell():
    calls = []
    assert clock.peak_memory(lambda: calls.append(None), "meta") is None
    assert len(calls) == 1


@pytest.mark.cuda
def test_peak_memory_on_cuda_counts_tensors():
    def allocate():
        torch.empty(64 << 20, dtype=torch.uint8, device="cuda")

    held = torch.ones(1 << 20, device="cuda")
    assert clock.peak_memory(allocate, "cuda") == 64 << 20
    assert held.sum() == 1 << 20


def test_when_rounds_agree():
    ratio = clock.SpeedUp(of_medians=1.0, paired=1.2, paired_low=1.0, paired_high=1.5)
    assert ratio.is_measurable(2)
    assert not ratio.is_measurable(1)
    assert clock.SpeedUp(of_medians=1.0, paired=1.2, paired_low=1.0, paired_high=1.51).told(2) == (
        "not measurable [1, 1.5]"
    )
    assert clock.told_speed_up(1.2, 1.0, 1.5) == "1.20 [1.00, 1.50]"
    assert clock.told_speed_up(1.2, 0.9, 1.5) == "not measurable [0.9, 1.5]"


@pytest.mark.parametrize(("device", "expected"), [("cpu", []), ("cuda:1", ["cuda:1"]), ("mps", ["mps"])])
def test_a_device_is_waited_for_in_its_own_way(monkeypatch, device, expected):
    log = []
    monkeypatch.setattr(torch.cuda, "synchronize", log.append)
    monkeypatch.setattr(torch.mps, "synchronize", lambda: log.append("mps"))
    clock.synchronise(device)
    assert log == expected


def test_peak_memory_on_cuda_is_what_a_call_adds_at_most(monkeypatch):
    # A card that has 100 bytes in use, of which one call takes 40 more and leaves 30.
    log, used = [], {"now": 100, "peak": 500}

    def reset(device):
        log.append(("reset", device))
        used["peak"] = used["now"]

    def in_use(device, key):
        log.append((key, device))
        return used[key]

    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: log.append(("wait", device)))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", reset)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: in_use(device, "now"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: in_use(device, "peak"))

    def call():
        log.append("call")
        used.update(now=130, peak=140)

    assert clock.peak_memory(call, "cuda:1") == 40
    steps = ("wait", "reset", "now", "call", "wait", "peak")
    assert log == [step if step == "call" else (step, "cuda:1") for step in steps]
