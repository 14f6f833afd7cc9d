"""The study of the claims, stopped by Ctrl-C and begun again, as a command."""

import os
import signal

import pytest
import torch
from training_runs import MICRO
from written import write_npz

import study
from htp_diffusion.base.command import run_subcommands
from htp_diffusion.models.checkpoint import load_checkpoint
from htp_diffusion.studies.commands import claims
from htp_diffusion.training.fleet import Fleet

NAMES = ("d3dp-seed4", "htp-n1-seed4")


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A tiny model, and Ctrl-C as in a terminal; where tests run in the background, it is ignored."""
    monkeypatch.setitem(claims.PRESETS, "tiny", MICRO)
    monkeypatch.setattr(claims, "scored_rows", lambda *_: [])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def run(folder, *length):
    words = ("--preset", "tiny", "--models", "d3dp", "htp-n1", "--seeds", "4")
    length = length or ("--training-steps", "6")
    run_subcommands(study.COMMANDS, ["claims", *words, *length, "--device", "cpu", "--out", str(folder)])


def state(folder):
    return {name: load_checkpoint(folder / name / "last.json") for name in NAMES}


def test_ctrl_c_saves_and_ends_with_130_and_the_same_command_goes_on(tmp_path, monkeypatch, capsys):
    run(tmp_path / "whole")

    def interrupted(fleet, *rest):
        trained = take(fleet, *rest)
        if len(fleet.losses[0]) == 6 and fleet.step == 2:  # the third step of the run, not of its timing
            os.kill(os.getpid(), signal.SIGINT)
        return trained

    take = Fleet._take
    with monkeypatch.context() as patched:
        patched.setattr(Fleet, "_take", interrupted)
        with pytest.raises(SystemExit) as stopped:
            run(tmp_path / "parts")
    assert stopped.value.code == 130
    assert capsys.readouterr().err.endswith(
        "interrupted: saved at step 3; the same command goes on from there\n"
    )
    assert {checkpoint.step for checkpoint, _ in state(tmp_path / "parts").values()} == {3}
    assert not (tmp_path / "parts" / "claims.json").exists()

    run(tmp_path / "parts")
    for (whole, tensors), (parts, again) in zip(
        state(tmp_path / "whole").values(), state(tmp_path / "parts").values(), strict=True
    ):
        assert (whole.step, whole.losses) == (parts.step, parts.losses)
        assert tensors.keys() == again.keys()
        assert all(torch.equal(value, again[name]) for name, value in tensors.items())
    assert (tmp_path / "parts" / "claims.json").exists()


def test_a_study_given_by_its_minutes_goes_on_to_the_steps_that_it_began_with(tmp_path, monkeypatch):
    planned = []
    for seconds in (0.05, 0.01):  # of a step: another machine, or a busier one
        monkeypatch.setattr(Fleet, "seconds_per_step", lambda fleet, seconds=seconds: seconds)
        run(tmp_path, "--minutes", "0.02")
        planned.append({checkpoint.steps for checkpoint, _ in state(tmp_path).values()})
    assert planned[0] == planned[1]
    assert len(planned[0]) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--minutes", "nan"], "minutes expects a number above 0, got nan"),
        (["--minutes", "-1"], "minutes expects a number above 0, got -1"),
        (["--learning-rate", "0"], "learning-rate expects a number above 0, got 0"),
        (["--seeds", "99999999999999"], "seed expects 0 to"),
        (["--sampling", "1x5000"], "steps"),
        (["--sampling"], "sampling expects at least one HxK"),
    ],
)
def test_mistakes_are_told_before_anything_is_trained(tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stopped:
        run_subcommands(study.COMMANDS, ["claims", *arguments, "--out", str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_motion_of_one_file_is_not_trained_on_and_scored(tmp_path, capsys):
    write_npz(tmp_path / "own.npz", ["A/one", "B/two"], frames=12)
    with pytest.raises(SystemExit):
        run_subcommands(
            study.COMMANDS,
            [
                "claims",
                "--preset",
                "tiny",
                "--data",
                str(tmp_path / "own.npz"),
                "--out",
                str(tmp_path / "out"),
            ],
        )
    assert "is not the file of the 28 CMU clips" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
