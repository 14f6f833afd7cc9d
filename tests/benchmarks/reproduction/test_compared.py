"""Figures that parts tell beside the paper's. Oracle: results made by hand, whose numbers all differ."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from written import TINY

from adapters.clock import SpeedUp
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.result import ComparisonResult, EvaluationResult
from htp_diffusion.data.source import Source
from htp_diffusion.reproduction import datasets, growth, kept, one_pass, sampled, sensitivity, trained
from htp_diffusion.reproduction.compared_speed import compared_speed
from htp_diffusion.reproduction.counted import Counts, compared_counts
from htp_diffusion.reproduction.growth import StepCosts
from htp_diffusion.reproduction.scale import SCALES
from htp_diffusion.scoring.action_scores import Scores
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.speed.paper_macs import MacsRow
from htp_diffusion.speed.result import ThroughputResult
from htp_diffusion.speed.scaling import Curve, Point, ScalingResult
from htp_diffusion.speed.step_cost import TrainingCost
from htp_diffusion.studies.claims_table import ClaimsResult
from htp_diffusion.studies.sensitivity import Sensitive, Sensitivity

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
CPU = torch.device("cpu")
FOURFOLD = SpeedUp(of_medians=5.0, paired=4.0, paired_low=3.0, paired_high=6.0)


def figures(found, item="Table I"):
    return {row.what: (row.measured, row.quoted) for row in found if row.item == item}


def test_a_faster_pass_is_told_as_more_than_one():
    result = read_json(RESULTS / "throughput.json", ThroughputResult)
    group = result.groups[0]
    [pruned] = [row for row in group.rows if row.model == "HTP n=1"]
    group = replace(group, rows=[group.rows[0], replace(pruned, speed_up=FOURFOLD)])
    result = replace(result, groups=[group])
    assert figures(one_pass._compared(result), "Table V") == {
        "HTP n=1, one pass: times as fast as D3DP": (4.0, None)
    }
    group = replace(
        group, hypotheses=20, steps=1, rows=[group.rows[0], replace(pruned, seconds=[1.0, 1.0, 1.0])]
    )
    group.rows[0] = replace(group.rows[0], seconds=[2.0, 4.0, 6.0])
    told = {row.what: row for row in compared_speed(replace(result, groups=[group]))}
    row = told["HTP n=1, H=20, K=1, fp32, eager: times as fast as D3DP"]
    assert row.measured == 4.0
    assert "quartiles 3.00 to 5.00" in row.condition


def test_the_time_grows_with_its_own_power_and_a_step_is_told_as_more_than_one():
    points = [Point(value=value, seconds=[value**2.0], true_gmacs=value**1.5) for value in (1, 2, 4)]
    result = ScalingResult(
        dim=8, depth=4, heads=2, batch=1, sampling_frames=9, num_keep=3, precision="fp32", mode="eager",
        device="cpu", curves=[Curve(model="D3DP", axis="T", points=points)], provenance=provenance(),
    )  # fmt: skip
    [row] = growth._exponents(result)
    assert (row.item, row.measured) == ("Table XIII", pytest.approx(2.0))
    assert row.condition.endswith("grow with 1.50")
    cost = read_json(RESULTS / "training-cost.json", TrainingCost)
    cost = replace(cost, batch=4, models=[cost.models[0], replace(cost.models[1], speed_up=FOURFOLD)])
    [row] = growth._step_ratios(StepCosts(costs=[cost]))
    assert row.measured == 4.0
    assert row.what == f"{cost.models[1].model}, a training step of 4 sequences: times as fast as D3DP"


def errors(mpjpe):
    return {"mean": Errors(mpjpe=mpjpe, p_mpjpe=mpjpe / 2, mpjve=None)}


@pytest.fixture
def pair():
    """D3DP and HTP with errors over frames 10 and 20, over actions 11 and 21, over clips 12 and 22."""
    result = read_json(RESULTS / "cmu-one-step.json", ComparisonResult)
    models = [
        replace(
            model,
            name=name,
            thop_macs_per_frame=2e9,
            true_macs_per_frame=3e9,
            scores=Scores(
                over_frames=errors(first),
                over_actions=errors(first + 1),
                over_clips=errors(first + 2),
                clips=[],
            ),
        )
        for model, name, first in zip(result.models, ("D3DP", "HTP n=3"), (10.0, 20.0), strict=True)
    ]
    return replace(result, models=models)


def test_the_trained_pair_stands_beside_its_own_rows_of_the_paper(pair):
    found = sampled._compared(pair)
    assert figures(found) == {"D3DP: MPJPE, mm": (10.0, 35.4), "HTP n=3: MPJPE, mm": (20.0, 29.9)}
    assert figures(found, "Figure 1")["HTP n=3: GMACs a frame by THOP"] == (2.0, None)


@pytest.mark.parametrize(
    ("keypoints", "quoted"), [("data_2d_h36m_cpn_ft_h36m_dbb.npz", 35.4), ("data_2d_h36m_gt.npz", None)]
)
def test_a_data_set_is_told_by_its_average_over_actions_beside_the_papers_inputs(pair, keypoints, quoted):
    source = Source(dataset="h36m", data=Path("data_3d_h36m.npz"), keypoints=Path(keypoints))
    row = replace(pair, models=pair.models[:1])
    found = figures(datasets.compared_errors("h36m", source, EvaluationResult(rows=[row])))
    drawn = f"D3DP, H={pair.sampling.hypotheses}, K={pair.sampling.steps}"
    if quoted is None:
        quoted = datasets.printed_or_none("Table I", "D3DP", "MPJPE, mm, true 2D")
        assert quoted != 35.4
    assert found[f"{drawn}: MPJPE, mm"] == (11.0, quoted)
    assert found[f"{drawn}: P-MPJPE, mm"][0] == 5.5


@pytest.mark.parametrize(
    ("dataset", "protocol"),
    [("h36m", "paper"), ("motionbert", "motionbert"), ("3dhp", "paper"), ("npz", "every-frame")],
)
def test_errors_of_a_data_set_depend_on_its_protocol_and_every_checkpoint(tmp_path, dataset, protocol):
    for name in ("data", "one", "two"):
        (tmp_path / name).write_text(name)
    also = {"h36m": {"keypoints": tmp_path / "data"}, "3dhp": {"annotation": "annot3"}}.get(dataset, {})
    source = Source(dataset=dataset, data=tmp_path / "data", **also)
    checkpoints = [tmp_path / "one", tmp_path / "two"]
    asked = datasets.dataset_part(1, source, checkpoints, SCALES["tiny"], CPU, 3).asked
    assert (asked.dataset, asked.protocol, asked.every) == (dataset, protocol, 3)
    assert [weights.partition(" ")[0] for weights in asked.weights] == ["one", "two"]
    assert len(set(asked.weights)) == 2


def test_scoring_is_estimated_from_a_pass_of_a_few_windows(monkeypatch):
    times = iter((9.0, 2.0))  # the first warms up
    monkeypatch.setattr(datasets, "_drawing_time", lambda *_: next(times))
    contender = SimpleNamespace(config=SimpleNamespace(num_frames=9), denoiser=torch.nn.Identity())
    clips = [SimpleNamespace(clip=SimpleNamespace(pose_2d=torch.zeros(frames, 17, 2))) for frames in (9, 19)]
    found = SimpleNamespace(clips=clips, space=SimpleNamespace(layout=SimpleNamespace(num_joints=17)))
    # 1 and 3 windows, as many as were tried; a sampling of 1x1 with flip, 2 passes, took 2 s: 10 passes.
    assert datasets._seconds([contender], found, 10, SimpleNamespace(device=CPU)) == pytest.approx(10.0)


def test_every_nth_window_of_a_data_set_is_scored_as_it_was_asked(monkeypatch):
    contender = SimpleNamespace(config=SimpleNamespace(num_frames=9), require_space=lambda *_: None)
    cuts = []
    monkeypatch.setattr(datasets, "trained_contender", lambda *_: contender)
    monkeypatch.setattr(datasets, "test_clips", lambda *_: SimpleNamespace(space=None, description="clips"))
    monkeypatch.setattr(datasets, "protocol_named", lambda name, _: name)
    monkeypatch.setattr(datasets, "cut_set", lambda _, *given: cuts.append(given) or "cut")
    monkeypatch.setattr(datasets, "compare", lambda _, cut, sampling, **__: (cut, sampling.label))
    scale = replace(SCALES["tiny"], hypotheses_scored=2, steps_scored=3)
    work = SimpleNamespace(device=CPU, seconds=5.0)
    result = datasets._make(Source(), "paper", [Path("a")], scale, 4, work)
    assert cuts == [(9, "paper", 4)]
    assert [label[:8] for _, label in result.rows] == ["H=1, K=1", "H=2, K=3"]


def test_a_model_trained_here_is_told_by_its_last_sampling():
    result = read_json(RESULTS / "claims-single.json", ClaimsResult)
    found = {"1x1": errors(9.0)["mean"], "5x5": errors(8.0)["mean"]}
    rows = [replace(result.rows[0], model=model, seed=3, errors=found) for model in ("d3dp", "htp", "htp-n1")]
    assert figures(trained._compared(replace(result, rows=rows))) == {
        "D3DP, trained here, seed 3: MPJPE, mm": (8.0, 35.4),
        "HTP n=3, trained here, seed 3: MPJPE, mm": (8.0, 29.9),
        "HTP n=1, trained here, seed 3: MPJPE, mm": (8.0, None),
    }


def test_a_count_is_what_was_counted_and_the_papers_figure_is_quoted():
    row = MacsRow(
        model="D3DP", setting="one pass", thop_gmacs=1.0, true_gmacs=2.0, params_m=3.0, paper_gmacs=4.0,
        paper_params_m=5.0,
    )  # fmt: skip
    assert figures(compared_counts(Counts(rows=[row]))) == {
        "D3DP, one pass: GMACs by THOP": (1.0, 4.0),
        "D3DP: parameters, M": (3.0, 5.0),
    }


def test_every_setting_of_k_is_told_by_its_own_error():
    over = [
        Sensitive(share=share, neighbors=9, density=3, mpjpe=mpjpe)
        for share, mpjpe in ((1 / 3, 50.0), (2 / 3, 40.0), (1.0, 45.0))
    ]
    result = Sensitivity(
        model="HTP", data="clips", num_frames=27, trained_neighbors=18, trained_density=3,
        over_neighbors=over, over_density=[replace(over[0], density=2, mpjpe=60.0)],
    )  # fmt: skip
    found = sensitivity._compared(result)
    assert figures(found, "Table X") == {
        "k = 0.333 T: MPJPE, mm": (50.0, 34.4),
        "k = 0.667 T: MPJPE, mm": (40.0, 29.9),
        "k = 1 T: MPJPE, mm": (45.0, 30.3),
    }
    assert figures(found, "Figure 4")["k' = 2: MPJPE, mm"] == (60.0, None)


def test_speed_is_that_of_the_kept_frames_over_that_of_all(tmp_path, monkeypatch):
    """Speeds 0, 1, ... 29 of a clip of 30 frames; windows from 0 and 12 keep their frames 1 and 11."""
    denoiser = TINY.denoiser("htp").build()
    contender = SimpleNamespace(config=SimpleNamespace(num_frames=12), denoiser=denoiser, name="HTP")
    pair = SimpleNamespace(contenders=lambda: [None, contender], hashes=["0"])
    retention = SimpleNamespace(
        start=torch.tensor([0, 12]), kept=torch.tensor([[1, 11], [1, 11]]), num_frames=12
    )
    clip = SimpleNamespace(name="walk")
    monkeypatch.setattr(kept, "embedded_windows", lambda _: (SimpleNamespace(clips=[clip]), ["windows"]))
    monkeypatch.setattr(kept, "first_windows", lambda clips, _: clips)
    monkeypatch.setattr(kept, "observe_retention", lambda *_: retention)
    monkeypatch.setattr(kept, "draw_frames", lambda *_: None)
    monkeypatch.setattr(kept, "motion_speed", lambda _: torch.arange(30.0))
    part = kept.kept_part(pair, CPU)
    found = part.make(SimpleNamespace(folder=tmp_path))
    assert (found.speed_kept, found.speed_all) == ((1 + 11 + 13 + 23) / 4, 23 / 2)
    assert found.frames == [[1, 11], [1, 11]]
    [row] = part.compared(found)
    assert row.measured == pytest.approx(12 / 11.5)
