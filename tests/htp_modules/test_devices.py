"""What depends on the device, on a CPU: another default device, and tokens that only say where they are."""

import pytest
import torch
import torch.nn.functional as F
from networks import shake
from test_copies import NAMES, modules
from torch import Tensor
from torch.testing import assert_close

from htp_modules import TCEP, TemporalMask, graph, selection
from htp_modules.attention import fused_attention
from htp_modules.mgptp import pairwise_distance
from htp_modules.precision import product_dtype
from htp_modules.selection import select_highest
from htp_modules.tcep import products_rounded_once, temporal_correlation


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
    assert product_dtype(x) == torch.float32
    autocast_on(x.device.type)
    assert product_dtype(x) == torch.get_autocast_dtype(x.device.type) != torch.float32
    assert product_dtype(x.as_subclass(Tensor)) == torch.float32


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


@pytest.mark.parametrize("compiling", [True, False])
@pytest.mark.parametrize("kind", [CountedAsCuda, Tensor])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_marks_by_counts_and_added_nodes_are_for_graphs_on_cuda(compiling, kind, dtype, monkeypatch):
    counted, by_counting = [], selection.highest_by_counting
    monkeypatch.setattr(
        selection, "highest_by_counting", lambda *given: counted.append(given[1]) or by_counting(*given)
    )
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: compiling)
    monkeypatch.setattr(torch.compiler, "is_dynamo_compiling", lambda: compiling)
    row = torch.tensor([[1.0, 3.0, 2.0]], dtype=dtype).as_subclass(kind)
    assert select_highest(row, 2).tolist() == [[0.0, 1.0, 1.0]]
    on_cuda = compiling and kind is CountedAsCuda
    assert counted == ([2] if on_cuda and dtype != torch.float64 else [])  # 16 bits are widened to 32
    halves = on_cuda and dtype.itemsize == 2
    assert [graph._nodes_to_add(nodes, row) for nodes in (15, 16, 17)] == ([1, 0, 7] if halves else [0] * 3)


def test_the_nodes_are_what_is_added_to(monkeypatch):
    nodes = []
    monkeypatch.setattr(graph, "_nodes_to_add", lambda number, like: nodes.append(number) or 0)
    convolution, chain = graph.GraphConvolution(4, 8, 5), graph.chain_graph(5, torch.empty(()))
    convolution(torch.randn(2, 3, 5, 4), chain, torch.rand(2, 3, 5, 5))
    assert nodes == [5]


HALF = {"queries": 64, "keys": 64, "width": 8, "dtype": torch.float16, "kind": CountedAsCuda, "mask": False}


@pytest.mark.parametrize(
    ("changed", "short"),
    [
        ({}, True),
        ({"dtype": torch.bfloat16, "width": 16, "keys": 3}, True),
        ({"queries": 65}, False),
        ({"keys": 65}, False),
        ({"width": 12}, False),
        ({"dtype": torch.float32}, False),
        ({"kind": Tensor}, False),
        ({"mask": True}, False),
    ],
)
def test_short_sequences_in_16_bits_on_cuda_take_the_kernel_for_them(changed, short, monkeypatch):
    one, asked = HALF | changed, []
    query = torch.randn(2, 3, one["queries"], one["width"]).to(one["dtype"]).as_subclass(one["kind"])
    key, value = torch.randn(2, 2, 3, one["keys"], one["width"]).to(one["dtype"]).as_subclass(one["kind"])
    mask = torch.zeros(2, 1, one["queries"], one["keys"], dtype=one["dtype"]) if one["mask"] else None

    def kernel(*given):
        asked.append(given[3:])
        return F.scaled_dot_product_attention(*given[:3]), "what a gradient needs"

    with monkeypatch.context() as patched:
        patched.setattr(torch.ops.aten, "_scaled_dot_product_efficient_attention", kernel)
        found = fused_attention(query, key, value, mask)
        with torch.no_grad():
            fused_attention(query, key, value, mask)
    assert asked == ([(None, True), (None, False)] if short else [])
    assert_close(
        found.as_subclass(Tensor), F.scaled_dot_product_attention(query, key, value).as_subclass(Tensor)
    )
