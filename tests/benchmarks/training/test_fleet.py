"""A fleet trains its members as each would be alone, resumes bit for bit, and looks at its condition."""

import dataclasses
import time

import pytest
import torch
from torch import nn
from training_runs import MICRO, micro_denoiser, small_motions

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import windows
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import virtual_views
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.checkpoint import load_checkpoint, load_denoiser, save_checkpoint
from htp_diffusion.studies.claims import predict
from htp_diffusion.training import fleet as fleet_module
from htp_diffusion.training.batches import step_generator
from htp_diffusion.training.fit import cosine_rate
from htp_diffusion.training.fleet import Fleet
from htp_diffusion.training.member import Member
from htp_diffusion.training.noising import add_noise, denoising_loss
from htp_diffusion.training.variety import VARIETIES
from htp_diffusion.training.virtual import VirtualBatches

CPU = torch.device("cpu")
PRESET = dataclasses.replace(MICRO, drop_path=0.0)
TOGETHER = 8  # steps whose batches are drawn at once


@pytest.fixture(scope="module")
def motions():
    return small_motions()


def member(name, kind="d3dp", **options):
    return Member(name=name, denoiser=micro_denoiser(kind, PRESET), **options)


def fleet(folder, members, motions, preset=PRESET):
    return Fleet(folder, members, preset, motions, device=CPU)


def weights(one):
    return [learner.state() for learner in one.learners]


def assert_equal(states, others):
    for state, other in zip(states, others, strict=True):
        assert state.keys() == other.keys()
        assert all(torch.equal(state[key], other[key]) for key in state)


def alone(asked, motions, steps):
    """The same training written out: one model, a rate for each step, an average by its definition."""
    model = asked.build().train()
    average = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=PRESET.weight_decay, fused=True)
    source = VirtualBatches(motions, PRESET.num_frames, PRESET.batch_size, VARIETIES[asked.variety])
    for step in range(steps):
        if step % TOGETHER == 0:
            generator = step_generator(asked.seed, step // TOGETHER)
            block = add_noise(source.draw(generator, TOGETHER), cosine_schedule(), generator, asked.tilt)
        rate = cosine_rate(PRESET.learning_rate, step, warmup=PRESET.warmup_steps, steps=steps)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        denoising_loss(model, block.part(step % TOGETHER, TOGETHER)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), PRESET.clip_norm)
        optimizer.step()
        for key, value in model.state_dict().items():
            if value.is_floating_point():
                average[key] = PRESET.ema * average[key] + (1 - PRESET.ema) * value
    return model.state_dict(), average


@pytest.mark.parametrize(
    "asked",
    [
        member("plain", seed=3),
        member("tilted", tilt=2.0),
        member("wide", "htp", variety="wide"),
        member("lifter", "htp-mixste"),
    ],
    ids=lambda one: one.name,
)
def test_a_member_is_trained_as_it_would_be_alone(tmp_path, motions, asked):
    beside = fleet(tmp_path, [member("other", seed=1), asked], motions)
    beside.run(10)
    model, average = alone(asked, motions, 10)
    learner = beside.learners[1]
    pose = torch.randn(4, PRESET.num_frames, 17, 5)
    inputs = (pose[..., :2], pose[..., 2:], torch.tensor([0, 300, 600, 999]))
    # How far training moved the poses, not weights: where a gradient is 0, as that of a key's bias, Adam
    # scales up what rounding leaves.
    with torch.no_grad():
        before = asked.build().eval()(*inputs)
        for found, expected in ((learner.copy_of_model(), model), (learner.copy_of_average(), average)):
            twin = asked.build()
            twin.load_state_dict(expected)
            poses = twin.eval()(*inputs)
            moved, apart = (poses - before).abs().mean(), (found.eval()(*inputs) - poses).abs().mean()
            assert float(apart) < 0.01 * float(moved)


def test_members_of_one_seed_see_the_same_batches_and_others_other_ones(tmp_path, motions):
    trained = fleet(
        tmp_path,
        [member("one"), member("two", "htp"), member("three", seed=1), member("four", tilt=2.0)],
        motions,
    )
    one, two, three, four = (learner.batch for learner in trained.learners)
    assert one is two
    for other in (three, four):
        assert not torch.equal(one.noisy, other.noisy)


