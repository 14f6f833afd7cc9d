"""Table V from a result. Oracle: a committed result, its group relabelled, and the arithmetic by hand."""

import statistics
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from adapters.clock import SpeedUp
from htp_diffusion.base.results import read_json
from htp_diffusion.reproduction import heat, sampling_speed
from htp_diffusion.reproduction.compared_speed import compared_speed
from htp_diffusion.reproduction.heat import RIVALS
from htp_diffusion.reproduction.scale import SCALES
from htp_diffusion.speed.result import ThroughputResult
from htp_diffusion.speed.timing import Draw

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


@pytest.fixture(scope="module")
def result():
    return read_json(RESULTS / "throughput.json", ThroughputResult)


def figures(result, **changes):
    group = replace(result.groups[0], batch=8, **changes)
    return {row.what: row for row in compared_speed(replace(result, groups=[group]))}


@pytest.mark.parametrize(("steps", "fps", "ratio"), [(1, 2277.5, 2.95), (10, 137.0, 1.72)])
def test_the_papers_speed_stands_beside_the_same_setting(result, steps, fps, ratio):
    found = figures(result, hypotheses=20, steps=steps)
    row = next(row for row in result.groups[0].rows if row.model == "HTP n=1")
    name = f"HTP n=1, H=20, K={steps}, fp32, eager"
    speed = found[f"{name}: frames/s"]
    assert speed.measured == pytest.approx(8 * 243 / statistics.median(row.seconds))
    assert speed.quoted == fps
    assert "two RTX 4090" in speed.condition
    assert found[f"{name}: times as fast as D3DP"].quoted == ratio
    assert found[f"{name}: times as fast as D3DP"].measured == row.speed_up.paired
    assert found[f"{name}: peak memory, MiB"].measured == row.peak_memory / 2**20
    rate = 2e9 * row.true_gmacs / statistics.median(row.seconds) / result.groups[0].roofline.square.flops
    assert found[f"{name}: % of the square matmul rate"].measured == pytest.approx(100 * rate)
    assert f"D3DP, H=20, K={steps}, fp32, eager: times as fast as D3DP" not in found


def test_nothing_is_quoted_beside_another_setting(result):
    for changes in (
        {"hypotheses": 5, "steps": 1},
        {"hypotheses": 20, "steps": 1, "precision": "bf16"},
        {"hypotheses": 20, "steps": 1, "mode": "compiled"},
    ):
        found = figures(result, **changes)
        assert found
        assert all(row.quoted is None for row in found.values())
    assert not figures(result, hypotheses=None, steps=None)


def test_rivals_are_told_beside_the_paper_with_their_ratio_to_d3dp_of_the_same_rounds(result):
    d3dp, pruned, *_ = result.groups[0].rows
    ratio = SpeedUp(of_medians=2.0, paired=2.0, paired_low=2.0, paired_high=2.0)
    rows = [
        replace(d3dp, seconds=[10.0, 12.0, 14.0]),
        replace(d3dp, model="FinePOSE", host="finepose", seconds=[20.0, 30.0, 14.0]),
        replace(
            pruned,
            model="HTP w/ FinePOSE n=1",
            host="finepose",
            seconds=[5.0, 6.0, 7.0],
            speed_up=ratio,
        ),
        replace(d3dp, model="KTPFormer denoiser", host="ktpformer-denoiser", seconds=[11.0, 12.0, 13.0]),
    ]
    group = replace(result.groups[0], batch=8, frames=243, hypotheses=20, steps=10, rows=rows)
    told = compared_speed(replace(result, groups=[group]), RIVALS.told)
    found = {row.what.replace(", H=20, K=10, fp32, eager", ""): row for row in told}
    assert not any(name.startswith("D3DP") for name in found)
    speeds = {name: found[f"{name}: frames/s"] for name in ("FinePOSE", "KTPFormer denoiser")}
    assert [(row.measured, row.quoted) for row in speeds.values()] == [
        (8 * 243 / 20.0, 73.8),
        (8 * 243 / 12.0, 73.5),
    ]
    assert found["HTP w/ FinePOSE n=1: frames/s"].quoted is None
    over = found["FinePOSE: times as fast as D3DP"]
    assert (over.measured, over.quoted) == (0.5, None)  # of 1/2, 2/5 and 1
    assert over.condition.endswith("; D3DP in the same rounds: 162.0 frames/s")
    assert found["HTP w/ FinePOSE n=1: times as fast as D3DP"].measured == 2.0
    assert found["HTP w/ FinePOSE n=1: times as fast as FinePOSE"].measured == ratio.paired
    assert "FinePOSE: times as fast as FinePOSE" not in found


