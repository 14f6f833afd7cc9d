"""Evaluation during a run: what is held out, the best checkpoint, scalars; and disks that fill up."""

import dataclasses
import errno
import sys
from types import ModuleType

import pytest
import torch
from training_runs import evaluated, small_motions, trainer_in

from htp_diffusion.base import results as schema
from htp_diffusion.base import tensors as tensors_module
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import windows
from htp_diffusion.data.virtual_views import virtual_views
from htp_diffusion.models import checkpoint as checkpoint_module
from htp_diffusion.models.checkpoint import Evaluation, load_checkpoint, load_denoiser, save_checkpoint
from htp_diffusion.training.curve import draw_loss_curve
from htp_diffusion.training.scalars import tensorboard_scalars
from htp_diffusion.training.validation import Validation, one_view_each


@pytest.fixture(scope="module")
def motions():
    return small_motions()


def scripted(errors):
    """An evaluation that gives these errors, one after the other."""
    told = iter(errors)
    return {"evaluate": lambda model: next(told), "evaluate_every": 2}


def test_validation_is_the_mean_error_over_every_frame_once(motions):
    """A denoiser that is wrong by its window's number: the error is the mean of that number over frames."""
    clips = one_view_each(virtual_views(motions))
    cut = [windows(clip, 9) for clip in clips]
    targets = torch.cat([clip.pose_3d for clip in cut])

    class Wrong(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.at = 0

        def forward(self, pose_2d, noisy, timestep):
            assert torch.equal(timestep, torch.full_like(timestep, 999))
            number = torch.arange(self.at, self.at + len(pose_2d)).clamp(max=len(targets) - 1)
            self.at += len(pose_2d)
            offset = 0.001 * number[:, None, None] * torch.tensor([0.6, 0.0, 0.8])
            return targets[number] + offset[:, None]

    validation = Validation(clips, 9)
    with torch.no_grad():
        error = validation(Wrong())
    per_frame = [number for clip in (0, 1) for number in [*range(7 * clip, 7 * clip + 7)] for _ in range(9)]
    weights = [float(flag) for clip in cut for flag in clip.scored.flatten()]
    expected = sum(map(float.__mul__, map(float, per_frame), weights)) / 120
    assert error == pytest.approx(expected, rel=1e-5)


def test_validation_repeats_itself_and_leaves_the_training_alone(tmp_path, motions):
    plain = trainer_in(tmp_path / "plain", motions, "d3dp")
    looked_at = trainer_in(tmp_path / "looked_at", motions, "d3dp", options=evaluated())
    assert list(plain.run()) == list(looked_at.run())
    evaluations = looked_at.checkpoint.evaluations
    assert [evaluation.step for evaluation in evaluations] == [2, 4, 6, 7]
    _, denoiser = load_denoiser(looked_at.path)
    with torch.no_grad():
        assert evaluated()["evaluate"](denoiser) == evaluations[-1].mpjpe


def test_the_best_weights_are_kept_and_a_resumed_run_goes_on_with_the_history(tmp_path, motions):
    first = trainer_in(tmp_path, motions, options=scripted([5.0, 3.0]))
    steps = first.run(save_every=1)
    for _ in range(4):
        next(steps)
    steps.close()
    best = load_checkpoint(tmp_path / "best.json")
    resumed = trainer_in(tmp_path, motions, options=scripted([3.0, 4.0]))
    list(resumed.run())
    history = [(evaluation.step, evaluation.mpjpe) for evaluation in resumed.checkpoint.evaluations]
    assert history == [(2, 5.0), (4, 3.0), (6, 3.0), (7, 4.0)]
    kept, tensors = load_checkpoint(tmp_path / "best.json")
    assert (kept, kept.step) == (best[0], 4)
    best_denoiser = load_denoiser(tmp_path / "best.json")[1]
    assert tensors.keys() == best_denoiser.state_dict().keys()
    assert best_denoiser.head[1].weight.equal(tensors["head.1.weight"])


@pytest.mark.parametrize("evaluations", [[], [4.0, 3.0, 2.0, 1.0]])
def test_the_curve_shows_the_errors_if_there_are_any(tmp_path, motions, evaluations):
    trainer = trainer_in(tmp_path, motions, options=scripted(evaluations) if evaluations else {})
    list(trainer.run())
    draw_loss_curve(trainer.checkpoint, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(BenchmarkError, match="cannot write"):
        draw_loss_curve(trainer.checkpoint, tmp_path / "nowhere" / "loss.png")


def test_a_point_of_the_curve_stands_at_the_end_of_its_stretch(tmp_path, motions, monkeypatch):
    trainer = trainer_in(tmp_path, motions)
    trainer.checkpoint = dataclasses.replace(
        trainer.checkpoint, losses=[9.0, 8.0, 6.0], loss_every=2, steps=7, step=6,
        evaluations=[Evaluation(step=4, mpjpe=5.0)],
    )  # fmt: skip
    drawn = []
    monkeypatch.setattr("htp_diffusion.training.curve.save_png", lambda figure, _: drawn.append(figure))
    draw_loss_curve(trainer.checkpoint, tmp_path / "loss.png")
    [axes] = drawn[0].axes
    training, held_out = (line.get_xydata().tolist() for line in axes.lines)
    assert training == [[2.0, 9.0], [4.0, 8.0], [6.0, 6.0]]
    assert held_out == [[4.0, 5.0]]


def test_scalars_of_every_step(tmp_path, motions):
    told = {}
    trainer = trainer_in(tmp_path, motions, options=scripted([5.0, 4.0, 3.0, 2.0]))
    losses = dict(
        trainer.run(scalars=lambda name, value, step: told.setdefault(name, {}).update({step: value}))
    )
    assert told["loss, mm"] == losses
    assert told["evaluation error, mm"] == {2: 5.0, 4: 4.0, 6: 3.0, 7: 2.0}
    assert told["learning rate"][1] == pytest.approx(0.5e-3)  # the first of two steps of warm-up
    for name in ("gradient norm", "windows per second"):
        assert told[name].keys() == losses.keys()
        assert min(told[name].values()) > 0


def test_without_tensorboard_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with (
        pytest.raises(BenchmarkError, match="pip install tensorboard"),
        tensorboard_scalars(tmp_path, first_step=1),
    ):
        pass


def test_tensorboard_forgets_the_steps_that_are_done_again(tmp_path, monkeypatch):
    """A stand-in for its writer, as the package is optional."""
    seen = []

    class Writer:
        def __init__(self, folder, purge_step):
            seen.append((folder, purge_step))

        def __enter__(self):
            return self

        def __exit__(self, *_):
            seen.append("closed")

        def add_scalar(self, *scalar):
            seen.append(scalar)

    package = ModuleType("torch.utils.tensorboard")
    package.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", package)
    with tensorboard_scalars(tmp_path, first_step=41) as add_scalar:
        add_scalar("loss, mm", 2.5, 41)
    assert seen == [(str(tmp_path), 41), ("loss, mm", 2.5, 41), "closed"]


@pytest.mark.parametrize("full", ["tensors", "json"])
def test_a_full_disk_is_one_error_and_the_run_goes_on_once_there_is_space(
    tmp_path, motions, monkeypatch, full
):
    straight = trainer_in(tmp_path / "straight", motions)
    list(straight.run())
    trainer = trainer_in(tmp_path / "full", motions)
    steps = trainer.run(save_every=2)
    next(steps), next(steps)
    before = load_checkpoint(trainer.path)

    def no_space(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if full == "tensors":
            patched.setattr(tensors_module, "save_file", no_space)
        else:
            patched.setattr(schema.Path, "write_text", no_space)
        with pytest.raises(BenchmarkError, match=r"cannot write .*No space left on device"):
            list(steps)
    after = load_checkpoint(trainer.path)
    assert after[0] == before[0]
    assert all(torch.equal(after[1][key], before[1][key]) for key in before[1])
    resumed = trainer_in(tmp_path / "full", motions)
    list(resumed.run(save_every=2))
    expected, found = load_checkpoint(straight.path)[1], load_checkpoint(resumed.path)[1]
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert len(list((tmp_path / "full").iterdir())) == 2


def test_a_step_saved_again_leaves_the_file_that_is_still_named(tmp_path, motions, monkeypatch):
    trainer = trainer_in(tmp_path, motions)
    list(trainer.run())
    before = load_checkpoint(trainer.path)
    changed = {key: value + 1 for key, value in before[1].items()}
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_module, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(trainer.path, before[0], changed)
    assert load_checkpoint(trainer.path)[0] == before[0]
    for _ in range(2):  # what the kill left goes at the second save after it
        written = save_checkpoint(trainer.path, before[0], changed)
    assert torch.equal(load_checkpoint(trainer.path)[1]["ema_steps"], changed["ema_steps"])
    assert {path.name for path in tmp_path.iterdir()} == {"last.json", written.tensors}
