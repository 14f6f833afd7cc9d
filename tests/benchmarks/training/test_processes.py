"""Training in several processes, in micro-batches and in half precision gives what one process gives."""

import json
import subprocess
import sys

import pytest
import torch
import training_runs
from safetensors.torch import load_file
from training_runs import KILLS, SHARED, evaluated, norm_inputs, small_motions, small_norm, trainer_in

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.folder_lock import locked
from htp_diffusion.base.results import read_json
from htp_diffusion.models.checkpoint import Checkpoint, load_checkpoint
from htp_diffusion.training.fleet import Fleet
from htp_diffusion.training.member import Member
from htp_diffusion.training.processes import parts_of_a_step, start_accelerator
from htp_diffusion.training.shared_norm import SharedBatchNorm, share_batch_norms
from htp_diffusion.training.state import restore_run, run_state


@pytest.fixture(scope="module")
def motions():
    return small_motions()


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The folder of the runs that took processes of their own."""
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, training_runs.__file__, str(folder)]
    path = ":".join(entry for entry in sys.path if entry)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=500, env={"PATH": "", "PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory, motions):
    """Losses and weights of one process with the whole batch, by kind."""

    def run(kind):
        trainer = trainer_in(tmp_path_factory.mktemp("alone"), motions, kind, **SHARED)
        losses = [loss for _, loss in trainer.run()]
        return losses, {name: value.detach() for name, value in trainer.model.state_dict().items()}

    return {kind: run(kind) for kind in ("d3dp", "htp")}


# Their gradient is 0 but for rounding (a softmax does not see what is added to every key, nor a batch norm
# what is added to every row), which the optimizer turns into steps of full size.
UNSEEN = ("attn.qkv.bias", "recovery.k.bias", "convolution.bias", "norm.running_mean")


def assert_alike(found, expected):
    """Equal up to the order of sums; what the loss does not see, up to two runs of three steps of 1e-3."""
    (losses, weights), (expected_losses, expected_weights) = found, expected
    assert losses == pytest.approx(expected_losses, rel=1e-5)
    assert weights.keys() == expected_weights.keys()
    for name, value in expected_weights.items():
        atol = 6e-3 if name.endswith(UNSEEN) else 1e-5
        torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=atol, msg=name)


def weights_in(folder):
    tensors = load_checkpoint(folder / "last.json")[1]
    return {name.removeprefix("model."): tensors[name] for name in tensors if name.startswith("model.")}


@pytest.mark.parametrize("run", ["htp-1", "d3dp-2"])
def test_two_processes_train_as_one_does(elsewhere, alone, run):
    """Two gloo processes: whole shares and the batch norms of HTP, and two micro-batches each."""
    losses = [json.loads((elsewhere / f"{run}-losses{rank}.json").read_text()) for rank in range(2)]
    assert losses[0] == losses[1]
    assert_alike((losses[0], weights_in(elsewhere / run)), alone[run.split("-")[0]])


@pytest.mark.parametrize("run", ["htp-1", "d3dp-2"])
def test_stochastic_depth_is_drawn_anew_in_each_process(elsewhere, run):
    """Each seeds the draws of a step: with one seed for all, windows of different processes drop alike."""
    first, second = (json.loads((elsewhere / f"{run}-seed{rank}.json").read_text()) for rank in range(2))
    assert second == first + 1


def test_one_process_alone_writes(elsewhere):
    assert sorted(path.name for path in (elsewhere / "htp-1").iterdir()) == [
        load_checkpoint(elsewhere / "htp-1" / "last.json")[0].tensors,
        "last.json",
    ]


def test_a_shared_batch_norm_is_one_over_all_rows(elsewhere):
    norm, (x, upstream) = small_norm(), norm_inputs()
    x.requires_grad_()
    y = norm(x)
    y.backward(upstream)
    halves = [load_file(elsewhere / f"norm{rank}.safetensors") for rank in range(2)]
    torch.testing.assert_close(torch.cat([half["y"] for half in halves]), y.detach())
    torch.testing.assert_close(torch.cat([half["x.grad"] for half in halves]), x.grad)
    torch.testing.assert_close(halves[0]["weight.grad"] + halves[1]["weight.grad"], norm.weight.grad)
    for half in halves:
        for name, buffer in norm.named_buffers():
            torch.testing.assert_close(half[name], buffer)


def test_sharing_keeps_the_keys_and_the_evaluation():
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), small_norm()).eval()
    x, keys = torch.rand(4, 3), list(model.state_dict())
    before = model(x)
    share_batch_norms(model)
    assert isinstance(model[1], SharedBatchNorm)
    assert list(model.state_dict()) == keys
    assert torch.equal(model(x), before)


def test_micro_batches_make_the_step_of_the_whole_batch(tmp_path, motions, alone):
    trainer = trainer_in(tmp_path, motions, "d3dp", options={"accumulate": 4}, **SHARED)
    losses = [loss for _, loss in trainer.run()]
    assert_alike((losses, trainer.model.state_dict()), alone["d3dp"])


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((12, 5, 1), "12 windows cannot be shared evenly by 5 processes with 1 micro-batch each"),
        ((4, 1, 3), "by 1 process with 3 micro-batches each: take a multiple of 3"),
        ((4, 1, 0), "accumulate expects at least 1 micro-batch, got 0"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(sizes, message):
    with pytest.raises(BenchmarkError, match=message):
        parts_of_a_step(*sizes)


def test_bfloat16_trains_on_a_cpu(elsewhere, tmp_path, motions):
    """The first loss is that of float32 to the digits that bfloat16 has, and the error falls.

    Of D3DP, which selects nothing: rounding that tips a selection moves the loss further.
    """
    losses = json.loads((elsewhere / "bf16-losses.json").read_text())
    exact = [loss for _, loss in trainer_in(tmp_path, motions, "d3dp", drop_path=0.0).run()]
    assert losses[0] == pytest.approx(exact[0], rel=1e-2)
    assert losses[0] != exact[0]
    assert losses[-1] < losses[0]


def test_float16_is_not_silently_something_else():
    with pytest.raises(BenchmarkError, match="precision fp16 needs a GPU"):
        start_accelerator(training_runs.micro_denoiser("d3dp"), "fp16", cpu=True)


def test_the_scale_of_float16_survives(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    scaler, fresh = (torch.amp.GradScaler("cpu", init_scale=scale) for scale in (512.0, 65536.0))
    scaler.load_state_dict(scaler.state_dict() | {"_growth_tracker": 7})
    parts = trainer.model, trainer.average, trainer.optimizer
    restore_run(run_state(*parts, scaler), *parts, fresh)
    assert fresh.state_dict() == scaler.state_dict()


def test_a_run_that_another_process_trains_is_refused(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    with locked(tmp_path), pytest.raises(BenchmarkError, match="another process is training in"):
        list(trainer.run())
    assert list(tmp_path.iterdir()) == []
    assert len(list(trainer.run())) == trainer.checkpoint.steps
    member = Member(name="one", denoiser=training_runs.micro_denoiser("d3dp"))
    fleet = Fleet(tmp_path, [member], training_runs.MICRO, motions, device=torch.device("cpu"))
    with locked(tmp_path), pytest.raises(BenchmarkError, match="another process is training in"):
        fleet.run(3)


@pytest.fixture(scope="module")
def straight(tmp_path_factory, motions):
    """Losses by step and the folder of the run that nobody kills."""
    folder = tmp_path_factory.mktemp("straight")
    return dict(trainer_in(folder, motions, options=evaluated()).run(save_every=2)), folder


@pytest.mark.parametrize("how", KILLS)
def test_a_run_killed_anywhere_resumes_to_the_same_end(elsewhere, straight, motions, how):
    """HTP's run, which has all that D3DP's has, and batch norms."""
    folder, (losses, at) = elsewhere / how, straight
    assert load_checkpoint(folder / "last.json")[0].step == 2  # whole, and what is missing is done again
    if how == "in the tensors":
        assert list(folder.glob(".*.partial"))
    resumed = trainer_in(folder, motions, options=evaluated())
    assert dict(resumed.run(save_every=2)) == {step: losses[step] for step in range(3, 8)}
    for name in ("last.json", "best.json"):
        (expected, weights), (found, tensors) = (load_checkpoint(run / name) for run in (at, folder))
        assert (found.step, found.losses, found.evaluations) == (
            expected.step,
            expected.losses,
            expected.evaluations,
        )
        assert weights.keys() == tensors.keys()
        assert all(torch.equal(tensors[key], weights[key]) for key in weights)
    left = {path.name for path in folder.iterdir()}
    named = {load_checkpoint(folder / name)[0].tensors for name in ("last.json", "best.json")}
    assert left == named | {"last.json", "best.json"}


def test_the_command_resumes_after_a_kill(elsewhere):
    """A killed process leaves a checkpoint; the same command ends the run."""
    killed = read_json(elsewhere / "killed.json", Checkpoint)
    ended, _ = load_checkpoint(elsewhere / "run" / "last.json")
    assert ended.step == ended.steps >= killed.step >= 1
    assert (elsewhere / "run" / "loss.png").exists()
    if killed.step < killed.steps:
        assert f"resuming run at step {killed.step}" in (elsewhere / "second.txt").read_text()
