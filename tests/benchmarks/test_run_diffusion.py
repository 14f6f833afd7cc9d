import dataclasses

import numpy
import pytest
import torch
from drawing import drawn
from written import FRAMES, write_npz
from written import write_checkpoints as save

import run_diffusion
from htp_diffusion.base.command import run_command
from htp_diffusion.base.computing import Computing
from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.result import ComparisonResult
from htp_diffusion.comparison.table import comparison_table
from htp_diffusion.data.motion import windows
from htp_diffusion.data.protocol import Selection
from htp_diffusion.data.source import Source
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.data.window_batches import first_windows
from htp_diffusion.diffusion.options import SamplingOptions
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.contender import Pruning, trained_contenders
from htp_diffusion.models.public_weights import PublicWeights
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.scoring.metrics import mpjpe
from htp_diffusion.speed.counting import count


def run(*arguments) -> None:
    run_command(run_diffusion.main, run_diffusion.Options, [str(argument) for argument in arguments])


@pytest.fixture
def small(folder, tmp_path):
    """Arguments of a run that takes a moment, but for the folder that it writes to."""
    return ["--preset", "tiny", "--checkpoint-folder", folder, "--device", "cpu", "--out", tmp_path / "out"]


def test_one_thread_computes_unless_another_number_is_given(small, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    for threads in ([], ["--threads", 3]):
        run(*small, "--hypotheses", 1, "--steps", 1, "--max-windows", 1, *threads)
    assert asked == [1, 3]


def test_the_run_scores_what_sampling_by_hand_gives(small, folder, tmp_path, capsys):
    run(*small, "--hypotheses", 2, "--steps", 2, "--max-windows", 3, "--seed", 5)
    result = read_json(tmp_path / "out" / "result.json", ComparisonResult)
    assert (result.clips, result.windows, result.frames, result.window_frames) == (2, 3, 3 * FRAMES, FRAMES)
    clips = [windows(clip, FRAMES) for clip in embedded_set(FRAMES).clips]
    pose_2d = torch.cat([clips[0].pose_2d, clips[1].pose_2d[:1], clips[1].pose_2d[:1]])  # a full last batch
    target = torch.cat([clips[0].pose_3d, clips[1].pose_3d[:1]])
    for model, contender in zip(
        result.models, trained_contenders(folder, "tiny", ("d3dp", "htp"), Pruning()), strict=True
    ):
        poses = [
            drawn(
                contender.denoiser, batch, schedule=cosine_schedule(), steps=2, hypotheses=2, flip=flip_pose,
                generator=[torch.Generator().manual_seed(5 * 2**20 + 2 * number + i) for i in range(2)],
            )
            for number, batch in enumerate(pose_2d.split(2))
        ]  # fmt: skip
        expected = mpjpe(torch.cat(poses)[:3].mean(dim=1), target).mean().item()
        assert model.scores.over_frames["mean"].mpjpe == pytest.approx(expected, rel=1e-4)
        errors = model.scores.over_frames
        each = mpjpe(torch.cat(poses)[:3], target[:, None].expand(-1, 2, -1, -1, -1))
        assert errors["P-Best"].mpjpe == pytest.approx(each.amin(dim=1).mean().item(), rel=1e-4)
        assert errors["J-Best"].mpjpe < errors["P-Best"].mpjpe
        assert errors["J-Best"].mpjpe < errors["JPMA"].mpjpe
        assert [clip.frames for clip in model.scores.clips] == [2 * FRAMES, FRAMES]
        inputs = (pose_2d[:1], torch.zeros(1, FRAMES, 17, 3), torch.zeros(1, dtype=torch.int64))
        cost = count(contender.denoiser, inputs)
        assert model.thop_macs_per_frame == pytest.approx(2 * 2 * 2 * cost.thop_macs / FRAMES)
        assert model.true_macs_per_frame == pytest.approx(2 * 2 * 2 * cost.true_macs / FRAMES)
        assert model.params == cost.params
        assert model.frames_per_second == pytest.approx(2 * FRAMES / (sum(model.seconds) / 2))
        assert (model.checkpoint, model.trained_steps) == (f"{contender.config.kind}-tiny.json", 7)
    assert result.models[0].speed_up.paired == 1.0
    # Names of the embedded motion recur in training, the motion behind them does not.
    assert result.trained_on == []

    printed = capsys.readouterr()
    assert "sampling 3 windows" in printed.err
    for shown in (
        "MPJPE, mm: mean", "MPJPE, mm: JPMA (not free of ground truth)", "P-MPJPE, mm: P-Best (oracle)",
        "velocity error", "frames/s", "times as fast as D3DP", "GMACs/frame, THOP", "GMACs/frame, in full",
        "parameters, M", "peak memory", "JPMA needs camera and true root trajectory", "eta 1", "result.json",
        f"{result.models[1].scores.over_frames['mean'].mpjpe:.2f}",
    ):  # fmt: skip
        assert shown in printed.out, shown
    assert "untrained" not in printed.out
    assert (tmp_path / "out" / "kept_frames.png").read_bytes()[:4] == b"\x89PNG"


def pruned_products(keep, frames=FRAMES, joints=17, dim=16, pairs=2):
    """Multiply-accumulates of a pass that depend on f: pairs after the pruner, keys and values after them."""
    linear = 8 * dim**2  # of a block and token: queries, keys, values, output 4, an MLP of ratio 2 another 4
    spatial, temporal = linear + 2 * joints * dim, linear + 2 * keep * dim
    recovery = 2 * dim**2 + 2 * frames * dim
    return keep * joints * (pairs * (spatial + temporal) + recovery)


def test_fewer_frames_at_early_steps_stand_beside_the_exact_models(small, folder, tmp_path, capsys):
    run(
        *small, "--hypotheses", 2, "--steps", 3, "--max-windows", 2, "--num-sft-layers", 1, "--num-keep", 6,
        "--early-keep", 0.25,
    )  # fmt: skip
    result = read_json(tmp_path / "out" / "result.json", ComparisonResult)
    _, exact, early = result.models
    assert [model.name for model in result.models] == ["D3DP", "HTP", "HTP, f=3 early"]
    assert [model.early_keep for model in result.models] == [None, None, 3]
    assert (early.denoiser, early.checkpoint, early.params) == (
        exact.denoiser,
        exact.checkpoint,
        exact.params,
    )

    # By hand: 2 hypotheses, flipped too, for 2 steps with f=3 and one with f=6.
    saved = 2 * 2 * 2 * (pruned_products(6) - pruned_products(3)) / FRAMES
    assert exact.true_macs_per_frame - early.true_macs_per_frame == pytest.approx(saved)
    [whole], [fewer] = (
        trained_contenders(folder, "tiny", ("htp",), Pruning(num_sft_layers=1, num_keep=keep))
        for keep in (6, 3)
    )
    [clip] = first_windows([windows(clip, FRAMES) for clip in embedded_set(FRAMES).clips][:1], 2)
    inputs = (clip.pose_2d[:1], torch.zeros(1, FRAMES, 17, 3), torch.zeros(1, dtype=torch.int64))
    costs = [count(contender.denoiser, inputs) for contender in (fewer, whole)]
    assert early.thop_macs_per_frame == pytest.approx(
        2 * 2 * (2 * costs[0].thop_macs + costs[1].thop_macs) / FRAMES
    )

    poses = drawn(
        whole.denoiser, clip.pose_2d, schedule=cosine_schedule(), steps=3, hypotheses=2, flip=flip_pose,
        generator=[torch.Generator().manual_seed(number) for number in range(2)], early=fewer.denoiser,
    )  # fmt: skip
    expected = mpjpe(poses.mean(dim=1), clip.pose_3d).mean().item()
    assert early.scores.over_frames["mean"].mpjpe == pytest.approx(expected, rel=1e-4)
    assert early.scores.over_frames["mean"].mpjpe != exact.scores.over_frames["mean"].mpjpe

    printed = capsys.readouterr().out
    note = "HTP, f=3 early: f=3 at every step but the last: approximate; 8 of the 12 passes."
    assert note in comparison_table(result).notes
    assert "HTP, f=3 early" in printed
    assert printed.count("kept_frames.png") == 1


def test_untrained_models_say_that_their_errors_mean_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run_diffusion, "_SHIPPED_PRESETS", ())
    arguments = ["--preset", "tiny", "--device", "cpu", "--out", tmp_path, "--max-windows", 1]
    run(*arguments, "--hypotheses", 1, "--steps", 1, "--eta", 0, "--no-flip")
    printed = capsys.readouterr().out
    assert "untrained: errors mean nothing" in printed
    assert "eta 0: deterministic" in printed
    assert "no flip" in printed
    result = read_json(tmp_path / "result.json", ComparisonResult)
    assert [model.checkpoint for model in result.models] == [None, None]
    assert result.sampling.passes == 1


