import math

import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.diffusion.schedule import cosine_schedule


def lift(pose_2d, noisy, timestep):
    """Each sequence by itself: what it predicts depends on its noise and on nothing else of the batch."""
    return 0.5 * noisy + torch.nn.functional.pad(pose_2d, (0, 1)) - timestep[:, None, None, None] / 2000


def sampling(**changes):
    defaults = {"hypotheses": 2, "steps": 3, "eta": 1.0, "flip": True, "seed": 5, "batch_size": 4}
    return Sampling(**(defaults | changes))


def in_batches(windows, size, **changes):
    ways = sampling(batch_size=size, **changes)
    parts = [ways.draw(lift, part, number) for number, part in enumerate(windows.split(size))]
    return torch.cat(parts)


@pytest.mark.parametrize("size", [1, 3, 7])
def test_a_window_has_the_same_noise_in_batches_of_any_size(size):
    windows = torch.rand(7, 9, 17, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    expected = in_batches(windows, 4)
    assert torch.equal(in_batches(windows, size), expected)
    assert not torch.equal(in_batches(windows, size, seed=6), expected)


def test_windows_differ_in_their_noise_and_so_do_hypotheses():
    windows = torch.zeros(3, 9, 17, 2)
    drawn = in_batches(windows, 2, flip=False).flatten(0, 1)
    assert len({tuple(one.flatten().tolist()) for one in drawn}) == 6


@pytest.mark.parametrize("eta", [0.0, 0.4])
def test_as_much_noise_is_put_back_as_asked_for(eta):
    """Two steps written out: of fresh noise comes back what eta says."""
    windows = torch.rand(1, 9, 17, 2, generator=torch.Generator().manual_seed(0)) - 0.5
    generator = torch.Generator().manual_seed(0)
    first, fresh = (torch.randn(1, 9, 17, 3, generator=generator) for _ in range(2))
    schedule = cosine_schedule()
    (now, then), (_, last) = schedule.ddim_timesteps(2)
    assert last == -1
    here, there = float(schedule.alphas_cumprod[now]), float(schedule.alphas_cumprod[then])

    def clean(noisy, timestep):
        return lift(windows, noisy.clamp(-1.1, 1.1), torch.tensor([timestep])).clamp(-1.1, 1.1)

    x0 = clean(first, now)
    sigma = eta * math.sqrt((1 - there) / (1 - here) * (1 - here / there))
    implied = (first - math.sqrt(here) * x0) / math.sqrt(1 - here)
    second = math.sqrt(there) * x0 + math.sqrt(1 - there - sigma**2) * implied + sigma * fresh
    ways = sampling(hypotheses=1, steps=2, eta=eta, flip=False, seed=0)
    torch.testing.assert_close(ways.draw(lift, windows)[:, 0], clean(second, then), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hypotheses": 0}, "batch size and hypotheses expect at least 1, got 4 and 0"),
        ({"batch_size": 0}, "batch size and hypotheses expect at least 1, got 0 and 2"),
        ({"steps": 0}, "expected 1 to 1000 sampling steps, got 0"),
        ({"steps": 1001}, "expected 1 to 1000 sampling steps, got 1001"),
        ({"eta": 2.0}, "expected eta from 0"),
        ({"eta": float("nan")}, "expected eta from 0"),
        ({"seed": -1}, "seed expects 0 to 1099511627775, got -1"),
        ({"seed": 2**40}, "seed expects 0 to 1099511627775"),
    ],
)
def test_what_cannot_be_sampled_is_told_when_it_is_asked_for(change, message):
    with pytest.raises(BenchmarkError, match=message):
        sampling(**change)
