"""The study of seeds on checkpoints of untrained models."""

import dataclasses
import shutil
import statistics

import pytest
import torch
from written import write_npz

from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.data.motion import windows
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.contender import Pruning, trained_contender, trained_contenders
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.scoring.draw_and_score import grade
from htp_diffusion.studies import options as study_options
from htp_diffusion.studies.commands import seeds
from htp_diffusion.studies.seeds_table import SeedStudy, seeds_table
from htp_diffusion.training.fleet import Fleet
from htp_diffusion.training.member import Member
from htp_diffusion.training.trainer import Trainer
from htp_diffusion.training.virtual import VirtualBatches

CPU = torch.device("cpu")
MICRO = dataclasses.replace(PRESETS["tiny"], num_frames=6, dim=16, depth=4, num_heads=2, batch_size=1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of one step."""
    folder = tmp_path_factory.mktemp("runs")
    source = VirtualBatches(synthetic_motions(seed=1, count=1, frames=6), 6, 1)
    configs = {"d3dp": MICRO.denoiser("d3dp"), "htp3": MICRO.denoiser("htp")}
    htp = configs["htp3"].htp
    assert htp is not None
    configs["htp1"] = dataclasses.replace(configs["htp3"], htp=dataclasses.replace(htp, num_sft_layers=1))
    for name, config in configs.items():
        for seed in (0, 1):
            list(Trainer(folder / f"{name}-{seed}", config, MICRO, source, seed=seed, cpu=True).run())
    return folder


def run(*arguments) -> None:
    run_command(seeds.main, seeds.Options, [str(argument) for argument in arguments])


def all_of(runs):
    return [runs / f"{name}-{seed}" for name in ("d3dp", "htp3", "htp1") for seed in (1, 0)]


def test_mean_and_spread_are_those_of_each_checkpoint_scored_by_hand(runs, tmp_path, monkeypatch, capsys):
    options = ("--sampling", "1x1", "2x3", "--every", 2, "--device", "cpu", "--out", tmp_path)
    run(*all_of(runs), *options)
    study = read_json(tmp_path / "seeds.json", SeedStudy)
    assert len(study.rows) == 2 * 6
    assert {row.run.model for row in study.rows} == {"D3DP", "HTP n=3", "HTP n=1"}
    assert {row.run.steps for row in study.rows} == {1}
    clips = [windows(clip, 6).every(2) for clip in embedded_set(6).clips]
    assert study.frames == 6 * 6
    sampling = Sampling(hypotheses=2, steps=3, eta=1.0, flip=True, seed=0, batch_size=24, max_batch=96)
    expected = []
    for seed in (0, 1):
        _, denoiser = seeds.load_denoiser(runs / f"htp1-{seed}" / "last.json")
        errors = grade(denoiser, clips, sampling, torch.device("cpu"))
        [row] = [
            row for row in study.rows
            if (row.run.model, row.run.seed, row.hypotheses) == ("HTP n=1", seed, 2)
        ]  # fmt: skip
        assert row.errors == errors
        expected.append(errors.mpjpe)
    told = f"{statistics.fmean(expected):.1f} ± {statistics.stdev(expected):.1f}"
    each = ", ".join(f"{value:.1f}" for value in expected)
    assert f"| H=2, K=3 | HTP n=1 | {told} | {each} |" in seeds_table(study).to_markdown()
    assert "HTP n=1" in capsys.readouterr().out

    # A second run has nothing to score; a new checkpoint alone is scored.
    graded = []
    monkeypatch.setattr(seeds, "grade", lambda *given: graded.append(given) or grade(*given))
    run(*all_of(runs), *options)
    assert graded == []
    run(*all_of(runs), *options, "--sampling", "1x2")
    assert len(graded) == 6


def test_scores_on_a_file_of_the_same_name_are_not_taken_for_these(runs, tmp_path, capsys):
    for folder, frames in (("one", 12), ("two", 13)):
        (tmp_path / folder).mkdir()
        write_npz(tmp_path / folder / "x.npz", ["A/one"], frames=frames)
    options = ("--sampling", "1x1", "--device", "cpu", "--out", tmp_path / "out")
    run(runs / "d3dp-0", "--data", tmp_path / "one" / "x.npz", *options)
    with pytest.raises(SystemExit):
        run(runs / "d3dp-0", "--data", tmp_path / "two" / "x.npz", *options)
    assert "data" in capsys.readouterr().err


def test_a_folder_with_brackets_is_told_as_it_is(runs, tmp_path, capsys):
    """To rich, the end of a style that never began."""
    folder = tmp_path / "runs[a]" / "of[" / "b]"
    shutil.copytree(runs / "d3dp-0", folder)
    run(folder, "--sampling", "1x1", "--every", 6, "--device", "cpu", "--out", tmp_path / "out")
    assert f"{folder / 'last.json'}, H=1, K=1: " in "".join(capsys.readouterr().err.split("\n"))


def test_an_ablation_is_a_model_of_its_own(runs, tmp_path):
    for name, variant in (("whole", None), ("tcep", "tcep")):
        member = Member(name=name, denoiser=MICRO.denoiser("htp"), variant=variant, seed=int(name == "tcep"))
        fleet = Fleet(tmp_path, [member], MICRO, synthetic_motions(seed=1, count=1, frames=6), device=CPU)
        fleet.run(1)
    run(tmp_path / "whole", tmp_path / "tcep", "--sampling", "1x1", "--device", "cpu", "--out", tmp_path)
    study = read_json(tmp_path / "seeds.json", SeedStudy)
    assert [row.run.model for row in study.rows] == ["HTP n=3", "HTP n=3, tcep"]
    contender = trained_contender(tmp_path / "tcep" / "last.json", Pruning(num_neighbors=3))
    assert contender.denoiser.htp.config.num_neighbors == 3
    (tmp_path / "tcep" / "last.json").rename(tmp_path / "tcep" / "htp-tiny.json")
    with pytest.raises(BenchmarkError, match="holds an ablation, tcep"):
        trained_contenders(tmp_path / "tcep", "tiny", ("htp",), Pruning())


def test_one_seed_has_no_spread(runs, tmp_path):
    run(runs / "d3dp-0", "--sampling", "1x1", "--device", "cpu", "--out", tmp_path)
    study = read_json(tmp_path / "seeds.json", SeedStudy)
    [row] = study.rows
    assert f"| H=1, K=1 | D3DP | {row.errors.mpjpe:.1f} | {row.errors.mpjpe:.1f} |" in (
        seeds_table(study).to_markdown()
    )


def test_what_cannot_be_compared_is_told(runs, tmp_path, capsys):
    def told(*arguments) -> str:
        with pytest.raises(SystemExit) as exit_code:
            run(*arguments, "--device", "cpu", "--out", tmp_path / "out")
        assert exit_code.value.code == 2
        [error] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        return error

    assert "sampling expects HxK, as 20x10, got '0x1'" in told(runs / "d3dp-0", "--sampling", "0x1")
    assert "cannot read" in told(runs / "none")
    (tmp_path / "again").symlink_to(runs / "d3dp-0")
    assert "are both D3DP with seed 0" in told(runs / "d3dp-0", tmp_path / "again")
    assert "sampling expects each HxK once" in told(runs / "d3dp-0", "--sampling", "1x1", "1x1")
    (tmp_path / "out").write_text("")
    assert "cannot make the folder" in told(runs / "d3dp-0", "--sampling", "1x1")


def test_other_sizes_and_lengths_are_told(runs, tmp_path, capsys):
    motions = synthetic_motions(seed=1, count=1, frames=8)
    for name, changes in (("wide", {"dim": 8}), ("long", {"num_frames": 8})):
        preset = dataclasses.replace(MICRO, **changes)
        source = VirtualBatches(motions, preset.num_frames, 1)
        list(Trainer(tmp_path / name, preset.denoiser("d3dp"), preset, source, seed=7, cpu=True).run())
    for name, message in (("wide", "of different sizes"), ("long", "different lengths: [6, 8] frames")):
        with pytest.raises(SystemExit):
            run(runs / "d3dp-0", tmp_path / name, "--device", "cpu", "--out", tmp_path / "out")
        assert message in capsys.readouterr().err


def test_motion_that_was_trained_on_is_not_scored(runs, tmp_path, capsys, monkeypatch):
    class Trained:
        motions = ("synthetic/walking_000",)

    monkeypatch.setattr(study_options, "file_set", lambda _, unit: Trained())
    with pytest.raises(SystemExit):
        run(runs / "d3dp-0", "--data", "some.npz", "--device", "cpu", "--out", tmp_path)
    assert "trained on motion that is to be scored: synthetic/walking_000" in capsys.readouterr().err
