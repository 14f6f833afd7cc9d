"""Training: batches by seed and step, the loss, the schedule, and runs that survive being killed."""

import dataclasses
import json
import math

import pytest
import torch
from training_runs import MICRO, small_motions, trainer_in

import train
from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models import checkpoint as checkpoint_module
from htp_diffusion.models.checkpoint import load_checkpoint, load_denoiser
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.training.batches import Batch
from htp_diffusion.training.curve import draw_loss_curve
from htp_diffusion.training.trainer import Trainer, diffusion_loss, learning_rate
from htp_diffusion.training.virtual import VirtualBatches


@pytest.fixture(scope="module")
def motions():
    return small_motions()


def tensors_of(trainer):
    return load_checkpoint(trainer.path)[1]


def test_the_loss_is_the_mean_distance_in_metres_at_the_noise_of_each_window():
    schedule = cosine_schedule()
    pose = torch.rand(3, 4, 17, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    batch = Batch(torch.zeros(3, 4, 17, 2), pose)
    seen = {}

    def denoise(pose_2d, noisy, timestep):
        seen.update(noisy=noisy, timestep=timestep)
        return pose + torch.tensor([0.3, 0.0, 0.4])

    loss = diffusion_loss(denoise, batch, schedule, torch.Generator().manual_seed(2))
    assert float(loss) == pytest.approx(0.5, abs=1e-6)

    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(pose.shape, generator=generator)
    timestep = torch.randint(1000, (3,), generator=generator)
    assert torch.equal(seen["timestep"], timestep)
    for window, t in enumerate(timestep.tolist()):
        abar = float(schedule.alphas_cumprod[t])
        expected = (math.sqrt(abar) * pose[window] + math.sqrt(1 - abar) * noise[window]).clamp(-1.1, 1.1)
        torch.testing.assert_close(seen["noisy"][window], expected, rtol=1e-5, atol=1e-6)


def test_the_learning_rate_warms_up_and_decays_by_the_epoch():
    rates = [learning_rate(MICRO, step, steps_per_epoch=10) for step in (0, 1, 10, 20)]
    assert rates == pytest.approx([0.5e-3, 1e-3 * 0.5**0.1, 0.5e-3, 0.25e-3])


def test_the_gradient_is_cut_to_the_largest_norm(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions, clip_norm=0.01)
    next(iter(trainer.run(save_every=1000)))
    # After one step, Adam's first moment is a tenth of the gradient that it was given.
    moments = [trainer.optimizer.state[parameter]["exp_avg"] for parameter in trainer.model.parameters()]
    assert float(torch.cat([10 * m.flatten() for m in moments]).norm()) == pytest.approx(0.01, rel=1e-3)


@pytest.mark.unhooked
def test_a_compiled_run_is_the_same_run(tmp_path, motions, monkeypatch):
    compiler, parts = torch.compile, []

    def as_it_is(function, **options):
        parts.append(function)
        return compiler(function, **{**options, "backend": "eager"})

    monkeypatch.setattr(torch, "compile", as_it_is)
    plain = dict(trainer_in(tmp_path / "plain", motions, "htp").run(save_every=1000))
    assert not parts
    trainer = trainer_in(tmp_path / "compiled", motions, "htp", options={"compiled": True})
    compiled = dict(trainer.run(save_every=1000))
    assert len(parts) == len(trainer.model.compiled_parts())
    assert compiled == pytest.approx(plain, rel=1e-4)
    assert "_spatial" not in vars(trainer.model)  # left as it was


@pytest.mark.parametrize("kind", ["d3dp", "htp"])
def test_a_resumed_run_ends_with_the_same_weights_bit_for_bit(tmp_path, motions, kind):
    straight = trainer_in(tmp_path / "straight", motions, kind)
    losses = dict(straight.run(save_every=1000))

    killed = trainer_in(tmp_path / "killed", motions, kind)
    for step, _ in killed.run(save_every=2):
        if step == 3:  # the third step is lost and done again
            break
    resumed = trainer_in(tmp_path / "killed", motions, kind)
    assert resumed.checkpoint.step == 2
    later = dict(resumed.run(save_every=2))

    assert later == {step: losses[step] for step in later}
    expected, found = tensors_of(straight), tensors_of(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[key], found[key]) for key in expected)
    assert resumed.checkpoint.losses == straight.checkpoint.losses


