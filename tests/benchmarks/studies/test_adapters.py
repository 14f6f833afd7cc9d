"""The study of patched hosts, small, and what it is made of."""

import dataclasses

import pytest
import torch
from torch import nn

import adapters
from adapters.clock import SpeedUp
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import read_json
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.studies import patched_hosts
from htp_diffusion.studies.commands import adapters as study_of_adapters
from htp_diffusion.studies.commands.adapters import PLAIN, Options, Variant
from htp_diffusion.studies.patched_table import PatchedRow, PatchedStudy, draw_patched, patched_table
from htp_diffusion.training.fit import fit

THIRD = Variant(keep=1 / 3, recovery="interpolate", tuned=False)
TUNED = Variant(keep=1 / 3, recovery="cross_attention", tuned=True)


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(study_of_adapters, "VARIANTS", (PLAIN, THIRD, TUNED))
    monkeypatch.setattr(study_of_adapters, "_TIMED", 1)
    monkeypatch.setattr(
        study_of_adapters, "training_motions", lambda *_, **__: synthetic_motions(seed=1, count=1, frames=90)
    )
    return Options(out=tmp_path / "study", tune_steps=1, repeats=1, max_windows=1)


def test_the_study_goes_on_where_it_was(small, monkeypatch, capsys):
    study_of_adapters.main(small)
    study = read_json(small.out / "study.json", PatchedStudy)
    assert [(row.host, row.treatment) for row in study.rows] == [
        (host, treatment)
        for host in ("MixSTE", "D3DP")
        for treatment in ("plain", "interpolate", "cross_attention, tuned")
    ]
    for plain, third, tuned in (study.rows[:3], study.rows[3:]):
        assert plain.speed_up == 1.0
        assert third.frames_kept == tuned.frames_kept == plain.frames_kept // 3
        # Two thirds of the frames go early; the cross attention costs more than a blend.
        assert third.gmacs < tuned.gmacs < plain.gmacs
        assert len({plain.mpjpe, third.mpjpe, tuned.mpjpe}) == 3
    assert (small.out / "study.png").read_bytes().startswith(b"\x89PNG")
    assert f"{study.rows[0].mpjpe:.1f}" in capsys.readouterr().out

    def no_more(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(patched_hosts, "fit", no_more)
    # Cost and speed are found anew each time, and seen above.
    monkeypatch.setattr(study_of_adapters, "speeds_of", lambda *_: [SpeedUp(1.0, 1.0, 1.0, 1.0)] * 3)
    monkeypatch.setattr(study_of_adapters, "true_macs", lambda *_: 1)
    study_of_adapters.main(small)
    again = read_json(small.out / "study.json", PatchedStudy)
    assert [row.mpjpe for row in again.rows] == [row.mpjpe for row in study.rows]
    # A file that was cut, as before files were written whole, is told.
    part = small.parts.folder / "D3DP-plain.json"
    part.write_text(part.read_text()[:-40])
    with pytest.raises(BenchmarkError, match=r"D3DP-plain\.json is not JSON"):
        study_of_adapters.main(small)
    # Another study does not take these parts for its own.
    with pytest.raises(AssertionError, match="trained again"):
        study_of_adapters.main(dataclasses.replace(small, tune_steps=2))


def test_a_variant_is_a_copy():
    host = MixSTE(num_frames=81, dim=16, depth=5, num_heads=2).eval()
    weights = {name: value.clone() for name, value in host.state_dict().items()}
    patched = THIRD.patch(host)
    assert adapters.describe(patched).frames_kept == 27
    assert not adapters.is_patched(host)
    for parameter in patched.parameters():
        parameter.data.add_(1.0)
    assert all(torch.equal(weights[name], value) for name, value in host.state_dict().items())
    assert not adapters.is_patched(PLAIN.patch(host))


@pytest.mark.parametrize("name", ["tune_steps", "repeats"])
def test_counts_start_at_one(small, name):
    with pytest.raises(BenchmarkError, match=f"{name.replace('_', '-')} expects at least 1, got 0"):
        study_of_adapters.main(dataclasses.replace(small, **{name: 0}))


def test_a_folder_that_cannot_be_made_is_told(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="cannot make the folder"):
        study_of_adapters.main(dataclasses.replace(small, out=tmp_path / "file"))


def test_the_table_shows_every_row_and_a_missing_velocity_as_a_dash(tmp_path):
    row = PatchedRow(
        host="MixSTE",
        treatment="interpolate",
        keep=0.5,
        frames_kept=40,
        mpjpe=51.25,
        p_mpjpe=40.0,
        mpjve=None,
        gmacs=1.5,
        speed_up=1.25,
        speed_up_low=1.2,
        speed_up_high=1.3,
    )
    study = PatchedStudy(
        data="clips", hosts=["one"], num_sft_layers=2, tune_steps=7, rows=[row], provenance=provenance()
    )
    text = patched_table(study).to_markdown()
    assert "| MixSTE | interpolate | 40 | 51.2 | 40.0 | - | 1.500 | 1.25 [1.20, 1.30] |" in text
    assert "7 more training steps" in text
    assert "patched with n=2" in text
    with pytest.raises(BenchmarkError, match="cannot write"):
        draw_patched(tmp_path / "missing" / "study.png", study)


def test_fit_finds_the_least_and_leaves_frozen_parameters():
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    model.bias.requires_grad_(False)
    bias, target = model.bias.clone(), torch.tensor([[0.1, -0.2, 0.3]])
    losses = list(fit(model, lambda _: (model.weight - target).square().sum(), 400, 0.05))
    assert losses[0] > 100.0  # mm, of a loss in metres
    assert losses[-1] < 1e-2
    assert torch.equal(model.bias, bias)
    assert not model.training
