"""The runner on parts that take no time. Oracle: a clock that the test turns, and counted calls."""

import io
from dataclasses import dataclass, replace

import pytest
import torch
from rich.console import Console

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.reproduction.part import Part
from htp_diffusion.reproduction.runner import Budget, find_finished, run_parts

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Asked:
    number: int


@dataclass(frozen=True, kw_only=True)
class Answer:
    number: int


class Clock:
    """Seconds that pass only when something is made."""

    def __init__(self):
        self.now, self.made, self.given = 0.0, [], {}

    def __call__(self):
        return self.now

    def part(self, name, *, estimate=10.0, takes=10.0, number=1, share=0.0, error=None):
        def make(work):
            self.given[name] = work.seconds
            self.now += takes
            if error is not None:
                raise error
            self.made.append(name)
            return Answer(number=number)

        return Part(
            name=name, title=name.upper(), items=("Table I",), asked=Asked(number=number), kind=Answer,
            estimate=estimate, make=make, tables=lambda result: [], share=share,
        )  # fmt: skip


def run(clock, parts, folder, seconds=60.0, after=lambda outcomes: None):
    told = io.StringIO()
    found = find_finished(parts, folder)
    budget = Budget(seconds, clock)
    return run_parts(found, folder, CPU, budget, Console(file=told, width=200), after), told.getvalue()


def test_parts_run_in_order_until_the_time_is_over(tmp_path):
    clock = Clock()
    parts = [clock.part("a"), clock.part("b", estimate=55.0), clock.part("c"), clock.part("d", estimate=41.0)]
    outcomes, told = run(clock, parts, tmp_path)
    assert clock.made == ["a", "c"]
    assert [one.state for one in outcomes] == ["made", "left out", "made", "left out"]
    assert outcomes[1].reason == "about 55 s, with 50 s left"
    assert outcomes[3].reason == "about 41 s, with 40 s left"
    assert "A: about 10 s" in told
    assert "B: left out, about 55 s, with 50 s left" in told


def test_a_part_may_take_its_share_of_what_is_left_and_its_estimate_at_least(tmp_path):
    clock = Clock()
    parts = [clock.part("half", share=0.5), clock.part("small", share=0.1), clock.part("rest", share=1.0)]
    run(clock, parts, tmp_path)
    assert clock.given == {"half": 30.0, "small": 10.0, "rest": 40.0}


def test_finished_parts_are_found_again_and_cost_no_time(tmp_path):
    first = Clock()
    run(first, [first.part("a", number=7), first.part("b", estimate=100.0)], tmp_path)
    second = Clock()
    parts = [second.part("a", number=7, estimate=1e9), second.part("b")]
    outcomes, told = run(second, parts, tmp_path)
    assert second.made == ["b"]
    assert [one.state for one in outcomes] == ["found again", "made"]
    assert outcomes[0].result.number == 7
    assert outcomes[0].provenance.torch == torch.__version__
    assert "A: found again" in told


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), MemoryError()])
def test_what_ends_the_run_loses_no_finished_part(tmp_path, stop):
    clock = Clock()
    seen = []
    parts = [clock.part("a"), clock.part("b", error=stop), clock.part("c")]
    with pytest.raises(type(stop)):
        run(clock, parts, tmp_path, after=lambda outcomes: seen.append([one.state for one in outcomes]))
    assert seen == [["made", "to come", "to come"]]
    again = Clock()
    outcomes, _ = run(again, [again.part(name) for name in "abc"], tmp_path)
    assert again.made == ["b", "c"]
    assert outcomes[0].state == "found again"


@pytest.mark.parametrize("error", [None, BenchmarkError("data[test].npz: \x1b[2J")])
def test_names_of_data_and_errors_are_told_as_they_are(tmp_path, error):
    clock = Clock()
    title = "Errors on data[test].npz, a[/b].npz"
    parts = [
        replace(clock.part("a", error=error), title=title),
        replace(clock.part("b", estimate=100.0), title=title),
    ]
    outcomes, told = run(clock, parts, tmp_path)
    lines = [line for line in told.splitlines() if line.startswith(title)]
    assert len(lines) == 3  # begun, ended and left out
    assert all(line.isprintable() for line in told.splitlines())
    if error is not None:
        assert outcomes[0].reason == r"data[test].npz: \x1b[2J"
    else:
        again = run(clock, parts[:1], tmp_path)[1]
        assert again.startswith(f"{title}: found again")


def test_a_part_that_fails_says_why_and_the_others_go_on(tmp_path):
    clock = Clock()
    parts = [clock.part("a", error=BenchmarkError("two\n lines")), clock.part("b")]
    outcomes, told = run(clock, parts, tmp_path)
    assert [(one.state, one.reason) for one in outcomes] == [("failed", "two lines"), ("made", None)]
    assert not (tmp_path / "parts" / "a.json").exists()
    assert "A: failed, two" in told


def test_another_request_in_the_same_folder_is_refused_before_anything_is_made(tmp_path):
    clock = Clock()
    run(clock, [clock.part("a", number=1)], tmp_path)
    with pytest.raises(BenchmarkError, match="number 1, asked for 2; name another folder"):
        find_finished([clock.part("a", number=2)], tmp_path)
