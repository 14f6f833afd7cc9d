import math
from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.schedule import cosine_schedule


def product_of_alphas(num_timesteps, s):
    """Equation 17 of Nichol and Dhariwal with its cap, one float at a time."""

    def curve(t):
        return math.cos((t / num_timesteps + s) / (1 + s) * math.pi / 2) ** 2

    products, product = [], 1.0
    for t in range(num_timesteps):
        product *= 1 - min(0.999, 1 - curve(t + 1) / curve(t))
        products.append(product)
    return products


@pytest.mark.parametrize("num_timesteps", [1, 2, 10, 1000])
def test_schedule_is_the_closed_form(num_timesteps):
    schedule = cosine_schedule(num_timesteps)
    expected = torch.tensor(product_of_alphas(num_timesteps, 0.008), dtype=torch.float64)
    assert schedule.alphas_cumprod.dtype == torch.float64
    assert schedule.alphas_cumprod.device.type == "cpu"
    torch.testing.assert_close(schedule.alphas_cumprod, expected, rtol=1e-12, atol=0)


def test_schedule_is_that_of_diffusers():
    theirs = DDIMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    torch.testing.assert_close(cosine_schedule().alphas_cumprod.float(), theirs, rtol=1e-4, atol=1e-6)


def test_last_beta_is_capped():
    alphas = cosine_schedule().alphas_cumprod
    assert float(alphas[-1] / alphas[-2]) == pytest.approx(0.001, rel=1e-9)
    assert (alphas.diff() < 0).all()
    assert alphas[-1] > 0


def test_alpha_cumprod_of_one_time():
    schedule = cosine_schedule()
    assert schedule.alpha_cumprod(-1) == 1.0
    assert schedule.alpha_cumprod(0) == pytest.approx(product_of_alphas(1000, 0.008)[0])
    for outside in (-2, 1000):
        with pytest.raises(BenchmarkError, match="from -1 to 999"):
            schedule.alpha_cumprod(outside)


@given(
    st.lists(st.integers(0, 999), min_size=1, max_size=4),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_add_noise_is_the_formula_per_sample(times, dtype):
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randn(len(times), 3, 2, 3, generator=generator, dtype=torch.float64).to(dtype)
    noise = torch.randn(x0.shape, generator=generator, dtype=torch.float64).to(dtype)
    result = cosine_schedule().add_noise(x0, torch.tensor(times), noise)
    assert result.dtype == dtype
    products = product_of_alphas(1000, 0.008)
    for index, t in enumerate(times):
        expected = (
            math.sqrt(products[t]) * x0[index].double() + math.sqrt(1 - products[t]) * noise[index].double()
        )
        tolerance = 8 * torch.finfo(dtype).eps
        torch.testing.assert_close(result[index].double(), expected, rtol=tolerance, atol=tolerance)


def test_ddim_timesteps_of_few_steps():
    schedule = cosine_schedule()
    assert schedule.ddim_timesteps(1) == [(999, -1)]
    assert schedule.ddim_timesteps(2) == [(999, 499), (499, -1)]
    # D3DP: list(reversed(torch.linspace(-1, 999, steps=4).int().tolist()))
    assert schedule.ddim_timesteps(3) == [(999, 665), (665, 332), (332, -1)]
    assert schedule.ddim_timesteps(5) == [(999, 799), (799, 599), (599, 399), (399, 199), (199, -1)]
    assert schedule.ddim_timesteps(1000) == [(t, t - 1) for t in range(999, -1, -1)]


def test_ddim_timesteps_are_those_of_d3dp_to_the_last_one():
    """D3DP counts in float32 and cuts off; in float64 or whole numbers, K = 26 is the first to differ."""
    schedule = cosine_schedule()
    for steps in range(1, 1001):
        times = torch.linspace(-1, 999, steps=steps + 1).int().tolist()[::-1]
        assert schedule.ddim_timesteps(steps) == list(pairwise(times))


@given(st.integers(1, 1000))
def test_ddim_timesteps_are_a_chain_of_equal_strides(steps):
    pairs = cosine_schedule().ddim_timesteps(steps)
    assert len(pairs) == steps
    assert pairs[0][0] == 999
    assert pairs[-1][1] == -1
    for index, (timestep, following) in enumerate(pairs):
        assert timestep > following
        exact = 999 - 1000 * index / steps
        assert exact - 1 - 1e-3 <= timestep <= exact + 1e-3
        assert index == 0 or pairs[index - 1][1] == timestep


def test_options_out_of_range_are_refused():
    for steps in (0, 1001):
        with pytest.raises(BenchmarkError, match=f"expected 1 to 1000 sampling steps, got {steps}"):
            cosine_schedule().ddim_timesteps(steps)
    with pytest.raises(BenchmarkError, match="num_timesteps >= 1"):
        cosine_schedule(0)
