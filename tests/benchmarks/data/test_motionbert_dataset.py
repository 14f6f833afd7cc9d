"""MotionBERT's file by command: trained on and scored in the image, told in millimetres."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from training_runs import MICRO
from written import (
    FRAMES,
    MOTIONBERT_SOURCES,
    TINY,
    motionbert_poses,
    write_checkpoints,
    write_motionbert,
    write_npz,
)

import evaluate
import train
from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.comparison.result import EvaluationResult
from htp_diffusion.data import source
from htp_diffusion.data.formats.motionbert import MOTIONBERT_EXCLUDED
from htp_diffusion.data.protocol import EVERY_FRAME, cut_clips, cut_set, protocol_named
from htp_diffusion.data.source import Source
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.checkpoint import load_checkpoint
from htp_diffusion.models.contender import Contender
from htp_diffusion.pose.space import CAMERA_METRES, MOTIONBERT_IMAGE
from htp_diffusion.scoring.aggregation import jpma
from htp_diffusion.scoring.metrics import mpjpe
from htp_diffusion.training.curve import draw_loss_curve

TRAINED = ("s_01_act_02_subact_01_ca_01", "s_05_act_03_subact_01_ca_02", "s_06_act_04_subact_02_ca_03")
WAYS = ("mean", "JPMA", "P-Best", "J-Best")


class Oracle(nn.Module):
    """Knows the pose of every window, and errs by what it is told."""

    def __init__(self, windows, error):
        super().__init__()
        self.seen = torch.cat([piece.pose_2d for piece in windows]).flatten(1)
        self.answers = torch.cat([piece.pose_3d for piece in windows]) + error

    def forward(self, pose_2d, noisy, timestep):
        return self.answers[torch.cdist(pose_2d.flatten(1), self.seen).argmin(dim=1)]


def scored(found, error=0.0, protocol="every-frame", num_frames=4):
    named = protocol_named(protocol, found)
    windows = [piece for _, piece in cut_clips(found.clips, num_frames, EVERY_FRAME)]
    config = dataclasses.replace(TINY.denoiser("d3dp"), num_frames=num_frames)
    sampling = Sampling(hypotheses=2, steps=2, eta=1.0, flip=False, seed=3, batch_size=2)
    model = Oracle(windows, torch.as_tensor(error))
    contender = Contender(name="oracle", config=config, denoiser=model)
    cut = cut_set(found, config.num_frames, named)
    result = compare([contender], cut, sampling, device=torch.device("cpu"), clock=False)
    return result.models[0].scores


@pytest.fixture
def path(tmp_path):
    return write_motionbert(tmp_path / "h36m_sh.pkl", frames=10, train_sources=TRAINED)


@pytest.fixture
def found(path):
    return source.test_clips(Source(dataset="motionbert", data=path), 4)


def test_clips_are_labelled_and_their_space_is_the_image(path, found):
    assert found.space == MOTIONBERT_IMAGE
    assert found.space.to_json() == {
        "layout": "h36m-17", "unit": "half image width", "frame": "image, root-relative",
    }  # fmt: skip
    assert found.actions == ("Directions", "Greeting", "Walking")  # in the order of the field's tables
    assert [item.action for item in found.clips] == ["Walking", "Greeting", "Directions"]
    assert [item.motion for item in found.clips] == [name[:-6] for name in MOTIONBERT_SOURCES]
    assert [item.subject for item in found.clips] == ["S9", "S9", "S11"]
    assert found.description.startswith("Human3.6M S9, S11 as MotionBERT prepared it: h36m_sh.pkl, test")
    trained = source.training_clips(Source(dataset="motionbert", data=path))
    assert trained.space == MOTIONBERT_IMAGE
    assert [item.subject for item in trained.clips] == ["S1", "S5", "S6"]
    assert all(item.clip.scale is None for item in trained.clips)
    assert "train" in trained.description


def test_windows_are_trained_on_and_not_scored(tmp_path):
    windows = [np.random.default_rng(seed).uniform(-1, 1, (9, 17, 6)).astype("float32") for seed in range(2)]
    for index, window in enumerate(windows):
        content = {"data_input": window[..., :3], "data_label": window[..., 3:]}
        (tmp_path / f"{index:08d}.pkl").write_bytes(pickle.dumps(content))
    asked = Source(dataset="motionbert", data=tmp_path)
    found = source.training_clips(asked)
    assert found.space == MOTIONBERT_IMAGE
    for item, window in zip(found.clips, windows, strict=True):
        np.testing.assert_array_equal(item.clip.pose_2d.numpy(), window[..., :2])
        target = window[..., 3:]
        np.testing.assert_allclose(item.clip.pose_3d.numpy(), target - target[:, :1], atol=1e-6)
        assert item.clip.scale is None
    assert [item.motion for item in found.clips] == ["00000000", "00000001"]
    with pytest.raises(BenchmarkError, match=r"windows have no 2.5D factor"):
        source.test_clips(asked, 4)


@pytest.mark.parametrize("protocol", ["every-frame", "d3dp", "motionbert", "paper"])
@pytest.mark.parametrize("num_frames", [4, 12])
def test_a_perfect_denoiser_has_no_error(found, protocol, num_frames):
    scores = scored(found, protocol=protocol, num_frames=num_frames)
    assert tuple(scores.over_frames) == WAYS
    for errors in scores.over_frames.values():
        assert errors.mpjpe == pytest.approx(0.0, abs=1e-3)
        assert errors.p_mpjpe == pytest.approx(0.0, abs=1e-2)


def test_an_error_in_the_image_counts_as_the_factor_of_its_frame_says(found):
    """One wrist five pixels off, in an image of 1000 px: five times the mm of a pixel, over 17 joints."""
    error = torch.zeros(17, 3)
    error[13, 1] = 5 / 500
    scores = scored(found, error)
    for action, seed in (("Walking", 0), ("Greeting", 1), ("Directions", 2)):
        _, _, factor = motionbert_poses(10, MOTIONBERT_SOURCES[seed], seed)
        [score] = [score for score in scores.actions if score.action == action]
        for way in WAYS:
            assert score.errors[way].mpjpe == pytest.approx(5 * factor.mean() / 17, rel=1e-4)


def test_poses_of_another_size_are_off_in_millimetres(found):
    """Ten percent too large: the error is a tenth of the joints' distances from the root, in mm."""
    windows = [piece for _, piece in cut_clips(found.clips, 4, EVERY_FRAME)]
    scores = scored(found, 0.1 * torch.cat([piece.pose_3d for piece in windows]))
    for seed, action in enumerate(("Walking", "Greeting", "Directions")):
        _, image, factor = motionbert_poses(10, MOTIONBERT_SOURCES[seed], seed)
        millimetres = (image - image[:, :1]) * factor[:, None, None]
        [score] = [score for score in scores.actions if score.action == action]
        expected = 0.1 * np.linalg.norm(millimetres, axis=-1).mean()
        assert score.errors["mean"].mpjpe == pytest.approx(expected, rel=1e-4)
        assert score.errors["mean"].p_mpjpe == pytest.approx(0.0, abs=1e-2)


