"""The table of sizes. Oracle: the results that it was made from."""

from pathlib import Path

import pytest

from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.result import ComparisonResult
from htp_diffusion.comparison.size_table import size_table

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


def test_a_line_a_model():
    found = [read_json(RESULTS / f"{name}.json", ComparisonResult) for name in ("cmu-one-step", "cmu-base")]
    models = [model for result in found for model in result.models]
    rows = size_table(found).rows
    assert len(rows) == len(models)
    for row, model in zip(rows, models, strict=True):
        assert row[0] == model.checkpoint.removesuffix(".json")
        assert row[2:5] == (model.denoiser.num_frames, model.denoiser.dim, model.denoiser.depth)
        assert row[7] * model.frames_per_second == pytest.approx(60_000)  # ms, frames of a second
        assert row[8:] == (model.scores.over_frames["mean"].mpjpe, model.scores.over_frames["mean"].p_mpjpe)
    assert [row[1] for row in rows] == ["D3DP", "HTP n=3", "D3DP", "HTP n=1"]
