"""Table V from a result. Oracle: a committed result, its group relabelled, and the arithmetic by hand."""

import statistics
from dataclasses import replace
from pathlib import Path

import pytest

from htp_diffusion.base.results import read_json
from htp_diffusion.reproduction.sampling_speed import compared_speed
from htp_diffusion.speed.result import ThroughputResult

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
