"""What the scripts pass on of what they were asked for. Oracle: stand-ins that take notes."""

from types import SimpleNamespace

import pytest
import torch
from training_runs import MICRO, small_motions
from written import write_checkpoints

import evaluate
import run_diffusion
import train
import write_tables
from htp_diffusion.base.command import run_command
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.training.validation import VALIDATION_SEED


class NotedError(Exception):
    """Carries what a stand-in was given out of the script."""


def note(*given, **named):
    raise NotedError(given, named)


def test_evaluate_runs_the_models_as_it_was_asked(tmp_path, monkeypatch):
    write_checkpoints(tmp_path)
    monkeypatch.setattr(evaluate, "compare", note)
    words = ["--device", "cpu", "--precision", "bf16", "--mode", "compiled", "--memory-budget", "0.5"]
    words += ["--out", str(tmp_path / "out"), "--hypotheses", "3", "--steps", "2"]
    with pytest.raises(NotedError) as noted:
        run_command(evaluate.main, evaluate.Options, [str(tmp_path / "htp-tiny.json"), *words])
    (_, _, sampling), named = noted.value.args
    assert (named["precision"], named["mode"], named["memory_budget"]) == ("bf16", "compiled", 0.5)
    assert (sampling.hypotheses, sampling.steps) == (3, 2)


def test_untrained_models_of_the_main_job_have_the_weights_of_the_seed(monkeypatch):
    monkeypatch.setattr(run_diffusion, "untrained_contenders", note)
    with pytest.raises(NotedError) as noted:
        run_command(
            run_diffusion._exact_contenders, run_diffusion.Options, ["--preset", "paper", "--seed", "5"]
        )
    (preset, kinds, _, seed), _ = noted.value.args
    assert (preset, kinds, seed) == ("paper", ("d3dp", "htp"), 5)


def test_the_worst_frames_are_those_of_the_last_model(tmp_path, monkeypatch, capsys):
    drawn = {}
    frames = SimpleNamespace(spread_out=lambda: "spread", worst=lambda name, apart: (name, apart))
    monkeypatch.setattr(run_diffusion, "scored_frames", lambda *_: frames)
    monkeypatch.setattr(
        run_diffusion, "draw_poses", lambda path, _, chosen, title: drawn.update({path.name: (chosen, title)})
    )
    space = SimpleNamespace(layout=None)
    cut = SimpleNamespace(
        windows=[], num_frames=9, found=SimpleNamespace(space=space), protocol=SimpleNamespace(root="kept")
    )
    run_diffusion._draw_poses(tmp_path, cut, {"D3DP": torch.zeros(1), "HTP": torch.zeros(1)})
    assert drawn["worst_poses.png"] == (("HTP", 9), "the worst frames of HTP")
    assert drawn["poses.png"][0] == "spread"


@pytest.mark.parametrize(("asked", "computed"), [("fp32", "no"), ("bf16", "bf16")])
def test_a_training_has_the_seed_and_precision_that_it_was_asked_for(monkeypatch, asked, computed):
    monkeypatch.setattr(train, "training_data", lambda *_: SimpleNamespace(batches=None, validation="held"))
    monkeypatch.setattr(train, "Trainer", note)
    words = ["--preset", "tiny", "--seed", "5", "--precision", asked, "--epochs", "3", "--device", "cpu"]
    with pytest.raises(NotedError) as noted:
        run_command(train.train, train.Options, ["htp", *words, "--tilt", "1.5", "--decay", "0.5"])
    (_, _, preset, _), named = noted.value.args
    assert (named["seed"], named["epochs"], named["precision"], named["evaluate"]) == (5, 3, computed, "held")
    assert named["cpu"]
    assert (preset.tilt, preset.decay, preset.learning_rate) == (1.5, 0.5, PRESETS["tiny"].learning_rate)


def test_clips_held_out_are_seen_as_the_seed_of_the_validation_says(monkeypatch):
    motions = small_motions()
    monkeypatch.setattr(train, "training_motions", lambda *_: motions)
    monkeypatch.setattr(train, "held_out", lambda names: set(names[1:]))
    monkeypatch.setattr(train, "virtual_views", note)
    words = ["htp", "--evaluate-every", "1"]
    with pytest.raises(NotedError) as noted:
        run_command(lambda options: train.training_data(options, MICRO), train.Options, words)
    assert noted.value.args == ((motions[1:],), {"seed": VALIDATION_SEED})


def test_every_table_of_a_page_is_made_anew(monkeypatch):
    monkeypatch.setattr(write_tables, "READERS", {"one": lambda name: f"new {name}\n", "two": str.upper})
    place = "<!-- table: {} -->\nold\n<!-- end -->\n"
    made = write_tables.with_tables(place.format("one") + "between\n" + place.format("two"))
    assert made == (
        "<!-- table: one -->\nnew one\n<!-- end -->\nbetween\n<!-- table: two -->\nTWO<!-- end -->\n"
    )
