"""What a run draws, averages and remembers, number by number."""

import dataclasses

import pytest
import torch
from training_runs import MICRO, micro_denoiser, small_motions, trainer_in

from htp_diffusion.data.motion import Motion, view
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.checkpoint import load_checkpoint
from htp_diffusion.pose.cameras import camera_at
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training.batches import step_generator
from htp_diffusion.training.member import Member
from htp_diffusion.training.noising import NoisyBatch, add_noise
from htp_diffusion.training.stack import Stack
from htp_diffusion.training.validation import VALIDATION_SEED, Validation
from htp_diffusion.training.virtual import VirtualBatches


@pytest.fixture(scope="module")
def motions():
    return small_motions()


def trained(folder, motions, evaluations=(), every=3):
    """A trainer that tells the mean loss of every third step."""
    told = iter(evaluations)
    options = {"evaluate": lambda model: next(told), "evaluate_every": 2} if evaluations else {}
    trainer = trainer_in(folder, motions, options=options)
    trainer.checkpoint = dataclasses.replace(trainer.checkpoint, loss_every=every)
    return trainer


def test_a_step_is_drawn_from_the_runs_seed_and_its_own_number(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)  # seed 5
    source = VirtualBatches(motions, MICRO.num_frames, MICRO.batch_size)
    for step in (0, 3):
        generator = torch.Generator().manual_seed(5 * 2**20 + step)
        depth_seed = int(torch.randint(2**31, (), generator=generator))
        expected = add_noise(source.draw(generator), cosine_schedule(), generator)
        drawn = trainer._draw(step)
        assert drawn.depth_seed == depth_seed
        assert all(map(torch.equal, drawn.batch.tensors(), expected.tensors()))


def test_two_seeds_share_no_step():
    first = {step_generator(seed, step).initial_seed() for seed in range(4) for step in range(1000)}
    assert len(first) == 4000


def test_the_best_is_the_best_so_far_and_not_of_the_last_two(tmp_path, motions):
    list(trained(tmp_path, motions, [5.0, 3.0, 4.0, 3.5]).run())
    best, _ = load_checkpoint(tmp_path / "best.json")
    assert (best.step, best.evaluations[-1].mpjpe) == (4, 3.0)


def test_the_losses_are_means_of_stretches_over_a_resume_too(tmp_path, motions):
    first = trained(tmp_path, motions)
    steps = first.run(save_every=4)
    losses = [next(steps)[1] for _ in range(4)]
    steps.close()
    resumed = trainer_in(tmp_path, motions)
    losses += [loss for _, loss in resumed.run()]
    assert len(losses) == 7
    assert resumed.checkpoint.losses == pytest.approx([sum(losses[:3]) / 3, sum(losses[3:6]) / 3])


def test_what_batch_norms_have_seen_is_averaged_as_the_weights_are(tmp_path, motions):
    trainer = trainer_in(tmp_path, motions)
    [name] = [name for name, _ in trainer.model.named_buffers() if name.endswith("running_mean")][:1]
    average = None
    for _ in zip(range(4), trainer.run(save_every=1000), strict=False):
        seen = trainer.model.get_buffer(name).clone()
        average = seen if average is None else 0.5 * average + 0.5 * seen
    assert not torch.allclose(average, seen)
    torch.testing.assert_close(trainer.average.module.get_buffer(name), average)


def test_a_stack_decays_the_weights_by_the_rate_and_averages_them_by_the_definition(motions):
    """At a norm of 0 nothing is left of the gradient, and AdamW does nothing but decay the weights."""
    preset = dataclasses.replace(MICRO, clip_norm=0.0, weight_decay=0.3, ema=0.9, drop_path=0.0)
    source = VirtualBatches(motions, preset.num_frames, preset.batch_size)
    generator = step_generator(0, 0)
    batch: NoisyBatch = add_noise(source.draw(generator), cosine_schedule(), generator)
    model = micro_denoiser("d3dp", preset).build()
    stack = Stack([model], preset, [batch], torch.tensor(0.1))
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    for _ in range(2):
        stack.step()
    left = 1 - 0.1 * 0.3
    share = 0.9 * (0.9 + 0.1 * left) + 0.1 * left**2
    for asked, found in ((left**2, stack.copy_of_model(0)), (share, stack.copy_of_average(0))):
        for name, value in found.named_parameters():
            torch.testing.assert_close(value.detach(), asked * before[name])


@pytest.mark.parametrize("seed", [0, 7])
def test_a_members_weights_are_those_of_its_seed(seed):
    denoiser = micro_denoiser("d3dp")
    built = Member(name="one", denoiser=denoiser, seed=seed).build().state_dict()
    torch.manual_seed(seed)
    expected = denoiser.build().state_dict()
    assert all(torch.equal(built[name], value) for name, value in expected.items())


def test_validation_weighs_frames_and_draws_from_its_own_seed(motions):
    """Two clips, of 60 frames in seven windows and of 5 in one: each frame counts once."""
    camera = camera_at(motions[0].positions[:, 0].mean(dim=0), 45.0)
    short = Motion(name="short", positions=motions[1].positions[:5], fps=60.0)
    clips = [view(motion, camera) for motion in (motions[0], short)]
    noise = []

    class Still(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pose_2d, noisy, timestep):
            noise.append(noisy)
            return torch.zeros_like(noisy)

    with torch.no_grad():
        error = Validation(clips, 9)(Still())
    far = torch.cat([clip.pose_3d for clip in clips]).norm(dim=-1)  # from the root, at which all is predicted
    assert len(far) == 65
    assert error == pytest.approx(1000 * float(far.mean()), rel=1e-5)
    assert VALIDATION_SEED == 4052
    for number, seen in enumerate(torch.cat(noise)):
        own = torch.randn(1, 9, 17, 3, generator=torch.Generator().manual_seed(4052 * 2**20 + number))
        assert torch.equal(seen, own[0].clamp(-1.1, 1.1))


def test_half_of_the_windows_are_mirrored():
    """Of somebody who holds up the left hand."""
    positions = small_motions()[0].positions[:1].clone()
    positions[:, H36M_17.index("left_wrist"), 2] = 2.5
    standing = Motion(name="waving", positions=positions.expand(9, -1, -1).contiguous(), fps=60.0)
    pose = VirtualBatches([standing], 9, 400).draw(step_generator(2, 0)).pose_3d
    left, right = (pose[:, :, H36M_17.index(f"{side}_wrist"), 1].mean(dim=1) for side in ("left", "right"))
    assert 150 <= int((right < left).sum()) <= 250  # y points down
