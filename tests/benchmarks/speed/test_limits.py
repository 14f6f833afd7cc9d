"""What a device can do, and what a model asks of its memory."""

import pytest
import torch
from torch import nn

from adapters.clock import Timing
from htp_diffusion.base.device import matmul_dtype, precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.speed import roofline
from htp_diffusion.speed.roofline import MatmulRate, Roofline, measure_roofline
from htp_diffusion.speed.traffic import moved_elements

CPU = torch.device("cpu")


def test_rates_by_hand(monkeypatch):
    # Fastest repeats: products of 8 and 16 in 2 s and 4 s, the models' own in 5 s, the copy in 0.5 s.
    samples = iter([(3.0, 2.0), (4.0, 6.0), (5.0, 5.0), (0.5, 0.7)])

    def timed(cases, **_):
        (case,) = cases.values()
        case()
        return {"": Timing(next(samples))}

    monkeypatch.setattr(roofline, "interleaved", timed)
    found = measure_roofline(CPU, "fp32", tokens=10, dim=4, squares=(8, 16), copied_bytes=1000)
    assert found == Roofline(
        square=MatmulRate(rows=16, inner=16, columns=16, flops=2 * 16**3 / 4),
        own=MatmulRate(rows=10, inner=4, columns=12, flops=2 * 10 * 4 * 12 / 5),
        copied=2 * 1000 / 0.5,
    )


def test_a_rate_is_that_of_one_call_of_several(monkeypatch):
    called = []

    def timed(cases, **_):
        cases[""]()
        return {"": Timing((12.0, 8.0))}

    monkeypatch.setattr(roofline, "_CALLS", {"cpu": 4})
    monkeypatch.setattr(roofline, "interleaved", timed)
    assert roofline._fastest(lambda: called.append(1), CPU, 2, lambda: None) == 2.0
    assert len(called) == 4


def test_products_are_measured_in_the_models_precision(monkeypatch):
    dtypes = []

    def multiply(left, right):
        dtypes.append((left.dtype, right.dtype, (left @ right.T).dtype))

    monkeypatch.setattr(torch.nn.functional, "linear", multiply)
    for precision in ("fp32", "bf16", "fp16"):
        measure_roofline(CPU, precision, tokens=3, dim=4, squares=(8,), repeats=1, copied_bytes=1 << 16)
        assert set(dtypes) == {(matmul_dtype(precision),) * 3}
        dtypes.clear()


@pytest.mark.parametrize("squares", [(), (8, 0)])
def test_no_product_is_no_rate(squares):
    with pytest.raises(BenchmarkError, match="matmul sizes expect at least one, none below 1"):
        measure_roofline(CPU, "fp32", tokens=3, dim=4, squares=squares)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_models_compute_in_half_precision(precision, dtype):
    with torch.inference_mode(), precision_of(precision, CPU):
        assert nn.Linear(3, 5)(torch.ones(2, 3)).dtype == dtype


class Attending(nn.Module):
    def forward(self, query, key, value, keep):
        mixed = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=keep)
        return mixed.transpose(1, 2).flatten(2)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_numbers_moved_by_hand(device):
    with torch.device(device):
        linear = nn.Sequential(nn.Linear(4, 8), nn.GELU())
        x = torch.ones(3, 4)
        # Linear: x, weight and bias in, 3 x 8 out; GELU: in and out.
        assert moved_elements(linear, (x,)) == (12 + 32 + 8 + 24) + 2 * 24
        query, key = torch.ones(1, 2, 5, 4), torch.ones(1, 2, 7, 4)
        keep = torch.ones(1, 1, 5, 7, dtype=torch.bool)
        attention = 40 + 2 * 56 + 35 + 40
        # The transposed result is copied to flatten it.
        assert moved_elements(Attending(), (query, key, key, keep)) == attention + 2 * 40