def test_motionberts_exclusions_are_left_out_by_its_protocol_alone(found):
    assert found.clips[1].motion in MOTIONBERT_EXCLUDED
    theirs = scored(found, protocol="motionbert")
    assert [score.action for score in theirs.actions] == ["Directions", "Walking"]
    assert sum(score.frames for score in theirs.actions) == 16  # two whole windows of each of two clips
    every = scored(found)
    assert [(score.action, score.frames) for score in every.actions] == [
        ("Directions", 10), ("Greeting", 10), ("Walking", 10),
    ]  # fmt: skip


def test_jpma_takes_the_joint_that_is_nearest_in_the_image(found):
    """By loops over places; depth, which the image does not show, does not matter."""
    clip = found.clips[0].clip
    noise = torch.randn(1, 3, *clip.pose_3d.shape, generator=torch.Generator().manual_seed(1)) * 0.1
    hypotheses = clip.pose_3d + noise
    got = jpma(hypotheses, clip.pose_2d[None], clip.root[None], clip.camera)[0]
    for frame in range(10):
        for joint in range(17):
            places = hypotheses[0, :, frame, joint, :2] + clip.root[frame, :2]
            off = [float((place - clip.pose_2d[frame, joint]).norm()) for place in places]
            assert torch.equal(got[frame, joint], hypotheses[0, int(np.argmin(off)), frame, joint])


def run(script, *arguments):
    main = evaluate.main if script is evaluate else train.train
    run_command(main, script.Options, [str(argument) for argument in arguments])


