import pytest
import torch

from htp_diffusion.training.noising import tilted_times

STEPS = 1000
EVEN = (torch.arange(10_000) + 0.5) / 10_000


@pytest.mark.parametrize("tilt", [1.0, 1.5, 3.0])
def test_tilted_times_are_drawn_by_their_formula(tilt):
    times = tilted_times(EVEN, tilt, STEPS)
    for bound in (100, 500, 900):  # t < bound where 1 - (1 - u)^tilt < bound / N
        expected = 1.0 - (1.0 - bound / STEPS) ** (1.0 / tilt)
        assert float((times < bound).float().mean()) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("tilt", [1.0, 1.5, 3.0])
def test_no_time_is_past_the_last(tilt):
    even = torch.tensor([0.0, 1.0 - 2.0**-24])  # the least and the most that torch.rand draws
    assert tilted_times(even, tilt, STEPS).tolist() == [0, STEPS - 1]
