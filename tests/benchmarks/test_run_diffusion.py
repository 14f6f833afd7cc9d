import dataclasses

import numpy
import pytest
import torch
from drawing import drawn
from written import FRAMES, TINY, write_npz
from written import write_checkpoints as save

import run_diffusion
from htp_diffusion.base.command import run_command
from htp_diffusion.base.device import precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.table import InferenceResult, inference_table
from htp_diffusion.data.mocap.cmu import CMU_TEST, CMU_TRAIN
from htp_diffusion.data.motion import windows
from htp_diffusion.data.virtual_views import embedded_set, file_set
from htp_diffusion.diffusion.sampling import batches, even_max_batch, first_windows
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.contender import Pruning, trained_contenders, untrained_contenders, with_fewer_early
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.scoring.metrics import mpjpe
from htp_diffusion.speed.counting import count


def run(*arguments) -> None:
    run_command(run_diffusion.main, run_diffusion.Options, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints")
    save(path)
    return path


@pytest.fixture
def small(folder, tmp_path):
    """Arguments of a run that takes a moment, but for the folder that it writes to."""
    return ["--preset", "tiny", "--checkpoint-folder", folder, "--device", "cpu", "--out", tmp_path / "out"]


def test_the_run_scores_what_sampling_by_hand_gives(small, folder, tmp_path, capsys):
    run(*small, "--hypotheses", 2, "--steps", 2, "--max-windows", 3, "--seed", 5)
    result = read_json(tmp_path / "out" / "result.json", InferenceResult)
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
        assert errors["J-Best"].mpjpe <= errors["P-Best"].mpjpe <= errors["mean"].mpjpe + 1000
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
    result = read_json(tmp_path / "out" / "result.json", InferenceResult)
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
    assert note in inference_table(result).notes
    assert "HTP, f=3 early" in printed
    assert printed.count("kept_frames.png") == 1


def test_the_early_model_shares_every_weight_and_leaves_the_exact_one_as_it_is():
    d3dp, exact = untrained_contenders("tiny", ("d3dp", "htp"), Pruning(), 0)
    kept = exact.denoiser.htp.mgptp.num_keep
    early = with_fewer_early(exact, 2)
    assert early.denoiser is exact.denoiser
    assert (exact.denoiser.htp.mgptp.num_keep, early.early.htp.mgptp.num_keep) == (kept, 2)
    pairs = zip(exact.denoiser.parameters(), early.early.parameters(), strict=True)
    assert all(one is other for one, other in pairs)
    buffers = early.early.state_dict()
    assert all(torch.equal(value, buffers[key]) for key, value in exact.denoiser.state_dict().items())
    with pytest.raises(BenchmarkError, match="needs an HTP denoiser, D3DP keeps every frame"):
        with_fewer_early(d3dp, 2)


def test_untrained_models_say_that_their_errors_mean_nothing(tmp_path, capsys):
    arguments = ["--preset", "tiny", "--device", "cpu", "--out", tmp_path, "--max-windows", 1]
    run(*arguments, "--hypotheses", 1, "--steps", 1, "--eta", 0, "--no-flip")
    printed = capsys.readouterr().out
    assert "untrained: errors mean nothing" in printed
    assert "eta 0: deterministic" in printed
    assert "no flip" in printed
    result = read_json(tmp_path / "result.json", InferenceResult)
    assert [model.checkpoint for model in result.models] == [None, None]
    assert result.sampling.passes == 1


def test_pruning_changes_the_options_and_no_weight(folder):
    [plain] = trained_contenders(folder, "tiny", ("htp",), Pruning())
    [pruned] = trained_contenders(
        folder, "tiny", ("htp",), Pruning(num_sft_layers=1, num_keep=5, num_neighbors=0.5)
    )
    htp = pruned.denoiser.htp.config
    assert (htp.num_sft_layers, htp.num_keep, htp.num_neighbors) == (1, 5, 0.5)
    assert pruned.config.htp == htp != plain.config.htp
    weights = pruned.denoiser.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in plain.denoiser.state_dict().items())


