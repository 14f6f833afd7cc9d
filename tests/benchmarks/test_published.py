"""Every script that takes --weights: a file as its authors save it, plain and pruned."""

import pytest
import torch
from detector_files import openpose, people

import evaluate
import lift
import measure
import run_diffusion
from htp_diffusion.base.command import run_command
from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.result import ComparisonResult, EvaluationResult
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.models.public_config import PublicConfig
from htp_diffusion.speed.commands import weights

SIZES = {"num_frames": 9, "dim": 8, "depth": 3, "num_heads": 2}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    networks = {
        "mixste": ("module.", MixSTE(**SIZES)),
        "d3dp": ("module.pose_estimator.", D3DPDenoiser(**SIZES)),
        "motionbert": ("module.", DSTformer(dim_feat=8, dim_rep=8, depth=3, num_heads=2, maxlen=9)),
    }
    for name, (front, network) in networks.items():
        state = {front + key: value for key, value in network.state_dict().items()}
        torch.save({"epoch": 1, "model_pos": state}, folder / f"{name}.bin")
    return folder


def public(files, name):
    return ["--weights", files / f"{name}.bin", "--model", name, "--weights-heads", 2, "--device", "cpu"]


def run(script, *arguments):
    run_command(script.main, script.Options, [str(argument) for argument in arguments])


def test_evaluate_scores_a_lifter_plain_and_pruned(files, tmp_path, capsys):
    run(
        evaluate, *public(files, "mixste"), "--prune", "--num-keep", 3, "--num-sft-layers", 1,
        "--max-windows", 2, "--hypotheses", 1, "--steps", 1, "--out", tmp_path,
    )  # fmt: skip
    rows = [row.models[0] for row in read_json(tmp_path / "evaluation.json", EvaluationResult).rows]
    assert [row.name for row in rows] == ["MixSTE", "MixSTE, pruned"]
    plain, pruned = (row.denoiser for row in rows)
    assert isinstance(pruned, PublicConfig)
    assert plain.htp is None
    assert (pruned.htp.num_keep, pruned.htp.recovery) == (3, "interpolate")
    assert (rows[0].checkpoint, rows[0].trained_steps) == ("mixste.bin", None)
    assert rows[0].scores != rows[1].scores
    assert "mixste.bin: MixSTE, " in capsys.readouterr().out


def test_run_diffusion_puts_a_denoiser_beside_itself_pruned(files, tmp_path, capsys):
    run(
        run_diffusion, *public(files, "d3dp"), "--prune", "--num-sft-layers", 1, "--max-windows", 2,
        "--hypotheses", 2, "--steps", 1, "--out", tmp_path,
    )  # fmt: skip
    plain, pruned = read_json(tmp_path / "result.json", ComparisonResult).models
    assert (plain.name, pruned.name) == ("D3DP", "D3DP, pruned")
    assert pruned.true_macs_per_frame != plain.true_macs_per_frame
    assert pruned.params > plain.params  # TCEP's
    assert "d3dp.bin, published by others" in capsys.readouterr().out


def test_lift_takes_what_predicts_metres(files, tmp_path, capsys):
    seen = openpose(tmp_path / "o", people(20, 25))
    some = [
        "--size",
        "1000x800",
        "--hypotheses",
        1,
        "--steps",
        1,
        "--draw",
        "none",
        "--out",
        tmp_path / "out",
    ]
    run(lift, seen, *public(files, "d3dp"), *some)
    assert "D3DP, pruned: " in capsys.readouterr().out
    run(lift, seen, *public(files, "mixste"), *some, "--no-prune")
    assert "MixSTE: " in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        run(lift, seen, *public(files, "motionbert"), *some)
    assert stopped.value.code == 2
    assert "motionbert.bin is not made for poses in metres: unit metre, expected half image width" in (
        "".join(capsys.readouterr()).replace("\n", " ")
    )


def test_measure_times_it(files, capsys):
    assert measure.COMMANDS["weights"] == (weights.main, weights.Options)
    run(
        weights,
        *public(files, "motionbert"),
        "--num-keep",
        3,
        "--num-sft-layers",
        1,
        "--repeats",
        1,
        "--warmup",
        0,
    )
    printed = capsys.readouterr().out
    assert "DSTformer, a MotionBERT DSTformer, 3 of 9 frames kept, batches of 1, on cpu" in printed
    assert "motionbert.bin: " in printed
