"""The sweep of the ablations, tiny: what it trains, what it keeps, and what it tells."""

import dataclasses

import numpy
import pytest
import torch
from safetensors.torch import load_file

from adapters.clock import SpeedUp, Timing
from htp_diffusion.base.command import run_command
from htp_diffusion.base.computing import Where
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.data.motion import windows
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.models.variants import VariantConfig
from htp_diffusion.scoring.draw_and_score import grade
from htp_diffusion.speed.counting import Count, count_denoiser
from htp_diffusion.studies import sweep as sweep_module
from htp_diffusion.studies.ablation_table import AblationResult, ablation_tables, draw_ablation
from htp_diffusion.studies.commands import ablations
from htp_diffusion.studies.paper_rows import TABLES, settings, whole_model
from htp_modules import HTPConfig

MICRO = dataclasses.replace(PRESETS["tiny"], num_frames=9, dim=16, depth=5, num_heads=2, batch_size=2)
# Human3.6M, CPN 2D poses, mm: the paper's tables.
PAPER = {
    "viii": {"n=1": 33.0, "n=2": 32.0, "n=3": 29.9, "n=4": 30.8, "f=54 of 243": 29.9},
    "x": {"k=243 of 243": 30.3, "k=162 of 243": 29.9, "k=81 of 243": 34.4},
    "xi": {
        "D3DP, to compare": 35.4,
        "baseline: D3DP + Spatial GCN": 34.7,
        "+ TCEP": 31.9,
        "+ TCEP, SFT MHSA": 33.3,
        "+ TCEP, MGPTP": 31.6,
        "+ TCEP, SFT MHSA, MGPTP (HTP)": 29.9,
    },
    "xii": {"neither": 32.7, "pruner alone": 31.6, "attention alone": 31.3, "both (HTP)": 29.9},
    "xiii": {"T=81, f=27": 34.4, "T=162, f=54": 34.3, "T=243, f=54": 29.9},
}


COUNTS = {}


def counted_once(build, num_frames):
    """The count of a model; a second each, and the sweeps of these tests share their models."""
    if build.__self__ not in COUNTS:
        COUNTS[build.__self__] = count_denoiser(build, num_frames)
    return COUNTS[build.__self__]


@pytest.fixture
def micro(monkeypatch, tmp_path):
    """Options of a sweep that takes seconds."""
    monkeypatch.setattr(ablations, "PRESETS", {"tiny": MICRO})
    monkeypatch.setattr(ablations, "count_denoiser", counted_once)
    monkeypatch.setattr(
        ablations, "training_motions", lambda *_: synthetic_motions(seed=1, count=1, frames=40)
    )
    return ablations.Options(
        preset="tiny",
        tables=("x", "xii"),
        training_steps=2,
        repeats=1,
        where=Where(device="cpu"),
        out=tmp_path / "out",
    )


@pytest.fixture
def untimed(monkeypatch):
    """A sweep neither timed nor counted nor drawn."""
    monkeypatch.setattr(ablations, "count_denoiser", lambda *_: Count(thop_macs=1, true_macs=1, params=1))
    monkeypatch.setattr(
        ablations, "time_models", lambda whole, models, *_: dict.fromkeys(models, SpeedUp(1.0, 1.0, 1.0, 1.0))
    )
    monkeypatch.setattr(ablations, "draw_ablation", lambda *_: None)


@pytest.fixture
def fits(monkeypatch):
    """Counts the trainings; may interrupt one."""
    calls = []

    def counted(model, *arguments):
        calls.append(type(model).__name__)
        if len(calls) == getattr(counted, "interrupted", None):
            raise KeyboardInterrupt
        return fit(model, *arguments)

    fit = sweep_module.fit
    monkeypatch.setattr(sweep_module, "fit", counted)
    counted.calls = calls
    return counted