def test_a_file_of_other_motion_is_scored_whole(small, tmp_path, capsys):
    write_npz(tmp_path / "own.npz", ["A/one", "A/two"])
    save(tmp_path / "trained", motions=["A/two", "B/other"])
    run(
        *small, "--data", tmp_path / "own.npz", "--checkpoint-folder", tmp_path / "trained",
        "--hypotheses", 1, "--steps", 1, "--batch-size", 8,
    )  # fmt: skip
    result = read_json(tmp_path / "out" / "result.json", ComparisonResult)
    assert (result.clips, result.frames) == (8, 8 * FRAMES)
    assert result.data.startswith("own.npz, every clip (none of the CMU test clips")
    assert result.trained_on == ["A/two"]
    assert "Not a test: 1 of the motions were trained on" in capsys.readouterr().out


def test_a_clip_shorter_than_a_window_is_padded_and_told(small, tmp_path, capsys):
    write_npz(tmp_path / "short.npz", ["A/short"], frames=5)
    write_npz(tmp_path / "long.npz", ["A/long"], frames=FRAMES)
    poses = [numpy.load(tmp_path / f"{name}.npz", allow_pickle=True)["positions_3d"].item()["A"] for name in
             ("short", "long")]  # fmt: skip
    numpy.savez(tmp_path / "both.npz", positions_3d=numpy.array({"A": poses[0] | poses[1]}, dtype=object))
    run(*small, "--data", tmp_path / "both.npz", "--hypotheses", 1, "--steps", 1, "--batch-size", 8)
    result = read_json(tmp_path / "out" / "result.json", ComparisonResult)
    assert (result.clips, result.windows, result.frames, result.padded) == (8, 8, 4 * 5 + 4 * FRAMES, 4)
    assert (
        "4 clips are shorter than a window: padded, the padding not scored." in comparison_table(result).notes
    )
    assert (tmp_path / "out" / "kept_frames.png").is_file()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--steps", 0], ["--eta", 2], ["--precision", "tf32"], ["--seed", -1], ["--fps", 0],
        ["--max-windows", 0], ["--memory-budget", 0], ["--hypotheses", 0], ["--batch-size", 0],
        ["--num-sft-layers", 99],
    ],
)  # fmt: skip
def test_what_can_be_checked_is_checked_before_any_motion_is_read(small, monkeypatch, capsys, arguments):
    monkeypatch.setattr(run_diffusion, "test_clips", lambda *_: pytest.fail("work began"))
    with pytest.raises(SystemExit) as left:
        run(*small, *arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nowhere.npz"], "nowhere.npz: no such file"),
        (["--data", "FOLDER/d3dp-tiny.json"], "d3dp-tiny.json: not a readable npz file"),
        (["--data", "KEYLESS"], "no key positions_3d; the file has poses"),
        (["--data", "MILLIMETRES"], "a/one is in millimetres, expected metres: give --unit millimetres"),
        (["--fps", "0"], "fps expects a frame rate above 0"),
        (["--seed", "-1"], "seed expects 0 to"),
        (["--data", "SHORT", "--fps", "0"], "fps expects a frame rate above 0"),
        (["--checkpoint-folder", "nowhere"], "cannot read nowhere/d3dp-tiny.json: No such file"),
        (["--device", "tpu"], "device expects auto, cpu, cuda or cuda:N"),
        (["--device", "cuda:99"], "device cuda:99: PyTorch"),
        (["--precision", "tf32"], "precision tf32 needs a CUDA device"),
        (["--hypotheses", "0"], "batch size and hypotheses expect at least 1"),
        (["--batch-size", "0"], "batch size and hypotheses expect at least 1"),
        (["--steps", "0"], "expected 1 to 1000 sampling steps, got 0"),
        (["--eta", "2"], "expected eta from 0"),
        (["--max-windows", "0"], "max windows expects at least 1, got 0"),
        (["--memory-budget", "0"], "memory budget expects GiB above 0"),
        (["--memory-budget", "inf"], "memory budget expects GiB above 0, got inf"),
        (["--num-keep", "0"], "num_keep"),
        (["--num-keep", "1.5"], "num_keep"),
        (["--early-keep", "1", "--steps", "1"], "early keep needs at least 2 denoising steps, got 1"),
        (["--early-keep", "6", "--num-keep", "6"], "fewer frames than the 6 of 12 that HTP keeps, got 6"),
        (["--early-keep", "0.9"], "that HTP keeps, got 11"),
        (["--early-keep", "0"], "early_keep as an int is a number of frames and expects at least 1"),
        (["--early-keep", "1.5"], "early_keep as a float is a share"),
        (["--num-sft-layers", "4"], "num_sft_layers=4 needs at least 5 pairs"),
        (["--out", "FOLDER/d3dp-tiny.json"], "cannot make the folder"),
    ],
)
def test_what_cannot_be_done_ends_with_one_line(small, folder, tmp_path, capsys, arguments, message):
    numpy.savez(tmp_path / "keyless.npz", poses=numpy.zeros(3))
    write_npz(tmp_path / "short.npz", ["A/short"], frames=5)
    write_npz(tmp_path / "mm.npz", ["a/one"], scale=1000.0)
    places = {"FOLDER": folder, "KEYLESS": tmp_path / "keyless.npz", "SHORT": tmp_path / "short.npz"}
    places["MILLIMETRES"] = tmp_path / "mm.npz"
    for name, place in places.items():
        arguments = [argument.replace(name, str(place)) for argument in arguments]
    with pytest.raises(SystemExit) as left:
        run(*small, "--max-windows", 1, *arguments)
    told = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("sampling") and line]
    assert left.value.code == 2
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]


