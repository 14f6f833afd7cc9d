"""The documentation's tables are those of the committed results."""

import dataclasses
from pathlib import Path

import pytest

import write_tables
from adapters.clock import SpeedUp
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.speed.scaling import Curve, Point, ScalingResult, scaling_table
from htp_diffusion.speed.step_cost import StepResult, TrainingCost, step_table
from htp_diffusion.studies.ablation_table import AblationResult, AblationRow, ablation_tables
from htp_diffusion.studies.paper_rows import Recipe, whole_model
from htp_diffusion.studies.seeds_table import Run, SeedErrors, SeedStudy, seeds_table

ROOT = Path(__file__).resolve().parents[2]


def test_every_page_is_up_to_date(capsys):
    write_tables.main(write_tables.Options(check=True))
    assert capsys.readouterr().out == ""


def test_every_committed_result_is_shown():
    shown = "".join((ROOT / page).read_text(encoding="utf-8") for page in write_tables._PAGES)
    for result in (ROOT / "benchmarks" / "results").glob("*.json"):
        name = result.stem.partition("-")[0] if result.stem.startswith(("sizes-", "video-")) else result.stem
        assert f"<!-- table: {name} -->" in shown


def test_a_page_that_lags_behind_is_made_anew():
    page = "before\n<!-- table: macs -->\nold\n<!-- end -->\nafter\n"
    made = write_tables.with_tables(page)
    assert made.startswith("before\n<!-- table: macs -->\n**")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "old" not in made
    assert "139.046" in made
    assert write_tables.with_tables(made) == made


def test_every_result_has_a_reader(monkeypatch, tmp_path):
    """Of results that may be committed or not: a page shows the tables that the script prints."""
    made = provenance()
    whole = whole_model(PRESETS["tiny"])
    errors = Errors(mpjpe=51.25, p_mpjpe=40.0, mpjve=None)
    sampling = Sampling(hypotheses=1, steps=1, eta=1.0, flip=True, seed=0, batch_size=2)
    row = AblationRow(
        table="x", setting="k=18 of 27", sampled=whole, training="htp", errors=[errors], final_losses=[60.0],
        thop_gmacs=1.0, true_gmacs=2.0, params_m=3.0, speed_up=1.5, speed_up_low=1.4, speed_up_high=1.6,
        paper_mpjpe=29.9, paper_gmacs=None,
    )  # fmt: skip
    recipe = Recipe(data=None, motions=("a",), training_steps=7, batch_size=2, learning_rate=1e-3)
    ablation = AblationResult(
        preset="tiny", whole=whole, recipe=recipe, seeds=(0,), scored="clips", every=1, frames=54,
        sampling=sampling, device="cpu", rows=[row, dataclasses.replace(row, table="xii")], provenance=made,
    )  # fmt: skip
    run = Run(model="D3DP", denoiser=DenoiserConfig(kind="d3dp"), seed=3, steps=9, motions=2, sha256="0")
    scored = SeedErrors(run=run, hypotheses=1, denoising_steps=1, errors=errors)
    seeds = SeedStudy(
        data="clips",
        weights="averaged",
        every=1,
        frames=54,
        eta=1.0,
        flip=True,
        device="cpu",
        rows=[scored],
        provenance=made,
    )
    step = StepResult(
        model="D3DP", seconds=[0.25], median=0.25, iqr=0.0, speed_up=SpeedUp(1.0, 1.0, 1.0, 1.0),
        true_gmacs=2.0, resident=2**20, peak_memory=2**21,
    )  # fmt: skip
    cost = TrainingCost(
        frames=27, num_keep=9, dim=32, depth=4, heads=4, batch=1, device="cpu", precision="fp32",
        models=[step], provenance=made,
    )  # fmt: skip
    points = [Point(value=value, seconds=[0.001 * value], true_gmacs=value) for value in (27, 81)]
    scaling = ScalingResult(
        dim=32, depth=4, heads=4, batch=1, sampling_frames=27, num_keep=9, precision="fp32", mode="eager",
        device="cpu", curves=[Curve(model="D3DP", axis="T", points=points)], provenance=made,
    )  # fmt: skip
    monkeypatch.setattr(write_tables, "_RESULTS", tmp_path)
    for name, result, tables in (
        ("ablation", ablation, ablation_tables(ablation)),
        ("seeds", seeds, [seeds_table(seeds)]),
        ("training-cost", cost, [step_table(cost)]),
        ("scaling", scaling, [scaling_table(scaling)]),
    ):
        write_json(tmp_path / f"{name}.json", result)
        page = write_tables.with_tables(f"<!-- table: {name} -->\n<!-- end -->")
        assert all(table.to_markdown() in page for table in tables)
        assert page.count("**") == 2 * len(tables)
        assert f"torch {made.torch}" in page


def test_an_unknown_table_is_named():
    with pytest.raises(BenchmarkError, match="no table is called nothing"):
        write_tables.with_tables("<!-- table: nothing -->\n<!-- end -->")


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("benchmarks/evaluate.py a.json --steps 5", "`python benchmarks/evaluate.py a.json --steps 5`"),
        ("measure.py training --batch 4", "What is now `python measure.py training --batch-size 4`,"),
        ("benchmarks/ablate.py", "What is now `python benchmarks/study.py ablations`,"),
        (
            "benchmarks/measure_scaling.py --steps 1 2 --json a.json --picture b.png --repeats 2",
            "What is now `python benchmarks/measure.py scaling --steps 1 2 --repeats 2`,",
        ),
    ],
)
def test_a_command_is_told_by_its_name_of_now(command, told):
    assert write_tables.current_command(command) == told