@pytest.mark.parametrize("preset", [PRESET, MICRO], ids=["plain", "stochastic depth"])
def test_a_stopped_fleet_goes_on_bit_for_bit(tmp_path, motions, preset):
    members = [
        Member(name="one", denoiser=micro_denoiser("d3dp", preset)),
        Member(name="two", denoiser=micro_denoiser("htp", preset), variety="wide"),
    ]
    whole = fleet(tmp_path / "whole", members, motions, preset)
    assert whole.run(9)
    first = fleet(tmp_path / "parts", members, motions, preset)
    assert not first.run(9, deadline=time.monotonic() - 1.0)  # over before it began: one step
    assert first.step == 1
    second = fleet(tmp_path / "parts", members, motions, preset)
    assert second.step == 1
    assert second.run(9)
    assert_equal(weights(whole), weights(second))
    assert torch.equal(whole.losses, second.losses)


def test_a_fleet_that_was_killed_while_it_was_saved_goes_on_bit_for_bit(tmp_path, motions, monkeypatch):
    members = [member("one"), member("two", "htp"), member("three", seed=1)]
    whole = fleet(tmp_path / "whole", members, motions)
    whole.run(12)

    def killed_at(which):
        def save(path, *rest):
            if path.parent.name == which:
                raise KeyboardInterrupt
            return save_checkpoint(path, *rest)

        stopped = fleet(tmp_path / "parts", members, motions)
        with monkeypatch.context() as patched:
            patched.setattr(fleet_module, "save_checkpoint", save)
            with pytest.raises(KeyboardInterrupt):
                stopped.run(12, save_every=0.0)

    killed_at("two")  # at step 1, of which only the first member knows
    assert not (tmp_path / "parts" / "two").exists()
    assert not fleet(tmp_path / "parts", members, motions).run(12, deadline=time.monotonic() - 1.0)
    assert not fleet(tmp_path / "parts", members, motions).run(12, deadline=time.monotonic() - 1.0)
    killed_at("three")  # at step 3
    last = fleet(tmp_path / "parts", members, motions)
    assert (last.step, load_checkpoint(tmp_path / "parts" / "two" / "last.json")[0].step) == (2, 3)
    assert last.steps_done == [3, 3, 2]
    with pytest.raises(BenchmarkError, match=r"a run of 12 steps, .* asked for 13: ask for 12"):
        last.run(13)
    assert last.seconds_per_step() > 0
    last.run(12)
    assert_equal(weights(whole), weights(last))
    assert torch.equal(whole.losses, last.losses)
    for one in members:
        saved = [load_checkpoint(tmp_path / run / one.name / "last.json")[0] for run in ("whole", "parts")]
        assert saved[0].losses == saved[1].losses


def test_timing_changes_nothing(tmp_path, motions):
    timed, plain = (fleet(tmp_path / name, [member("one", "htp")], motions) for name in "ab")
    assert timed.seconds_per_step() > 0
    for trained in (timed, plain):
        trained.run(3)
    assert_equal(weights(timed), weights(plain))


def test_the_checkpoints_are_those_of_a_run(tmp_path, motions):
    trained = fleet(
        tmp_path, [member("one", "htp", seed=2), member("row", "htp", variant="baseline")], motions
    )
    trained.run(4)
    for asked, learner in zip(trained.members, trained.learners, strict=True):
        checkpoint, denoiser = load_denoiser(tmp_path / asked.name / "last.json")
        assert (checkpoint.step, checkpoint.seed, checkpoint.variant) == (4, asked.seed, asked.variant)
        expected = learner.copy_of_average().state_dict()
        assert all(torch.equal(value, expected[key]) for key, value in denoiser.state_dict().items())
        assert checkpoint.losses[-1] == pytest.approx(float(learner.loss) * 1000)


def test_a_fleet_can_begin_with_the_weights_of_another_on_shorter_windows(tmp_path, motions):
    first = fleet(tmp_path / "first", [member("one")], motions)
    first.run(3)
    start = tmp_path / "first" / "one" / "last.json"
    second = fleet(tmp_path / "second", [member("one", start=start, window=5)], motions)
    assert second.learners[0].batch.pose_2d.shape[1] == 5
    expected = first.learners[0].copy_of_average().state_dict()
    found = second.learners[0].copy_of_model().state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in found.items())
    with pytest.raises(BenchmarkError, match=r"cannot be the start of two: \d+ weights are in one "):
        fleet(tmp_path / "third", [member("two", "htp", start=start)], motions)
    second.run(1)
    assert fleet(tmp_path / "second", [member("one", start=start, window=5)], motions).step == 1
    with pytest.raises(BenchmarkError, match="was trained otherwise"):
        fleet(tmp_path / "second", [member("one", window=5)], motions)