def test_the_rows_carry_the_papers_figures():
    rows = settings(PRESETS["paper"])
    assert {
        table: {row.name: row.paper_mpjpe for row in rows if row.table == table and row.paper_mpjpe}
        for table in TABLES
    } == PAPER


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_rows_of_one_model_are_one(preset):
    rows = settings(PRESETS[preset])
    # n: 4; f: 3 more; modules: 5 more; masks: 2 more, as TCEP + MGPTP is the mask in the pruner; T: 2 more.
    assert len({row.model for row in rows}) == 16
    # And at inference n = 1, k = T and k = T / 3.
    assert len({(row.model, row.sampled) for row in rows}) == 19
    whole = whole_model(PRESETS[preset])
    assert whole.denoiser.htp == HTPConfig(num_keep=PRESETS[preset].num_keep)
    assert {row.table for row in rows if row.sampled == whole} == set(TABLES)


def test_a_preset_of_few_blocks_has_fewer_rows():
    names = [row.name for row in settings(PRESETS["tiny"])]
    assert "n=3" in names
    assert "n=4" not in names


def test_the_sweep_goes_on_where_it_was(micro, fits, untimed, capsys):
    fits.interrupted = 3
    with pytest.raises(KeyboardInterrupt):
        ablations.main(micro)
    assert len(fits.calls) == 3
    fits.interrupted = None
    ablations.main(micro)
    # Four models: the two that were done stay, the third is trained anew.
    assert len(fits.calls) == 3 + 2
    resumed = read_json(micro.out / "ablation.json", AblationResult)
    whole = dataclasses.replace(micro, out=micro.out.with_name("whole"))
    ablations.main(whole)
    assert len(fits.calls) == 5 + 4
    result = read_json(whole.out / "ablation.json", AblationResult)
    assert [row.errors for row in resumed.rows] == [row.errors for row in result.rows]
    assert [row.final_losses for row in resumed.rows] == [row.final_losses for row in result.rows]

    ablations.main(micro)
    assert len(fits.calls) == 9  # nothing is left to do
    # Another way to sample takes the same weights.
    ablations.main(dataclasses.replace(micro, hypotheses=2))
    assert len(fits.calls) == 9
    again = read_json(micro.out / "ablation.json", AblationResult)
    assert again.sampling.hypotheses == 2
    assert again.rows[0].errors != result.rows[0].errors
    assert again.rows[0].final_losses == result.rows[0].final_losses
    with pytest.raises(BenchmarkError, match=r"made otherwise: recipe\.training_steps 2, asked for 3; name"):
        ablations.main(dataclasses.replace(micro, training_steps=3))
    printed = capsys.readouterr()
    assert "Table X:" in printed.out
    assert "Table XII:" in printed.out
    assert "mask-neither-t9-n3-f2-k6-seed0 as mask-neither-t9-n3-f2-k6:" in printed.err


