"""What a comparison tells of a model, and its tables. Oracle: stand-ins whose numbers are all different."""

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from action_oracles import config, evaluated, h36m, oracle, sampling

from htp_diffusion.base.results import read_json
from htp_diffusion.comparison import comparison
from htp_diffusion.comparison.action_table import action_tables, evaluation_table
from htp_diffusion.comparison.result import ComparisonResult, EvaluationResult
from htp_diffusion.scoring.action_scores import ActionScore, Scores
from htp_diffusion.scoring.aggregation import AGGREGATIONS
from htp_diffusion.scoring.clip_scores import Errors

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


def test_a_model_is_told_by_its_own_time_memory_and_training(monkeypatch):
    monkeypatch.setattr(comparison, "mean_scores", lambda *_: "scores")
    contender = SimpleNamespace(
        name="HTP", config="config", source="a.json", early_keep=None,
        checkpoint=SimpleNamespace(step=7, steps=9),
    )  # fmt: skip
    runner, baseline = (
        SimpleNamespace(seconds=seconds, peak=peak, scorer=SimpleNamespace(scores=[]))
        for seconds, peak in (([1.0, 2.0, 1.0], 30), ([4.0, 4.0, 8.0], 90))
    )
    costs = SimpleNamespace(
        per_frame=lambda _: (11.0, 12.0),
        frames_per_second=lambda timing: 100 / timing.median,
        of=lambda _: SimpleNamespace(params=5),
    )
    cut = SimpleNamespace(found=SimpleNamespace(actions=()))
    told = comparison._model_result(contender, runner, baseline, cut, costs)
    assert told.speed_up.paired == 4.0  # of 4/1, 4/2 and 8/1: more is faster
    assert (told.seconds, told.frames_per_second) == ([1.0, 2.0, 1.0], 100.0)
    assert (told.peak_memory, told.trained_steps, told.params) == (30, 7, 5)
    assert (told.thop_macs_per_frame, told.true_macs_per_frame) == (11.0, 12.0)


def test_the_precision_of_a_comparison_is_the_one_that_it_ran_in(tmp_path, monkeypatch):
    ran = []
    monkeypatch.setattr(
        comparison, "precision_of", lambda precision, _: ran.append(precision) or nullcontext()
    )
    found = h36m(tmp_path, 4, ("Photo",))
    result = evaluated(oracle(found, 4), config(4), found, sampling(1, 1), precision="bf16")
    assert set(ran) == {result.precision} == {"bf16"}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_poses_are_scored_in_full_precision_whatever_the_models_compute_in(tmp_path, precision):
    found = h36m(tmp_path, 4, ("Photo",))
    knows = oracle(found, 4)  # looks its answers up: no precision changes them
    exact, half = (
        evaluated(knows, config(4), found, sampling(1, 1, flip=False), precision=one).models[0].scores
        for one in ("fp32", precision)
    )
    assert half == exact


def every_way(first):
    """MPJPE first, first + 1, ... by way; P-MPJPE a tenth of it."""
    return {
        way.name: Errors(mpjpe=first + number, p_mpjpe=(first + number) / 10, mpjve=None)
        for number, way in enumerate(AGGREGATIONS)
    }


@pytest.fixture
def result():
    """Errors over actions from 100, over frames from 200, over clips from 300, of the one action from 400."""
    found = read_json(RESULTS / "cmu-base.json", ComparisonResult)
    scores = Scores(
        over_actions=every_way(100.0),
        over_frames=every_way(200.0),
        over_clips=every_way(300.0),
        clips=[],
        actions=[ActionScore(action="Walking", clips=2, frames=50, errors=every_way(400.0))],
    )
    drawn = replace(found.sampling, hypotheses=2)
    return replace(found, sampling=drawn, models=[replace(found.models[0], scores=scores)])


def test_each_average_stands_under_its_own_head(result):
    table = evaluation_table(EvaluationResult(rows=[result]))
    heads = [column.name for column in table.columns]
    for number, row in enumerate(table.rows):
        cells = dict(zip(heads, row, strict=True))
        assert (cells["MPJPE, mm: actions"], cells["MPJPE, mm: frames"]) == (100 + number, 200 + number)
        assert (cells["P-MPJPE, mm: actions"], cells["P-MPJPE, mm: frames"]) == (
            (100 + number) / 10,
            (200 + number) / 10,
        )
    assert len(table.rows) == len(AGGREGATIONS)
    [table] = action_tables(result)
    assert {row[0]: row[1:4] for row in table.rows} == {
        "Walking": (50, 400.0, 40.0),
        "average over actions": (50, 100.0, 10.0),
        "average over frames": (50, 200.0, 20.0),
    }
