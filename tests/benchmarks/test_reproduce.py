"""The paper in one command, at tiny sizes. Oracle: the functions of the other scripts, called by hand."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from written import FRAMES, write_npz

import reproduce
from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.data.motion import windows
from htp_diffusion.data.protocol import cut_set
from htp_diffusion.data.source import Source
from htp_diffusion.data.source import test_clips as clips_of
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.contender import Pruning, trained_contender
from htp_diffusion.reproduction import kept as kept_module
from htp_diffusion.reproduction import trained as trained_module
from htp_diffusion.reproduction.report import Report
from htp_diffusion.reproduction.sensitivity import Sensitivity, SensitivityAsked
from htp_diffusion.scoring.draw_and_score import grade

CPU = torch.device("cpu")
ROOT = Path(__file__).resolve().parents[2]
Timed = dataclasses.make_dataclass(
    "Timed", [("seconds", float), ("result", Sensitivity), ("provenance", Provenance)]
)
Stored = dataclasses.make_dataclass("Part", [("asked", SensitivityAsked), ("result", Timed)])


@pytest.fixture
def command(folder, tmp_path):
    """Arguments of a tiny run."""
    return [
        "--size", "tiny", "--device", "cpu", "--checkpoint-folder", folder, "--out", tmp_path / "out",
        "--minutes", 20,
    ]  # fmt: skip


def run(arguments, *more) -> None:
    run_command(reproduce.main, reproduce.Options, [str(argument) for argument in (*arguments, *more)])


def item(folder, name):
    report = read_json(folder / "out" / "report.json", Report)
    return next(one for one in report.items if one.name == name)


def states(folder):
    return {one.name: one.state for one in read_json(folder / "out" / "report.json", Report).parts}


def drawn(hypotheses=2, steps=1, batch=2):
    sequences = 2 * hypotheses * batch
    return Sampling(
        hypotheses=hypotheses, steps=steps, eta=1.0, flip=True, seed=0, batch_size=batch, max_batch=sequences
    )


def test_errors_pictures_and_sensitivity_are_those_of_the_functions_behind_the_scripts(
    command, folder, tmp_path, capsys
):
    write_npz(tmp_path / "own.npz", ["A/one", "B/two"], frames=FRAMES + 5)
    parts = ("sampled", "kept-frames", "sensitivity", "data-1-npz")
    run(command, "--data", tmp_path / "own.npz", "--every", 1, "--parts", *parts)
    assert states(tmp_path) == dict.fromkeys(parts, "made")

    clips = [windows(clip, FRAMES) for clip in embedded_set(FRAMES).clips]
    contender = trained_contender(folder / "htp-tiny.json", Pruning())
    expected = grade(contender.denoiser, clips, drawn(), CPU).mpjpe
    figures = {row.what: row for row in item(tmp_path, "Figure 1").figures}
    assert figures["HTP n=3: MPJPE, mm"].measured == pytest.approx(expected, rel=1e-5)
    assert figures["HTP n=3: MPJPE, mm"].quoted == 29.9
    assert "embedded synthetic motion" in figures["HTP n=3: MPJPE, mm"].condition

    fewer = trained_contender(folder / "htp-tiny.json", Pruning(num_neighbors=1 / 3))
    expected = grade(fewer.denoiser, clips, drawn(1, 1, 12), CPU).mpjpe
    found = {row.what: row for row in item(tmp_path, "Table X").figures}["k = 0.333 T: MPJPE, mm"]
    assert (found.measured, found.quoted) == (pytest.approx(expected, rel=1e-5), 34.4)
    stored = read_json(tmp_path / "out" / "parts" / "sensitivity.json", Stored).result.result
    assert [row.neighbors for row in stored.over_neighbors] == [2, 4, 6, 8, 10, 12]
    assert stored.over_neighbors[3].mpjpe == stored.over_density[stored.trained_density - 1].mpjpe

    cut = cut_set(clips_of(Source(data=tmp_path / "own.npz"), FRAMES), FRAMES)
    scored = compare([contender], cut, drawn(2, 1, 8), device=CPU, clock=False).models[0].scores
    table = {row.what: row.measured for row in item(tmp_path, "Table I").figures}
    mean = scored.over_actions["mean"]
    assert table["htp-tiny, H=2, K=1: MPJPE, mm"] == pytest.approx(mean.mpjpe, rel=1e-5)

    for name in ("error-cost.png", "poses.png", "worst.png", "kept-frames.png", "sensitivity.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    printed = capsys.readouterr()
    assert "Figure 8" in printed.out
    assert "report.md" in printed.out
    assert "The frames that HTP keeps: about 5 s" in printed.err

    run(command, "--data", tmp_path / "own.npz", "--every", 1, "--parts", *parts)
    assert states(tmp_path) == dict.fromkeys(parts, "found again")
    told = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert told.count("; found again, made 20") == len(parts)


def test_speed_and_training_run_by_the_same_code_as_on_a_gpu(command, tmp_path, monkeypatch):
    monkeypatch.setattr(trained_module, "_TINY_SECONDS", 1.0)
    parts = ("table-v", "table-v-rivals", "table-v-bf16-eager", "training-step", "trained")
    run(command, "--parts", *parts)
    assert list(states(tmp_path).items()) == [(part, "made") for part in parts]
    table = item(tmp_path, "Table V").figures
    rows = {row.what: row for row in table}
    assert len(rows) == len(table)  # D3DP, which runs with its rivals again, is told once
    for model in ("D3DP", "HTP n=1", "HTP n=3", "FinePOSE", "HTP w/ FinePOSE n=1", "KTPFormer denoiser"):
        for steps in (1, 2):
            row = rows[f"{model}, H=2, K={steps}, fp32, eager: frames/s"]
            assert row.measured is not None
            assert row.measured > 0
            assert row.quoted is None  # the paper has other H and K
            assert "batch 2, T=27, D=32" in row.condition
            assert rows[f"{model}, H=2, K={steps}, fp32, eager: peak memory, MiB"].measured > 0
    assert "HTP n=1, H=2, K=1, bf16, eager: times as fast as D3DP" in rows
    assert "KTPFormer denoiser, H=2, K=2, fp32, eager: times as fast as D3DP" in rows
    assert "HTP w/ FinePOSE n=1, H=2, K=2, fp32, eager: times as fast as FinePOSE" in rows
    assert rows["HTP, bf16, eager: mean distance from fp32, eager, mm"].measured > 0
    assert rows["HTP n=3, a training step of 8 sequences: times as fast as D3DP"].measured > 0
    trained = {row.what for row in item(tmp_path, "Table I").figures if row.measured is not None}
    assert {f"{name}, trained here, seed 0: MPJPE, mm" for name in ("D3DP", "HTP n=3")} <= trained
    assert (tmp_path / "out" / "trained" / "htp-seed0" / "last.json").exists()


class TenSeconds:
    """A budget that does not run out."""

    def __init__(self, seconds):
        assert seconds == 60 * 20
        self.left = 10.0


def test_what_does_not_fit_is_left_out_and_named(command, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(reproduce, "Budget", TenSeconds)
    run(command, "--parts", "kept-frames", "trained")
    assert states(tmp_path) == {"kept-frames": "made", "trained": "left out"}
    assert (
        "D3DP and HTP, trained here on the same batches: about 27 s, with 10 s left"
        in capsys.readouterr().out
    )


def test_a_part_that_failed_ends_with_one_line_after_the_report(command, tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise BenchmarkError("no frames")

    monkeypatch.setattr(kept_module, "observe_retention", fail)
    with pytest.raises(SystemExit) as stopped:
        run(command, "--parts", "kept-frames")
    assert stopped.value.code == 2
    assert states(tmp_path) == {"kept-frames": "failed"}
    assert capsys.readouterr().err.splitlines()[-1] == "error: failed: kept-frames; report.md tells why"


def test_a_killed_run_goes_on_where_it_was(command, tmp_path):
    parts = ("kept-frames", "sensitivity")
    words = [sys.executable, ROOT / "benchmarks" / "reproduce.py", *command, "--parts", *parts, "trained"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'benchmarks'}"}
    with (tmp_path / "told.txt").open("w") as told:
        child = subprocess.Popen(list(map(str, words)), env=environment, stdout=told, stderr=told)
        first, deadline = tmp_path / "out" / "parts" / "kept-frames.json", time.monotonic() + 240
        while not first.exists() and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        child.kill()
        assert child.wait() == -signal.SIGKILL, (tmp_path / "told.txt").read_text()
    run(command, "--parts", *parts)
    assert states(tmp_path)["kept-frames"] == "found again"
    assert states(tmp_path)["sensitivity"] in ("made", "found again")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--parts", "all"], "parts expects some of counts, sampled"),
        (["--data", "missing.npz", "--parts", "counts"], "cannot read missing.npz"),
        (["--minutes", "0"], "minutes expects a number above 0"),
        (["--minutes", "inf"], "minutes expects a number above 0, got inf"),
        (["--every", "0"], "every expects at least 1"),
        (["--every", "2"], "--checkpoints and --every are for the data sets of --data, and none is given"),
        (["--public", "nowhere"], "nowhere: no such folder"),
        (["--checkpoint-folder", "nowhere"], "nowhere expects d3dp-PRESET.json"),
    ],
)
def test_mistakes_end_with_one_line_and_code_2(command, arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(command, *arguments)
    assert stopped.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert message in line


def test_an_interrupt_ends_with_130(command, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(reproduce, "run_parts", interrupted)
    with pytest.raises(SystemExit) as stopped:
        run(command, "--parts", "kept-frames")
    assert stopped.value.code == 130


def test_tiny_sizes_are_computed_on_one_thread_unless_another_number_is_given(command, monkeypatch):
    """Threads of small models wait for each other beside other work; an unknown part ends the run at once."""
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    for more in ((), ("--threads", 3), ("--size", "paper")):
        with pytest.raises(SystemExit):
            run(command, "--parts", "nothing", *more)
    assert asked == [1, 3]
