"""What depends on the device, on a CPU: another default device, and tokens that only say where they are."""

import pytest
import torch
from networks import shake
from test_copies import NAMES, modules
from torch import Tensor
from torch.testing import assert_close

from htp_modules import TCEP, TemporalMask
from htp_modules.mgptp import pairwise_distance
from htp_modules.selection import select_highest
from htp_modules.tcep import _product_dtype, products_rounded_once, temporal_correlation


@pytest.mark.parametrize("name", NAMES)
def test_the_default_device_does_not_matter(name):
    module, inputs = modules()[name]
    module = shake(module).eval()
    expected = module(*inputs)[0]
    with torch.device("meta"):
        assert torch.equal(module(*inputs)[0], expected)


class OnCuda(Tensor):
    device = torch.device("cuda")
    is_cuda = True

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is Tensor.cumsum and kwargs != {"dim": -1, "dtype": torch.int32}:
            raise RuntimeError("a running sum of floats is not deterministic on CUDA")
        return super().__torch_function__(func, types, args, kwargs or {})


class CountedAsCuda(Tensor):
    is_cuda = True


class OnXpu(Tensor):
    device = torch.device("xpu")


class OnMps(Tensor):
    device = torch.device("mps")

    def double(self):
        raise TypeError("MPS has no float64")


@pytest.fixture
def autocast_on():
    """Autocast on a device that is not there: the context manager of PyTorch would leave it off."""
    on = []

    def switch(device):
        on.append(device)
        torch.set_autocast_enabled(device, True)

    yield switch
    for device in on:
        torch.set_autocast_enabled(device, False)


@pytest.mark.parametrize("device", [OnCuda, OnXpu])
def test_attention_has_the_precision_of_its_own_device(device, autocast_on):
    x = torch.randn(1, 2, 4, 3).as_subclass(device)
    assert _product_dtype(x) == torch.float32
    autocast_on(x.device.type)
    assert _product_dtype(x) == torch.get_autocast_dtype(x.device.type) != torch.float32
    assert _product_dtype(x.as_subclass(Tensor)) == torch.float32


def test_correlation_on_cuda_is_rounded_once():
    x = torch.randn(2, 2, 5, 3)
    found = temporal_correlation(x.as_subclass(OnCuda)).as_subclass(Tensor)
    assert torch.equal(found, products_rounded_once(x) * 3**-0.5)
    assert_close(found, temporal_correlation(x))


def test_correlation_leaves_autocast_where_it_is_on(autocast_on, monkeypatch):
    x = torch.randn(1, 2, 4, 3).as_subclass(OnXpu)
    regions, region = [], torch.autocast
    monkeypatch.setattr(
        torch, "autocast", lambda *args, **kw: regions.append((args, kw)) or region(*args, **kw)
    )
    temporal_correlation(x)
    assert regions == []  # else an exported graph would hold one
    autocast_on("xpu")
    temporal_correlation(x)
    assert regions == [(("xpu",), {"enabled": False})]


@pytest.mark.parametrize("kind", [CountedAsCuda, Tensor])
def test_the_rows_of_a_mask_are_placed_for_cuda_alone(kind):
    mask = shake(TCEP(4, 5)).eval()(torch.randn(2, 5, 3, 4).as_subclass(kind))[1]
    bias = mask.bias.as_subclass(Tensor)
    assert torch.equal(bias, TemporalMask(mask.keep.as_subclass(Tensor)).additive())
    assert bias.stride(-2) == (16 if kind is CountedAsCuda else 5)


def test_tcep_tells_shapes_without_values():
    tokens, mask = TCEP(4, 5).to("meta")(torch.empty(2, 5, 3, 4, device="meta"))
    assert tokens.is_meta
    assert mask.keep.is_meta
    assert (tokens.shape, mask.keep.shape) == ((2, 5, 3, 4), (2, 3, 5, 5))


def test_distances_on_mps_go_without_float64():
    x = torch.randn(2, 5, 3)
    found = pairwise_distance(x.as_subclass(OnMps)).as_subclass(Tensor)
    assert_close(found, pairwise_distance(x))


@pytest.mark.parametrize("count", [1, 4, 9])
def test_ties_on_cuda_are_counted_in_integers(count):
    scores = torch.tensor([[1.0, 2.0, 1.0, 2.0, 0.0, 2.0, 1.0, 0.0, 2.0]])
    found = select_highest(scores.as_subclass(OnCuda), count).as_subclass(Tensor)
    assert found.dtype == torch.float32
    assert found.tolist() == select_highest(scores, count).tolist()
