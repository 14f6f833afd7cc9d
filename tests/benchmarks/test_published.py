"""Every script that takes --weights: a file as its authors save it, plain and pruned."""

import numpy as np
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
from htp_diffusion.models.clip_text import Clip
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.finepose import FinePOSEDenoiser
from htp_diffusion.models.ktpformer import KTPFormer
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.models.public_config import PublicConfig
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.commands import weights

SIZES = {"num_frames": 9, "dim": 8, "depth": 3, "num_heads": 2}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    encoder = Clip(dim=8, depth=1, heads=1, image=False)
    networks = {
        "mixste": ("module.", MixSTE(**SIZES)),
        "d3dp": ("module.pose_estimator.", D3DPDenoiser(**SIZES)),
        "motionbert": ("module.", DSTformer(dim_feat=8, dim_rep=8, depth=3, num_heads=2, maxlen=9)),
        "ktpformer": ("module.", KTPFormer(**SIZES)),
        "finepose": ("module.pose_estimator.", FinePOSEDenoiser(9, 17, 2, 8, 3, 2, clip=encoder)),
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


@pytest.mark.parametrize(
    ("model", "name", "options"),
    [
        ("d3dp", "D3DP", ()),
        ("finepose", "FinePOSE", ("--weights-action", "Walking")),
        ("ktpformer", "KTPFormer", ()),
    ],
)
def test_run_diffusion_puts_a_network_beside_itself_pruned(files, tmp_path, capsys, model, name, options):
    run(
        run_diffusion, *public(files, model), *options, "--prune", "--num-sft-layers", 1, "--max-windows", 2,
        "--hypotheses", 2, "--steps", 1, "--out", tmp_path,
    )  # fmt: skip
    plain, pruned = read_json(tmp_path / "result.json", ComparisonResult).models
    assert (plain.name, pruned.name) == (name, f"{name}, pruned")
    assert pruned.true_macs_per_frame != plain.true_macs_per_frame
    assert pruned.params > plain.params  # TCEP's
    printed = capsys.readouterr().out
    assert f"{model}.bin, published by others" in printed
    assert printed.count("kept_frames.png") == 1
    assert (tmp_path / "kept_frames.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("option", [("--weights-heads", 4), ("--weights-layout", "coco-17")])
def test_what_tells_of_weights_needs_them(tmp_path, option, capsys):
    with pytest.raises(SystemExit):
        run(run_diffusion, *option, "--out", tmp_path)
    assert f"{option[0]} tells of --weights, which are not given" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--num-keep", 3), "--num-keep: with --weights, only with --prune"),
        (("--checkpoint-folder", "none"), "--weights and --checkpoint-folder name two pairs"),
    ],
)
def test_options_that_published_weights_do_not_take(files, tmp_path, options, message, capsys):
    with pytest.raises(SystemExit):
        run(run_diffusion, *public(files, "mixste"), *options, "--out", tmp_path)
    assert message in capsys.readouterr().err.replace("\n", " ")


@pytest.fixture
def lifting(tmp_path):
    """Arguments of lift.py that take a moment."""
    seen = openpose(tmp_path / "o", people(20, 25))
    return [
        seen, "--size", "1000x800", "--hypotheses", 1, "--steps", 1, "--draw", "none",
        "--out", tmp_path / "out",
    ]  # fmt: skip


def refused(capsys, *arguments):
    """What lift.py ends with, as one line."""
    with pytest.raises(SystemExit) as stopped:
        run(lift, *arguments)
    assert stopped.value.code == 2
    return "".join(capsys.readouterr().err).replace("\n", " ")


def test_lift_takes_what_predicts_metres(files, lifting, capsys):
    run(lift, *lifting, *public(files, "d3dp"))
    assert "D3DP, pruned: " in capsys.readouterr().out
    run(lift, *lifting, *public(files, "mixste"), "--no-prune")
    assert "MixSTE: " in capsys.readouterr().out
    assert "height is for models that predict in the image; D3DP, pruned knows metres" in refused(
        capsys, *lifting, *public(files, "d3dp"), "--height", 1.8
    )


def test_lift_scales_what_predicts_in_the_image_by_the_height(files, lifting, tmp_path, capsys):
    bert = public(files, "motionbert")
    lengths = []
    for height in (1.8, 0.9):
        run(lift, *lifting, *bert, "--height", height)
        saved = np.load(tmp_path / "out" / "poses.npz")
        told = saved["unit"].item(), saved["frame_of_reference"].item(), saved["model"].item()
        assert told == ("metre", "image, root-relative", "MotionBERT, pruned")
        bones = {
            joint: np.linalg.norm(saved["poses"][:, index] - saved["poses"][:, parent], axis=1)
            for index, (joint, parent) in enumerate(zip(H36M_17.joints, H36M_17.parents, strict=True))
        }
        trunk = sum(bones[joint] for joint in ("spine", "thorax", "neck", "head"))
        legs = sum(bones[f"{side}_{joint}"] for side in ("left", "right") for joint in ("knee", "ankle"))
        lengths.append(np.sort(trunk + legs / 2)[9])  # torch's median of 20
    assert lengths == pytest.approx([0.961 * 1.8, 0.961 * 0.9], rel=1e-4)
    assert "predicts in the image, which has no metres: tell the person's --height" in refused(
        capsys, *lifting, *bert
    )
    assert "height expects metres from 0.3 to 3.0, got 180" in refused(
        capsys, *lifting, *bert, "--height", 180
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