def test_untrained_weights_are_those_of_the_seed():
    first, again, other = (
        untrained_contenders("tiny", ("htp",), Pruning(), seed)[0].denoiser.head[1].weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_file_of_other_motion_is_scored_whole(small, tmp_path, capsys):
    write_npz(tmp_path / "own.npz", ["A/one", "A/two"])
    save(tmp_path / "trained", motions=["A/two", "B/other"])
    run(
        *small, "--data", tmp_path / "own.npz", "--checkpoint-folder", tmp_path / "trained",
        "--hypotheses", 1, "--steps", 1, "--batch-size", 8,
    )  # fmt: skip
    result = read_json(tmp_path / "out" / "result.json", InferenceResult)
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
    result = read_json(tmp_path / "out" / "result.json", InferenceResult)
    assert (result.clips, result.windows, result.frames, result.padded) == (8, 8, 4 * 5 + 4 * FRAMES, 4)
    assert (
        "4 clips are shorter than a window: padded, the padding not scored." in inference_table(result).notes
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
    monkeypatch.setattr(run_diffusion, "embedded_set", lambda _: pytest.fail("work began"))
    with pytest.raises(SystemExit) as left:
        run(*small, *arguments)
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_the_cmu_clips_are_split(tmp_path):
    write_npz(tmp_path / "cmu.npz", CMU_TRAIN + CMU_TEST)
    found = file_set(tmp_path / "cmu.npz")
    assert found.motions == CMU_TEST
    assert found.description.startswith("cmu.npz, the fixed CMU test split: 7 motions, 4 virtual cameras")
    assert len(found.clips) == 28
    again = file_set(tmp_path / "cmu.npz")
    assert all(torch.equal(a.pose_2d, b.pose_2d) for a, b in zip(found.clips, again.clips, strict=True))


def test_the_real_motion_is_split(cmu_path):
    found = file_set(cmu_path / "data_3d_cmu.npz")
    assert found.motions == CMU_TEST
    assert {clip.name.split("@")[0] for clip in found.clips} == set(CMU_TEST)


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


def test_checkpoints_that_do_not_belong_together_are_refused(tmp_path):
    save(tmp_path / "longer", htp={"num_frames": 13})
    with pytest.raises(BenchmarkError, match=r"different lengths: \[12, 13\] frames"):
        trained_contenders(tmp_path / "longer", "tiny", ("d3dp", "htp"), Pruning())
    save(tmp_path / "swapped")
    (tmp_path / "swapped" / "d3dp-tiny.json").replace(tmp_path / "swapped" / "htp-tiny.json")
    with pytest.raises(BenchmarkError, match="of kind d3dp, expected htp"):
        trained_contenders(tmp_path / "swapped", "tiny", ("htp",), Pruning())


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (torch.cuda.OutOfMemoryError("long"), 2, "error: out of GPU memory"),
        (BenchmarkError("two\nlines"), 2, "error: two lines"),
    ],
)
def test_a_command_turns_errors_into_one_line(raised, code, line, capsys):
    def main(_):
        raise raised

    with pytest.raises(SystemExit) as left:
        run_command(main, run_diffusion.Options, [])
    assert left.value.code == code
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1


def test_help_names_every_option_and_what_it_means(capsys):
    with pytest.raises(SystemExit) as left:
        run("--help")
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in dataclasses.fields(run_diffusion.Options):
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
        run(*small, "--compile", "--max-windows", 1)
    assert left.value.code == 2
    assert "the models cannot be compiled here (no compiler); " in capsys.readouterr().err


def test_batches_are_even_and_hold_every_window_in_order(folder):
    clips = [windows(clip, FRAMES) for clip in embedded_set(FRAMES).clips]  # 6 clips of 2 windows
    taken = first_windows(clips, 7)
    assert [len(clip.start) for clip in taken] == [2, 2, 2, 1]
    flat = torch.cat([clip.pose_2d for clip in clips])
    cut = batches(taken, 3)
    assert cut.shape[:2] == (3, 3)
    assert torch.equal(cut.flatten(0, 1)[:7], flat[:7])
    assert torch.equal(cut[2, 1:], flat[[6, 6]])
    config, cpu = TINY.denoiser("htp"), torch.device("cpu")
    assert even_max_batch(60, config, 100.0, cpu) == 60
    # 16 arrays of tokens in float32 and the selection: room for 17, and 15 is what divides 60.
    one = 16 * FRAMES * 17 * 16 * 4 + 13 * 17 * FRAMES**2
    assert even_max_batch(60, config, 17.5 * one / 2**30, cpu) == 15
    assert even_max_batch(60, config, 1e-9, cpu) == 1


def test_precision_is_that_of_the_block_alone():
    x = torch.ones(2, 2)
    with precision_of("bf16", torch.device("cpu")):
        assert (x @ x).dtype == torch.bfloat16
    with precision_of("fp32", torch.device("cpu")):
        assert torch.get_float32_matmul_precision() == "highest"
        assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32


def test_the_table_is_narrow(small, tmp_path):
    run(*small, "--hypotheses", 1, "--steps", 1, "--max-windows", 1)
    table = inference_table(read_json(tmp_path / "out" / "result.json", InferenceResult)).to_markdown()
    assert max(len(line) for line in table.splitlines() if line.startswith("|")) < 90
