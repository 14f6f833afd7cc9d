"""The study of sensitivity on checkpoints of untrained models."""

import dataclasses

import pytest
import torch

from htp_diffusion.base.command import run_command
from htp_diffusion.base.results import read_json
from htp_diffusion.data.motion import windows
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.contender import Pruning, trained_contender
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.scoring.draw_and_score import grade
from htp_diffusion.studies import sensitivity as measuring
from htp_diffusion.studies.commands import sensitivity
from htp_diffusion.studies.sensitivity_table import SensitivityStudy, study_tables
from htp_diffusion.training.trainer import Trainer
from htp_diffusion.training.virtual import VirtualBatches

CPU = torch.device("cpu")
MICRO = dataclasses.replace(PRESETS["tiny"], num_frames=6, dim=16, depth=4, num_heads=2, batch_size=1)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """By kind, and an HTP of longer windows."""
    folder = tmp_path_factory.mktemp("runs")
    presets = {kind: (kind, MICRO) for kind in ("d3dp", "htp", "htp-mixste")}
    presets["longer"] = ("htp", dataclasses.replace(MICRO, num_frames=9))
    found = {}
    for name, (kind, preset) in presets.items():
        source = VirtualBatches(synthetic_motions(seed=1, count=1, frames=9), preset.num_frames, 1)
        list(Trainer(folder / name, preset.denoiser(kind), preset, source, seed=3, cpu=True).run())
        found[name] = (folder / name / "last.json").rename(folder / name / f"{name}.json")
    return found


def run(*arguments) -> None:
    run_command(sensitivity.main, sensitivity.Options, [*map(str, arguments), "--device", "cpu"])


def test_each_error_is_that_of_the_model_so_pruned(checkpoints, tmp_path, monkeypatch, capsys):
    chosen = [checkpoints[name] for name in ("htp", "htp-mixste", "longer")]
    run(*chosen, "--every", 2, "--out", tmp_path)
    study = read_json(tmp_path / "sensitivity.json", SensitivityStudy)
    assert [(model.model, model.num_frames) for model in study.models] == [
        ("htp", 6),
        ("htp-mixste", 6),
        ("longer", 9),
    ]
    sampling = Sampling(hypotheses=1, steps=1, eta=1.0, flip=True, seed=0, batch_size=12)
    for path, model in zip(chosen, study.models, strict=True):
        frames = model.num_frames
        clips = [windows(clip, frames).every(2) for clip in embedded_set(frames).clips]
        for row in model.over_neighbors:
            pruned = trained_contender(path, Pruning(num_neighbors=row.share))
            assert row.mpjpe == pytest.approx(grade(pruned.denoiser, clips, sampling, CPU).mpjpe, rel=1e-6)
        for row in model.over_density:
            contender = trained_contender(path, Pruning())
            htp = contender.denoiser.htp  # pyright: ignore[reportAttributeAccessIssue]
            htp.config = dataclasses.replace(htp.config, density_neighbors=row.density)
            assert row.mpjpe == pytest.approx(grade(contender.denoiser, clips, sampling, CPU).mpjpe, rel=1e-6)
    assert [row.neighbors for row in study.models[0].over_neighbors] == [1, 2, 3, 4, 5, 6]
    assert (study.models[0].trained_neighbors, study.models[0].trained_density) == (4, 2)
    neighbors, _ = study_tables(study)
    first = [f"{model.over_neighbors[1].mpjpe:.1f}" for model in study.models]
    assert f"| 0.33 T | {' | '.join(first)} | 34.4 † |" in neighbors.to_markdown().replace("34.4†", "34.4 †")
    for name in ("htp", "htp-mixste", "longer"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert "0.67 T" in capsys.readouterr().out

    # A second run has nothing to score.
    graded = []
    monkeypatch.setattr(measuring, "grade", lambda *given: graded.append(given) or grade(*given))
    run(*chosen, "--every", 2, "--out", tmp_path)
    assert graded == []
    assert read_json(tmp_path / "sensitivity.json", SensitivityStudy).models == study.models


def test_measuring_leaves_the_model_as_it_was(checkpoints):
    contender = trained_contender(checkpoints["htp"], Pruning())
    clips = [windows(clip, 6).every(6) for clip in embedded_set(6).clips[:1]]
    measuring.sensitivity_of(contender, "embedded", clips, CPU)
    assert contender.denoiser.htp.config == contender.config.htp  # pyright: ignore[reportAttributeAccessIssue]


def test_runs_are_called_after_their_folders(checkpoints, tmp_path):
    for name in ("A", "B"):
        (tmp_path / name).mkdir()
        for file in checkpoints["htp"].parent.iterdir():
            (tmp_path / name / file.name.replace("htp.json", "last.json")).write_bytes(file.read_bytes())
    run(tmp_path / "A", tmp_path / "B", "--every", 6, "--out", tmp_path / "out")
    study = read_json(tmp_path / "out" / "sensitivity.json", SensitivityStudy)
    assert [model.model for model in study.models] == ["A-last", "B-last"]
    assert (tmp_path / "out" / "B-last.png").exists()


def test_what_cannot_be_studied_is_told_in_one_line(checkpoints, tmp_path, capsys, monkeypatch):
    def told(*arguments) -> str:
        with pytest.raises(SystemExit) as exit_code:
            run(*arguments)
        assert exit_code.value.code == 2
        [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return error

    out = ("--out", tmp_path / "out")
    assert "d3dp has no k and k' to change: it is not HTP" in told(checkpoints["d3dp"], *out)
    assert "cannot read" in told(tmp_path / "none.json", *out)
    assert "expected at least one checkpoint" in told(*out)
    (tmp_path / "htp.json").symlink_to(checkpoints["htp"])
    assert "checkpoint was named twice" in told(checkpoints["htp"], tmp_path / "htp.json", *out)
    assert "every expects at least 1" in told(checkpoints["htp"], "--every", 0, *out)

    run(checkpoints["htp"], "--every", 6, *out)
    assert "was made otherwise: every" in told(checkpoints["htp"], "--every", 3, *out)

    class Trained:
        motions = ("synthetic/walking_000",)

    monkeypatch.setattr(sensitivity, "file_set", lambda _, unit: Trained())
    assert "trained on motion that is to be scored" in told(checkpoints["htp"], "--data", "some.npz", *out)