def test_a_kill_between_the_two_files_leaves_the_checkpoint_before(tmp_path, motions, monkeypatch):
    trainer = trainer_in(tmp_path, motions)
    steps = trainer.run(save_every=2)
    next(steps), next(steps)
    before = load_checkpoint(trainer.path)
    monkeypatch.setattr(checkpoint_module, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        list(steps)
    after = load_checkpoint(trainer.path)
    assert after[0] == before[0]
    assert all(torch.equal(after[1][key], before[1][key]) for key in before[1])


def test_only_the_tensors_of_the_last_checkpoint_stay(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    list(trainer.run(save_every=1))
    assert {path.name for path in tmp_path.iterdir()} == {"last.json", trainer.checkpoint.tensors}


def test_a_nan_loss_stops_the_run_and_keeps_the_last_good_checkpoint(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    steps = trainer.run(save_every=1)
    next(steps)
    good = tensors_of(trainer)
    with torch.no_grad():
        trainer.model.head[1].bias.fill_(math.nan)
    with pytest.raises(BenchmarkError, match=r"loss is nan at step 2.*step 1"):
        next(steps)
    kept = tensors_of(trainer)
    assert all(torch.equal(kept[key], good[key]) for key in good)
    assert all(torch.isfinite(value).all() for value in kept.values())


@pytest.mark.parametrize("changed", [{"learning_rate": 5e-4}, {"tilt": 1.5}])
def test_a_folder_with_another_run_is_refused(changed, tmp_path, motions):
    list(trainer_in(tmp_path, motions).run())
    with pytest.raises(BenchmarkError, match="holds a run with another preset"):
        trainer_in(tmp_path, motions, **changed)


def test_a_run_goes_on_only_where_its_motions_are_seen_as_before(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    list(trainer.run())
    assert trainer.checkpoint.view == "virtual cameras, scored"
    trainer.checkpoint = dataclasses.replace(trainer.checkpoint, view="virtual cameras, wide")
    with pytest.raises(BenchmarkError, match=r"another view: 'virtual cameras, scored', asked for '.*wide'"):
        trainer._resume()
    record = json.loads(trainer.path.read_text())
    del record["view"]  # as older ones are
    trainer.path.write_text(json.dumps(record))
    trainer._resume()


def test_a_tilted_run_sees_high_noise_more_often(tmp_path, motions):
    def mean_time(tilt):
        trainer = trainer_in(tmp_path / f"{tilt}", motions, tilt=tilt)
        return float(torch.cat([trainer._draw(step).batch.timestep for step in range(100)]).float().mean())

    assert mean_time(3.0) == pytest.approx(750, abs=50)  # N (1 - 1 / (1 + tilt))
    assert mean_time(1.0) == pytest.approx(500, abs=50)


def test_a_finished_run_goes_on_with_more_epochs_as_if_asked_for_them_at_once(tmp_path, motions):
    whole = trainer_in(tmp_path / "whole", motions, options={"epochs": 3})
    losses = [loss for _, loss in whole.run()]
    steps = len(losses) // 3
    list(trainer_in(tmp_path / "longer", motions, options={"epochs": 1}).run())
    longer = trainer_in(tmp_path / "longer", motions, options={"epochs": 3})
    assert (longer.checkpoint.step, longer.checkpoint.steps) == (steps, 3 * steps)
    assert [loss for _, loss in longer.run()] == losses[steps:]
    expected, found = tensors_of(whole), tensors_of(longer)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert longer.checkpoint.losses == whole.checkpoint.losses
    assert (longer.checkpoint.step, longer.checkpoint.steps) == (3 * steps, 3 * steps)


def test_a_run_is_not_made_shorter(tmp_path, motions):
    list(trainer_in(tmp_path, motions, options={"epochs": 2}).run())
    with pytest.raises(BenchmarkError, match=r"asked for 7: a run can be made longer, not shorter"):
        trainer_in(tmp_path, motions)


def test_a_published_checkpoint_is_no_run(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    list(trainer.run())
    checkpoint_module.save_checkpoint(trainer.path, trainer.checkpoint, trainer.average.module.state_dict())
    with pytest.raises(BenchmarkError, match="a published checkpoint, which no run can go on from"):
        trainer_in(tmp_path, motions)


def test_a_damaged_checkpoint_is_named(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    list(trainer.run())
    weights = tmp_path / trainer.checkpoint.tensors
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1
    weights.write_bytes(damaged)
    with pytest.raises(BenchmarkError, match="hash differs"):
        load_checkpoint(trainer.path)
    weights.unlink()
    with pytest.raises(BenchmarkError, match="No such file"):
        load_checkpoint(trainer.path)


def test_a_checkpoint_cannot_name_a_file_elsewhere(tmp_path, motions):
    trainer = trainer_in(tmp_path / "run", motions)
    list(trainer.run())
    text = trainer.path.read_text()
    trainer.path.write_text(text.replace(trainer.checkpoint.tensors, "../" + trainer.checkpoint.tensors))
    with pytest.raises(BenchmarkError, match="outside its folder"):
        load_checkpoint(trainer.path)


def test_an_unwritable_folder_is_one_error(tmp_path, motions):
    (tmp_path / "file").write_text("")
    trainer = trainer_in(tmp_path / "other", motions)
    trainer.path = tmp_path / "file" / "last.json"
    with pytest.raises(BenchmarkError, match="cannot make the folder"):
        list(trainer.run())


def test_the_sampling_weights_are_the_running_average(tmp_path, motions):
    """With decay 1/2 the average after each step is half the average before and half the new weights."""
    trainer = trainer_in(tmp_path, motions, "d3dp")
    steps = trainer.run(save_every=1000)
    average = None
    for _ in range(4):
        next(steps)
        weight = trainer.model.head[1].weight.detach().clone()
        average = weight if average is None else 0.5 * average + 0.5 * weight
    torch.testing.assert_close(trainer.average.module.head[1].weight, average)
    list(steps)
    checkpoint, denoiser = load_denoiser(trainer.path)
    assert checkpoint.denoiser == trainer.checkpoint.denoiser
    assert torch.equal(denoiser.head[1].weight, trainer.average.module.head[1].weight)


def test_training_learns(tmp_path, motions):
    preset, source = dataclasses.replace(MICRO, decay=1.0), VirtualBatches(motions, MICRO.num_frames, 2)
    trainer = Trainer(tmp_path, MICRO.denoiser("d3dp"), preset, source, epochs=12, cpu=True)
    losses = [loss for _, loss in trainer.run(save_every=1000)]
    assert sum(losses[-8:]) < 0.8 * sum(losses[:8])


def test_weights_decay_by_the_rate_whatever_the_gradient(tmp_path, motions):
    """At a norm of 0 nothing is left of the gradient, and AdamW does nothing but decay the weights."""
    trainer = trainer_in(tmp_path, motions, "d3dp", clip_norm=0.0)
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    next(trainer.run())
    decayed = 1 - learning_rate(MICRO, 0, trainer.source.steps_per_epoch) * MICRO.weight_decay
    for parameter, value in zip(trainer.model.parameters(), before, strict=True):
        torch.testing.assert_close(parameter, value * decayed)


def test_the_loss_curve_is_a_picture(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    list(trainer.run())
    draw_loss_curve(trainer.checkpoint, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_the_paper_preset_is_that_of_section_4():
    paper = PRESETS["paper"]
    assert (paper.num_frames, paper.dim, paper.depth, paper.batch_size) == (243, 512, 8, 4)
    assert (paper.epochs, paper.decay, paper.weight_decay, paper.learning_rate) == (150, 0.993, 0.1, 6e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--save-every", "0"], "save-every expects at least 1, got 0"),
        (["--epochs", "-1"], "epochs expects at least 1, got -1"),
        (["--batch-size", "0"], "batch-size expects at least 1, got 0"),
        (["--evaluate-every", "-5"], "evaluate-every expects at least 0, got -5"),
        (["--learning-rate", "0"], "learning-rate expects a number above 0, got 0"),
        (["--decay", "nan"], "decay expects a number above 0, got nan"),
        (["--synthetic-clips", "0"], "need motions at least as long, got none"),
        (["--dataset", "h36m", "--data", "a.npz"], "dataset h36m needs --keypoints"),
        (["--num-sft-layers", "1"], "--num-sft-layers: an option of HTP; D3DP prunes nothing"),
        (["--out", "FILE"], "cannot make the folder"),
        (["--data", "nowhere.npz"], "nowhere.npz: no such file"),
    ],
)
def test_what_cannot_be_trained_is_told_before_the_first_step(tmp_path, capsys, arguments, message):
    (tmp_path / "file").write_text("")
    words = ["--preset", "tiny", "--synthetic-clips", "1", "--device", "cpu", "--out", str(tmp_path / "run")]
    words += [str(tmp_path / "file") if word == "FILE" else word for word in arguments]
    with pytest.raises(SystemExit) as left:
        run_command(train.train, train.Options, ["d3dp", *words])
    assert left.value.code == 2
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("error: ")
    assert message in told
    assert not (tmp_path / "run").exists()
