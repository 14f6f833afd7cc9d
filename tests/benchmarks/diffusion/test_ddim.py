import math

import pytest
import torch
from diffusers import DDIMScheduler
from drawing import drawn, drawn_steps
from hypothesis import given
from hypothesis import strategies as st
from networks_2d import Recorder, equivariant, flip_joints, lift, lopsided, poses_2d, seeded

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.ddim import sample_steps, step_weights
from htp_diffusion.diffusion.schedule import cosine_schedule

SCHEDULE = cosine_schedule()
EVERY_STEP_COUNT = range(1, 51)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_perfect_denoiser_returns_the_clean_pose_at_every_step_count(eta):
    pose_2d = poses_2d(dtype=torch.float32)
    clean = lift(pose_2d, None, None)[:, None].expand(-1, 3, -1, -1, -1)
    for steps in EVERY_STEP_COUNT:
        result = drawn(
            lift,
            pose_2d,
            schedule=SCHEDULE,
            steps=steps,
            hypotheses=3,
            eta=eta,
            generator=seeded(),
            flip=flip_joints,
        )
        torch.testing.assert_close(result, clean, rtol=0, atol=1e-6)


def test_perfect_denoiser_at_eta_0_keeps_its_noise():
    # With x0 right from the start, the implied noise is the first one at all times: x_t has a closed form.
    pose_2d = poses_2d()
    clean = lift(pose_2d, None, None)
    recorder = Recorder(lift)
    drawn(recorder, pose_2d, schedule=SCHEDULE, steps=7, eta=0.0, generator=seeded())
    first = torch.randn(clean.shape, generator=seeded(), dtype=torch.float64)
    alpha = SCHEDULE.alpha_cumprod(999)
    noise = (first - math.sqrt(alpha) * clean) / math.sqrt(1 - alpha)
    for _, noisy, timestep in recorder.calls:
        expected = SCHEDULE.add_noise(clean, timestep, noise).clamp(-1.1, 1.1)
        torch.testing.assert_close(noisy, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_spread_of_the_noise_is_that_of_training(eta):
    # Whatever eta, x_t given x0 = 0 has variance 1 - abar_t; only times whose spread the clamp leaves alone.
    pose_2d = torch.zeros(4, 50, 20, 2, dtype=torch.float64)
    recorder = Recorder(lift)
    drawn(recorder, pose_2d, schedule=SCHEDULE, steps=20, eta=eta, generator=seeded())
    looked_at = 0
    for _, noisy, timestep in recorder.calls:
        expected = math.sqrt(1 - SCHEDULE.alpha_cumprod(int(timestep[0])))
        if expected < 0.25:
            assert noisy.std().item() == pytest.approx(expected, rel=0.05)
            looked_at += 1
    assert looked_at >= 2


@given(st.sampled_from([1, 2, 3, 5, 7, 20, 26, 50, 333, 1000]), st.integers(0, 999))
def test_step_at_eta_1_is_the_posterior(steps, which):
    # Mean and variance of q(x_t' | x_t, x0), Ho et al., equations 6 and 7, between any two times.
    pairs = [pair for pair in SCHEDULE.ddim_timesteps(steps) if pair[1] >= 0]
    if not pairs:
        return
    timestep, following = pairs[which % len(pairs)]
    alpha, next_alpha = SCHEDULE.alpha_cumprod(timestep), SCHEDULE.alpha_cumprod(following)
    signal, direction, sigma = step_weights(alpha, next_alpha, 1.0)
    ratio = alpha / next_alpha
    assert sigma**2 == pytest.approx((1 - ratio) * (1 - next_alpha) / (1 - alpha), rel=1e-9)
    of_x0 = signal - direction * math.sqrt(alpha) / math.sqrt(1 - alpha)
    assert of_x0 == pytest.approx(math.sqrt(next_alpha) * (1 - ratio) / (1 - alpha), rel=1e-6)
    of_x_t = direction / math.sqrt(1 - alpha)
    assert of_x_t == pytest.approx(math.sqrt(ratio) * (1 - next_alpha) / (1 - alpha), rel=1e-5, abs=1e-7)


def sample_by_diffusers(denoise, pose_2d, steps, alphas_cumprod=None):
    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        timestep_spacing="trailing",
        clip_sample=True,
        clip_sample_range=1.1,
    )
    if alphas_cumprod is not None:
        scheduler.alphas_cumprod = alphas_cumprod
    scheduler.set_timesteps(steps)
    noisy = torch.randn(*pose_2d.shape[:3], 3, generator=seeded(), dtype=pose_2d.dtype)
    for timestep in scheduler.timesteps:
        predicted = denoise(pose_2d, noisy.clamp(-1.1, 1.1), timestep.expand(len(pose_2d)))
        noisy = scheduler.step(predicted, timestep, noisy, eta=0.0, use_clipped_model_output=True).prev_sample
    return noisy