def test_what_is_trained_on_the_file_is_scored_on_it(path, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(train.PRESETS, "tiny", dataclasses.replace(MICRO, batch_size=1))
    common = ("--dataset", "motionbert", "--data", path, "--device", "cpu")
    run(
        train, "d3dp", "--preset", "tiny", *common, "--out", tmp_path / "run", "--evaluate-every", 1,
        "--learning-rate", 0.01,
    )  # fmt: skip
    checkpoint, _ = load_checkpoint(tmp_path / "run" / "last.json")
    assert checkpoint.pose_space == MOTIONBERT_IMAGE
    assert checkpoint.motions == [f"{name[:-6]}@{name[-5:]}" for name in (TRAINED[0], TRAINED[2])]
    assert len(checkpoint.evaluations) == checkpoint.steps == 2
    assert (tmp_path / "run" / "loss.png").exists()
    told = capsys.readouterr().err
    assert " mm" not in told
    out = ("--out", tmp_path / "out", "--hypotheses", 1, 2, "--steps", 1, "--protocol", "motionbert")
    run(evaluate, tmp_path / "run" / "last.json", *common, *out)
    for result in read_json(tmp_path / "out" / "evaluation.json", EvaluationResult).rows:
        assert result.space == MOTIONBERT_IMAGE.to_json()
        assert set(MOTIONBERT_EXCLUDED) < set(result.protocol.excluded)
        [model] = result.models
        assert [score.action for score in model.scores.actions] == ["Directions", "Walking"]
        assert result.trained_on == []
    printed = capsys.readouterr().out
    for shown in (
        "as MotionBERT prepared it: h36m_sh.pkl, test", "scored in millimetres, each frame by its own 2.5D",
        "the poses in their images", "JPMA compares places in the image", "Protocol motionbert",
    ):  # fmt: skip
        assert shown in printed, shown


def test_losses_are_told_in_the_unit_of_the_poses(path, tmp_path):
    """An untrained network's first loss is the size of the poses in half image widths, not in metres."""
    options = train.Options(kind="d3dp", source=Source(dataset="motionbert", data=path))
    data = train.training_data(options, MICRO)
    trainer = train.Trainer(tmp_path, MICRO.denoiser("d3dp"), MICRO, data.batches, cpu=True)
    told = {}
    list(trainer.run(scalars=lambda name, value, step: told.setdefault(name, []).append(value)))
    assert "loss, half widths/1000" in told
    assert not any(name.endswith(", mm") for name in told)
    draw_loss_curve(trainer.checkpoint, tmp_path / "loss.png")
    assert (MOTIONBERT_IMAGE.error_unit, CAMERA_METRES.error_unit) == ("half widths/1000", "mm")
    drawn = data.batches.draw(torch.Generator().manual_seed(0))
    size = float(mpjpe(drawn.pose_3d, torch.zeros_like(drawn.pose_3d)).mean())
    assert 100 < size < 500
    assert float(drawn.pose_3d.abs().max()) < 1.1  # what the sampler can say


@pytest.mark.parametrize("trained_in", ["metres", "the image"])
def test_a_checkpoint_of_another_space_is_refused(trained_in, path, tmp_path, capsys):
    write_npz(tmp_path / "own.npz", ["A/one"], frames=FRAMES)
    metres = trained_in == "metres"
    write_checkpoints(tmp_path, space=CAMERA_METRES if metres else MOTIONBERT_IMAGE)
    data = ("--dataset", "motionbert", "--data", path) if metres else ("--data", tmp_path / "own.npz")
    with pytest.raises(SystemExit) as left:
        run(evaluate, tmp_path / "htp-tiny.json", *data, "--device", "cpu", "--out", tmp_path / "out")
    assert left.value.code == 2
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("error: htp-tiny.json is not made for ")
    assert told.endswith(
        ": unit half image width, expected metre; "
        "frame of reference image, root-relative, expected camera, root-relative"
        if metres
        else ": unit metre, expected half image width; "
        "frame of reference camera, root-relative, expected image, root-relative"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "dataset motionbert needs --data"),
        (
            ("--data", "nowhere.pkl"),
            "nowhere.pkl: cannot be read (No such file or directory); docs/datasets.md says",
        ),
        (("--data", "PATH", "--keypoints", "x.npz"), "dataset motionbert has no --keypoints"),
        (("--data", "PATH", "--test-data", "x.pkl"), "dataset motionbert has no --test-data"),
        (("--data", "PATH", "--synthetic-clips", "2"), "dataset motionbert has no --synthetic-clips"),
    ],
)
def test_what_cannot_be_done_ends_with_one_line(arguments, message, path, tmp_path, capsys):
    arguments = [path if argument == "PATH" else argument for argument in arguments]
    with pytest.raises(SystemExit) as left:
        run(train, "d3dp", "--preset", "tiny", "--dataset", "motionbert", *arguments, "--out", tmp_path / "r")
    assert left.value.code == 2
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert message in told