def test_rows_are_what_scoring_by_hand_gives(micro):
    options = dataclasses.replace(micro, tables=("x", "xiii"), seeds=(3, 5), every=2, steps=2)
    ablations.main(options)
    result = read_json(options.out / "ablation.json", AblationResult)
    rows = {row.setting: row for row in result.rows}
    assert list(rows) == [
        "k=9 of 9", "k=6 of 9", "k=3 of 9", "T=3, f=1", "T=6, f=2", "T=9, f=2",
    ]  # fmt: skip
    clips = [windows(clip, 9).every(2) for clip in embedded_set(9).clips]
    assert result.frames == sum(int(clip.scored.sum()) for clip in clips) == 6 * 9
    sampling = Sampling(hypotheses=1, steps=2, eta=1.0, flip=True, seed=0, batch_size=24, max_batch=48)
    for index, seed in enumerate((3, 5)):
        weights = load_file(options.out / "models" / f"htp-t9-n3-f2-k6-seed{seed}.safetensors")
        for row in list(rows.values())[:3]:
            assert row.training == "htp-t9-n3-f2-k6"
            model = row.sampled.build().eval()
            model.load_state_dict(weights)
            assert row.errors[index] == grade(model, clips, sampling, torch.device("cpu"))
    assert rows["T=9, f=2"].errors == rows["k=6 of 9"].errors
    assert len({row.mpjpe for row in rows.values()}) == 5
    for row in rows.values():
        cost = COUNTS[row.sampled]
        assert (row.thop_gmacs, row.true_gmacs) == (cost.thop_macs / 1e9, cost.true_macs / 1e9)
        assert row.params_m == sum(p.numel() for p in row.sampled.build().parameters()) / 1e6
        assert 0 < row.speed_up_low <= row.speed_up <= row.speed_up_high
    # Fewer frames to attend to.
    assert rows["T=3, f=1"].true_mmacs_per_frame < rows["T=9, f=2"].true_mmacs_per_frame

    [x, xiii] = ablation_tables(result)
    text = x.to_markdown()
    one, other = (errors.mpjpe for errors in rows["k=9 of 9"].errors)
    mean, deviation = (one + other) / 2, abs(one - other) / 2**0.5
    whole = rows["k=6 of 9"].mpjpe
    assert f"| k=9 of 9 | {mean:.1f} ± {deviation:.1f} | 30.3 | {mean - whole:+.1f} | +0.4 |" in text
    text = xiii.to_markdown()
    assert "| T=3, f=1 |" in text
    assert "one window in 2, 54 frames; H=1, K=2, eta 1, flip" in text
    assert "2 seeds" in text
    assert (options.out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BenchmarkError, match="cannot write"):
        draw_ablation(options.out / "missing" / "picture.png", result)


def test_speed_is_frames_a_second_over_those_of_d3dp(monkeypatch):
    whole = whole_model(MICRO)
    short = VariantConfig(variant="htp", denoiser=dataclasses.replace(whole.denoiser, num_frames=6))
    seen = {}

    def interleaved(cases, *, repeats, warmup, device):
        seen.update({name: case.args[0].shape[:2] for name, case in cases.items()})
        return {name: Timing((6.0, 6.0) if "'d3dp'" in name else (2.0, 2.0)) for name in cases}

    monkeypatch.setattr(ablations, "interleaved", interleaved)
    speeds = ablations.time_models(whole, [whole, short], 2, torch.device("cpu"))
    assert sorted(seen.values()) == [(4, 9), (4, 9), (6, 6)]
    assert [speeds[model].paired for model in (whole, short)] == [3.0, 3.0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--training-steps", "0"], "training-steps expects at least 1, got 0"),
        (["--seeds", "1", "1"], "seeds expects at least one, none of them twice"),
        (["--learning-rate", "-1"], "batch-size expects at least 1 and learning-rate a number above 0"),
        (["--out", "FILE"], "cannot make the folder"),
        (["--data", "OTHER"], "is not the file of the 28 CMU clips"),
    ],
)
def test_what_cannot_be_run_is_told_in_a_line(micro, monkeypatch, tmp_path, capsys, arguments, message):
    (tmp_path / "FILE").write_text("")
    walk = numpy.random.default_rng(0).random((20, 17, 3)).astype("float32")
    numpy.savez(tmp_path / "OTHER.npz", positions_3d=numpy.array({"S9": {"walk": walk}}, dtype=object))
    places = {"FILE": str(tmp_path / "FILE"), "OTHER": str(tmp_path / "OTHER.npz")}
    if "OTHER" in arguments:
        monkeypatch.undo()
    given = [places.get(word, word) for word in arguments]
    with pytest.raises(SystemExit) as exit_code:
        run_command(
            ablations.main,
            ablations.Options,
            ["--preset", "tiny", "--device", "cpu", "--out", str(tmp_path), *given],
        )
    assert exit_code.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("error: ")
    assert len(told.splitlines()) == 1


def test_weights_that_are_damaged_are_told(micro, untimed):
    options = dataclasses.replace(micro, tables=("x",))
    ablations.main(options)
    (options.out / "models" / "htp-t9-n3-f2-k6-seed0.safetensors").write_bytes(b"broken")
    with pytest.raises(BenchmarkError, match="is not a safetensors file"):
        ablations.main(dataclasses.replace(options, eta=0.0))