DIVISORS = [
    1,
    2,
    4,
    5,
    8,
    10,
    20,
    25,
    40,
    50,
]  # of 1000: step counts at which diffusers visits the same times


@pytest.mark.parametrize("steps", DIVISORS)
def test_equals_diffusers_at_eta_0(steps):
    def contracting(pose_2d, noisy, timestep):
        return lopsided(pose_2d, 0.1 * noisy, timestep)

    pose_2d = poses_2d(dtype=torch.float32)
    ours = drawn(contracting, pose_2d, schedule=SCHEDULE, steps=steps, eta=0.0, generator=seeded())
    torch.testing.assert_close(
        ours[:, 0], sample_by_diffusers(contracting, pose_2d, steps), rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("steps", DIVISORS)
def test_equals_diffusers_to_the_last_digits_given_the_same_schedule(steps):
    # Their schedule is float32, whose error a denoiser of large gain grows: here they step along ours.
    pose_2d = poses_2d()
    ours = drawn(lopsided, pose_2d, schedule=SCHEDULE, steps=steps, eta=0.0, generator=seeded())
    theirs = sample_by_diffusers(lopsided, pose_2d, steps, SCHEDULE.alphas_cumprod)
    assert (ours.abs() == 1.1).any(), "the clamp should bite somewhere"
    torch.testing.assert_close(ours[:, 0], theirs, rtol=0, atol=1e-11)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_at_every_step_count_at_eta_1(dtype):
    pose_2d = poses_2d(1, 2, dtype=dtype)
    for steps in EVERY_STEP_COUNT:
        for prediction in drawn_steps(
            lopsided, pose_2d, schedule=SCHEDULE, steps=steps, eta=1.0, generator=seeded(steps)
        ):
            assert prediction.isfinite().all()
            assert prediction.dtype == dtype


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("flip", [None, flip_joints])
def test_equals_a_slow_sampler_without_folding(eta, flip):
    batch, hypotheses, steps = 2, 3, 4
    pose_2d = poses_2d(batch)
    generator = seeded()
    shape = (batch, hypotheses, *pose_2d.shape[1:3], 3)
    pairs = SCHEDULE.ddim_timesteps(steps)
    state = torch.randn(shape, generator=generator, dtype=torch.float64)
    expected = []
    for timestep, following in pairs:
        clean = torch.empty_like(state)
        for b in range(batch):
            for h in range(hypotheses):
                time, seen, given = (
                    torch.tensor([timestep]),
                    state[b, h].clamp(-1.1, 1.1)[None],
                    pose_2d[b][None],
                )
                clean[b, h] = lopsided(given, seen, time)[0]
                if flip is not None:
                    clean[b, h] += flip(lopsided(flip(given), flip(seen), time))[0]
                    clean[b, h] /= 2
        clean = clean.clamp(-1.1, 1.1)
        expected.append(clean)
        if following < 0:
            break
        now, then = SCHEDULE.alphas_cumprod[timestep], SCHEDULE.alphas_cumprod[following]
        noise = (state / now.sqrt() - clean) / (1 / now - 1).sqrt()
        sigma = eta * ((1 - now / then) * (1 - then) / (1 - now)).sqrt()
        state = clean * then.sqrt() + (1 - then - sigma**2).clamp(min=0).sqrt() * noise
        if eta > 0:
            state = state + sigma * torch.randn(shape, generator=generator, dtype=torch.float64)
    options = {"schedule": SCHEDULE, "steps": steps, "hypotheses": hypotheses, "eta": eta, "flip": flip}
    found = list(drawn_steps(lopsided, pose_2d, generator=seeded(), **options))
    torch.testing.assert_close(torch.stack(found), torch.stack(expected), rtol=0, atol=1e-9)
    torch.testing.assert_close(
        drawn(lopsided, pose_2d, generator=seeded(), **options), found[-1], rtol=0, atol=0
    )


def test_seed_decides_the_result():
    options = {"schedule": SCHEDULE, "steps": 2, "hypotheses": 2}
    one, same, other = (drawn(lopsided, poses_2d(), generator=seeded(seed), **options) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert not torch.equal(one[:, 0], one[:, 1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_seed_on_the_host_gives_the_same_poses_on_a_device():
    def denoise(pose_2d, noisy, timestep):
        return equivariant(pose_2d, noisy, timestep)

    options = {"schedule": SCHEDULE, "steps": 4, "hypotheses": 2, "flip": flip_joints}
    host = drawn(denoise, poses_2d(), generator=seeded(), **options)
    device = drawn(denoise, poses_2d().cuda(), generator=seeded(), **options)
    assert device.is_cuda
    torch.testing.assert_close(device.cpu(), host, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hypotheses": 0}, "at least one hypothesis, got 0"),
        ({"eta": 1.5}, "eta from 0 .* got 1.5"),
        ({"eta": float("nan")}, "eta from 0"),
        ({"max_batch": 0}, "max_batch of at least one sequence, got 0"),
        ({"steps": 0}, "1 to 1000 sampling steps, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(BenchmarkError, match=message):
        drawn(lift, poses_2d(), schedule=SCHEDULE, **options)


@pytest.mark.unhooked
def test_wrong_shapes_are_refused():
    with pytest.raises(BenchmarkError, match=r"2D poses \(batch, frames, joints, 2\)"):
        drawn(lift, torch.zeros(2, 4, 5, 3), schedule=SCHEDULE)
    with pytest.raises(BenchmarkError, match=r"shape \(2, 4, 5, 3\), got \(2, 4, 5, 2\)"):
        drawn(lambda pose_2d, noisy, timestep: pose_2d, poses_2d(), schedule=SCHEDULE)


def test_the_sampler_calls_its_denoiser_once_a_step_with_poses_and_a_time():
    calls = []

    def denoise(noisy, timestep):
        calls.append((noisy.shape, timestep))
        return noisy / 2

    predictions = sample_steps(
        denoise, (2, 4, 5), schedule=SCHEDULE, steps=3, hypotheses=3, generator=seeded()
    )
    assert [tuple(x0.shape) for x0 in predictions] == [(2, 3, 4, 5, 3)] * 3
    assert calls == [((6, 4, 5, 3), 999), ((6, 4, 5, 3), 665), ((6, 4, 5, 3), 332)]


def test_poses_are_those_of_the_sampler_that_did_all_of_it_in_its_loop():
    # At commit a299975, with flip, chunks and early steps inside the loop:
    #   ddim.sample(
    #       lopsided, poses_2d(dtype=torch.float32), schedule=SCHEDULE, steps=3, hypotheses=2, eta=1.0,
    #       flip=flip_joints, generator=seeded(), max_batch=3, early=equivariant,
    #   )
    found = drawn(
        lopsided, poses_2d(dtype=torch.float32), schedule=SCHEDULE, steps=3, hypotheses=2, eta=1.0,
        flip=flip_joints, generator=seeded(), max_batch=3, early=equivariant,
    )  # fmt: skip
    earlier = [
        0.2890239655971527,
        -0.10879828780889511,
        -0.018398553133010864,
        0.5796461701393127,
        1.0345449447631836,
        -0.045675601810216904,
    ]
    assert found[0, 1, 2, :2].flatten().tolist() == pytest.approx(earlier, abs=1e-6)