def test_what_cannot_be_trained_is_refused(tmp_path, motions):
    with pytest.raises(BenchmarkError, match="members of different names"):
        fleet(tmp_path, [member("one"), member("one")], motions)
    with pytest.raises(BenchmarkError, match="members of different names"):
        fleet(tmp_path, [], motions)
    fleet(tmp_path / "a", [member("one")], motions).run(2)
    with pytest.raises(BenchmarkError, match="was trained otherwise"):
        fleet(tmp_path / "a", [member("one", seed=1)], motions)
    with pytest.raises(BenchmarkError, match="was trained otherwise"):
        fleet(tmp_path / "a", [member("one", variety="wide")], motions)
    with pytest.raises(BenchmarkError, match="holds a finished run of one alone; name another folder"):
        fleet(tmp_path / "a", [member("one"), member("two")], motions)


def test_a_loss_that_is_not_finite_is_not_saved(tmp_path, motions):
    preset = dataclasses.replace(PRESET, learning_rate=1e30, clip_norm=1e30)
    trained = fleet(tmp_path, [member("one")], motions, preset)
    with pytest.raises(BenchmarkError, match="the loss of one is not finite; try a lower learning rate"):
        trained.run(8)
    assert not (tmp_path / "one" / "last.json").exists()


def test_every_step_is_in_the_checkpoint(tmp_path, motions):
    trained = fleet(tmp_path, [member("one")], motions)
    trained.run(5)
    _, tensors = load_checkpoint(tmp_path / "one" / "last.json")
    assert tensors["stretch"].shape == (5,)


def test_every_denoiser_uses_its_condition_at_the_highest_noise(tmp_path):
    """A short training tells a model that loses the 2D pose in the noise from one that reads it.

    At t = 999 a denoiser knows nothing but its condition, as a lifter does: after the same steps on the same
    batches it is about as good as one. (With a graph convolution over the 2D and the noisy 3D pose together,
    the error here is 1.33 times the lifter's.)
    """
    preset = dataclasses.replace(
        MICRO, drop_path=0.0, batch_size=16, ema=0.95, learning_rate=3e-3, warmup_steps=10
    )
    denoisers = {kind: micro_denoiser(kind, preset) for kind in ("d3dp", "htp", "mixste")}
    members = [
        *(Member(name=kind, denoiser=denoiser) for kind, denoiser in denoisers.items()),
        Member(name="baseline", denoiser=denoisers["htp"], variant="baseline"),
    ]
    trained = fleet(tmp_path, members, synthetic_motions(seed=3, count=3, frames=120), preset)
    trained.run(120)
    unseen = virtual_views(synthetic_motions(seed=8, count=3, frames=60), 2, seed=5)
    clips = [windows(clip, preset.num_frames) for clip in unseen]
    found = {
        member.name: predict(learner.copy_of_average(), clips, CPU)
        for member, learner in zip(trained.members, trained.learners, strict=True)
    }
    lifted = found.pop("mixste").mpjpe[-1]
    for name, prediction in found.items():
        assert prediction.mpjpe[-1] < 1.2 * lifted, name
        assert prediction.mpjpe[-1] < prediction.shuffled, name


@pytest.mark.parametrize("ended", [True, False], ids=["ended", "stopped"])
@pytest.mark.parametrize("steps", [2, 6])
def test_a_run_keeps_the_number_of_steps_over_which_its_learning_rate_falls(tmp_path, motions, steps, ended):
    first = fleet(tmp_path, [member("one")], motions)
    assert first.planned is None
    first.run(4, deadline=None if ended else time.monotonic())
    again = fleet(tmp_path, [member("one")], motions)
    assert again.planned == first.planned == 4
    with pytest.raises(BenchmarkError, match=f"a run of 4 steps, .* asked for {steps}: ask for 4 .* folder"):
        again.run(steps)
    assert load_checkpoint(tmp_path / "one" / "last.json")[0].step == (4 if ended else 1)
    assert again.run(4)


def test_losses_come_back_from_disk_bit_for_bit(tmp_path, motions):
    """In float32 a metre's loss times 1000, and that by 1000, is another number in one of ten cases."""
    saved = fleet(tmp_path, [member("one")], motions)
    saved.step, saved.losses = 200, torch.rand(1, 200, generator=torch.Generator().manual_seed(0))
    saved.save(200)
    assert torch.equal(fleet(tmp_path, [member("one")], motions).losses, saved.losses)


def test_a_deadline_ends_a_run_and_its_steps_are_told(tmp_path, motions):
    stopped = fleet(tmp_path, [member("one"), member("two")], motions)
    assert not stopped.run(6, deadline=time.monotonic())
    assert (stopped.step, stopped.steps_done) == (1, [1, 1])
