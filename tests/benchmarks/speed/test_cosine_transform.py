"""The cosine transform. Oracle: its sum, term by term; the inverse gives back what there was."""

import math

import pytest
import torch

from htp_diffusion.speed.cosine_transform import dct, idct


@pytest.mark.parametrize("length", [1, 2, 9])
def test_the_transform_is_its_sum_and_the_inverse_undoes_it(length):
    x = torch.randn(2, 3, length, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = [
        sum(2 * x[..., n] * math.cos(math.pi * k * (2 * n + 1) / (2 * length)) for n in range(length))
        for k in range(length)
    ]
    torch.testing.assert_close(dct(x), torch.stack(expected, dim=-1))
    torch.testing.assert_close(idct(dct(x)), x)