def test_later_samplings_take_the_rounds_that_a_pass_of_the_first_one_leaves_time_for(monkeypatch):
    """2x3 takes 6 s, a pass 1 s. 2x1 takes 2 s: of 10 s, 4.8 go before the clock, 2.4 to each round."""
    rounds = []

    def timed(entrants, setting, *, repeats, **__):
        rounds.append((setting.draw.hypotheses, setting.draw.steps, repeats, entrants))
        medians = ((2.0, False), (4.0, False), (9.0, True))
        return SimpleNamespace(
            rows=[SimpleNamespace(timing=SimpleNamespace(median=m), is_public=p) for m, p in medians]
        )

    monkeypatch.setattr(sampling_speed, "time_group", timed)
    monkeypatch.setattr(sampling_speed, "_seconds_of_a_pass", lambda *_: 9.0)
    monkeypatch.setattr(sampling_speed.time, "monotonic", lambda: 0.0)
    scale = replace(SCALES["tiny"], draws=(Draw(hypotheses=2, steps=3), Draw(hypotheses=2, steps=1)))
    checked = SimpleNamespace(fused={}, differences={})
    work = SimpleNamespace(device=torch.device("cpu"), progress=lambda *_: None)
    ours, public = SimpleNamespace(own=True), SimpleNamespace(own=False)
    entrants = [ours, ours, public]
    groups = sampling_speed._timed_draws(entrants, scale, ("fp32", "eager"), None, checked, 10.0, work)
    assert len(groups) == 2
    assert rounds == [(2, 3, 1, entrants), (2, 1, 2, [ours, ours])]


@pytest.mark.parametrize(
    ("mode", "device", "before"),
    [("eager", "cuda", 0.1), ("compiled", "cuda", 0.2), ("cuda-graph", "cuda", 1), ("compiled", "cpu", 2)],
)
def test_what_goes_before_the_clock_is_counted_in_rounds(mode, device, before):
    draw = Draw(hypotheses=20, steps=10)
    assert sampling_speed._before_the_clock(mode, torch.device(device), draw) == before


def test_the_ways_of_a_heat_share_its_denoisers(monkeypatch):
    built = []
    monkeypatch.setattr(heat, "line_up", lambda hosts, *_: built.append(hosts) or [object()])
    cpu, sizes = torch.device("cpu"), replace(SCALES["tiny"].sizes, frames=8)
    first = heat.D3DP_AND_HTP.line_up(sizes, None, cpu)
    assert heat.D3DP_AND_HTP.line_up(sizes, None, cpu) == first
    assert built == [["d3dp"]]
    assert heat.D3DP_AND_HTP.line_up(replace(sizes, frames=9), None, cpu) != first
    heat._line_up.cache_clear()


def test_the_drift_of_both_models_is_told(monkeypatch):
    given = []
    monkeypatch.setattr(
        sampling_speed, "measure_drift", lambda ways, **named: given.append((ways, named)) or "drift"
    )
    pair = SimpleNamespace(contenders=lambda: ["D3DP", "HTP", "HTP early"])
    scale = replace(SCALES["tiny"], drift=Draw(hypotheses=3, steps=4))
    assert sampling_speed._drift(scale, ("bf16", "eager"), pair, "cpu") == "drift"
    [(ways, named)] = given
    assert ways == [("bf16", "eager")]
    assert (named["contenders"], named["hypotheses"], named["steps"]) == (["D3DP", "HTP"], 3, 4)
