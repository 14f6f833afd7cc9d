"""Live bytes against counts by hand. MiB are of float32: 2^18 numbers each."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.autograd import DeviceType

from adapters.live_memory import _changes, peak_live_bytes, peak_of
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_modules import HTPConfig

MIB = 2**20


def mib(count):
    return torch.empty(count << 18)


@pytest.mark.parametrize(
    ("changes", "peak"),
    [
        ([], 0),
        ([4, -4, 8], 8),
        ([5, 5, -10, 7], 10),
        ([-3, 2], 0),
        ([-3, 5, 1], 3),
        ([2, -2, -2], 2),
    ],
)
def test_peak_of_by_hand(changes, peak):
    assert peak_of(changes) == peak


@given(st.lists(st.integers(-5, 5)))
def test_peak_of_is_the_highest_sum_of_a_beginning(changes):
    assert peak_of(iter(changes)) == max(sum(changes[:length]) for length in range(len(changes) + 1))


def event(name, device, nbytes, start):
    return SimpleNamespace(
        name=lambda: name, device_type=lambda: device, nbytes=lambda: nbytes, start_ns=lambda: start
    )


@pytest.mark.unhooked
def test_what_changes_is_what_the_cpu_allocates_and_releases():
    events = [
        event("[memory]", DeviceType.CPU, -3, 2),
        event("[memory]", DeviceType.CUDA, 5, 3),
        event("aten::mm", DeviceType.CPU, 7, 4),
        event("[memory]", DeviceType.CPU, 3, 1),
    ]
    seen = SimpleNamespace(profiler=SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events)))
    assert _changes(seen) == [3, -3]
    for nothing in (SimpleNamespace(kineto_results=None), None):
        assert _changes(SimpleNamespace(profiler=nothing)) == []


def one_after_the_other():
    mib(3)
    mib(2)


def both_at_once():
    return mib(3), mib(2)


def small_beside_large():
    large = mib(4)
    small = mib(1)
    del large
    return small, mib(2)


def in_place():
    x = mib(2)
    return x.neg_().relu_()


def by_views():
    x = mib(2)
    return x.view(2, -1).T.unsqueeze(0), x[:7]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (list, 0),
        (one_after_the_other, 3),
        (both_at_once, 5),
        (small_beside_large, 5),
        (in_place, 2),
        (by_views, 2),
    ],
)
def test_by_hand(function, expected):
    assert peak_live_bytes(function) == expected * MIB


def test_what_was_there_before_does_not_count():
    held = [mib(8)]
    assert peak_live_bytes(lambda: mib(1)) == MIB

    def let_go_first():
        held.clear()
        return mib(2)

    # The room that 8 MiB leave is not made good: they were never counted.
    assert peak_live_bytes(let_go_first) == 2 * MIB


def test_layers_by_hand():
    # 256 tokens: 1 MiB wide 1024, 3 MiB wide 3072. With both of the hidden tensors alive: 6; then 3 and 1.
    x, widen, narrow = torch.randn(256, 1024), nn.Linear(1024, 3072), nn.Linear(3072, 1024)
    with torch.no_grad():
        assert peak_live_bytes(lambda: narrow(nn.functional.gelu(widen(x)))) == 6 * MIB
        assert peak_live_bytes(lambda: narrow(widen(x))) == 4 * MIB
    # A gradient keeps both hidden tensors until the end.
    assert peak_live_bytes(lambda: narrow(nn.functional.gelu(widen(x)))) == 7 * MIB


@pytest.mark.parametrize("batch", [1, 3])
def test_htp_needs_less_than_d3dp(batch):
    size = {"num_frames": 81, "dim": 256, "num_heads": 4}
    inputs = torch.randn(batch, 81, 17, 2), torch.randn(batch, 81, 17, 3), torch.full((batch,), 500)
    d3dp = D3DPDenoiser(**size, depth=2).eval()
    htp = HTPDenoiser(**size, depth=3, config=HTPConfig(num_sft_layers=1)).eval()
    with torch.inference_mode():
        assert peak_live_bytes(lambda: htp(*inputs)) < peak_live_bytes(lambda: d3dp(*inputs))