def test_help_names_every_option_and_what_it_means(capsys):
    with pytest.raises(SystemExit) as left:
        run("--help")
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    groups = (PublicWeights, Source, Selection, SamplingOptions, Pruning, Computing)
    fields = [field for group in (run_diffusion.Options, *groups) for field in dataclasses.fields(group)]
    for field in fields:
        if field.name in ("public", "source", "selection", "sampling", "pruning", "computing"):
            assert f"--{field.name}" not in text
            continue
        option = f"--{field.name.replace('_', '-')}"
        after = text[text.rindex(option) :]
        assert "(default:" in after.split(" --", 3)[0] + "".join(after.split(" --", 3)[1:2]), option
    for unit in ("GiB", "frames a second", "metres"):
        assert unit in text


def test_a_compiler_that_is_missing_is_told_in_one_line(small, monkeypatch, capsys):
    from torch._dynamo.exc import TorchDynamoException

    def refuse(denoiser, **_):
        def call(*_):
            raise TorchDynamoException("no compiler\nand a page of advice")

        return call

    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.raises(SystemExit) as left:
        run(*small, "--mode", "compiled", "--max-windows", 1)
    assert left.value.code == 2
    assert "the models cannot be compiled here (no compiler); " in capsys.readouterr().err


def test_the_table_is_narrow(small, tmp_path):
    run(*small, "--hypotheses", 1, "--steps", 1, "--max-windows", 1)
    table = comparison_table(read_json(tmp_path / "out" / "result.json", ComparisonResult)).to_markdown()
    assert max(len(line) for line in table.splitlines() if line.startswith("|")) < 90
