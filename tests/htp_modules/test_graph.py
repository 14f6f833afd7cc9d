import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import lists, shake
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from htp_modules import SpatialGCN, graph
from htp_modules.graph import (
    GraphConvolution,
    chain_graph,
    graph_convolution,
    skeleton_graph,
    symmetric_topology,
)

LIKE = torch.zeros((), dtype=torch.float64)


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_chain(frames):
    assert_close(chain_graph(frames, LIKE), torch.tensor(oracles.chain(frames), dtype=torch.float64))


def test_chain_of_three_written_out():
    assert chain_graph(3, LIKE).tolist() == [[1, 1, 0], [0.5, 1, 0.5], [0, 1, 1]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_chain_is_like_its_tokens(dtype):
    chain = chain_graph(4, torch.empty(0, dtype=dtype, device="meta"))
    assert chain.dtype == dtype
    assert chain.is_meta


def test_skeleton():
    assert_close(skeleton_graph(17), torch.tensor(oracles.skeleton()))


@pytest.mark.parametrize("joints", [1, 5, 16, 18])
def test_an_unknown_skeleton_has_self_loops_alone(joints):
    assert torch.equal(skeleton_graph(joints), torch.eye(joints))


@given(st.integers(1, 6), st.integers(0, 100))
def test_topology_is_the_symmetric_part(nodes, seed):
    generator = torch.Generator().manual_seed(seed)
    fixed, learned = torch.randn(2, nodes, nodes, dtype=torch.float64, generator=generator)
    out = symmetric_topology(fixed, learned)
    assert torch.equal(out, out.T)
    assert_close(out, torch.tensor(oracles.topology(fixed.tolist(), learned.tolist()), dtype=torch.float64))


def convolution_inputs(nodes=4, channels=3, out=2):
    shapes = [(nodes, channels), (nodes, nodes), (2, channels, out), (nodes, out), (out,)]
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize(
    ("nodes", "channels", "out"), [(1, 1, 1), (4, 3, 2), (6, 2, 5), (3, 2, 6), (2, 1, 7)]
)
def test_convolution(nodes, channels, out):
    inputs = convolution_inputs(nodes, channels, out)
    expected = oracles.convolution(*(i.tolist() for i in inputs))
    assert_close(graph_convolution(*inputs), torch.tensor(expected, dtype=torch.float64))


@given(st.integers(1, 5), st.integers(1, 3), st.integers(0, 100))
def test_as_one_product_of_a_frame_and_node_by_node(nodes, channels, seed):
    torch.manual_seed(seed)
    x, coupling, *rest = convolution_inputs(nodes, channels, nodes * channels)
    x = torch.stack((x, torch.randn_like(x)))
    each = graph_convolution(x, coupling.expand(2, -1, -1), *rest)
    assert_close(graph_convolution(x, coupling, *rest), each)


@pytest.mark.parametrize(("nodes", "channels", "out", "whole"), [(3, 2, 6, True), (3, 2, 5, False)])
def test_a_frame_of_few_coordinates_is_taken_whole(nodes, channels, out, whole, monkeypatch):
    made, kernel = [], graph._graph_kernel
    monkeypatch.setattr(graph, "_graph_kernel", lambda *given: made.append(given) or kernel(*given))
    graph_convolution(*convolution_inputs(nodes, channels, out))
    assert bool(made) == whole


def test_autocast_halves_what_a_convolution_makes():
    class Made(TorchDispatchMode):
        wide = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            if isinstance(out, torch.Tensor) and out.dtype == torch.float32:
                self.wide = max(self.wide, out.numel())
            return out

    _, _, weight, modulation, bias = (part.float() for part in convolution_inputs(5, 4, 8))
    x, coupling = torch.randn(2, 3, 5, 4).bfloat16(), torch.rand(2, 3, 5, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16), Made() as made:
        out = graph_convolution(x, coupling, weight, modulation, bias)
    assert out.dtype == torch.bfloat16
    assert made.wide < out.numel()


@pytest.mark.parametrize("out", [2, 12])
def test_convolution_gradients(out):
    inputs = [i.requires_grad_() for i in convolution_inputs(out=out)]
    assert torch.autograd.gradcheck(graph_convolution, inputs)
    assert torch.autograd.gradcheck(symmetric_topology, [torch.randn(3, 3).double().requires_grad_()] * 2)


@pytest.mark.parametrize("dim", [4, 40])
@pytest.mark.parametrize("noisy_channels", [0, 3])
@pytest.mark.parametrize("training", [True, False])
def test_spatial_gcn(training, noisy_channels, dim):
    gcn = shake(SpatialGCN(5 - noisy_channels, dim, noisy_channels=noisy_channels).double()).train(training)
    x = torch.randn(2, 2, 17, 5, dtype=torch.float64)
    expected = oracles.spatial_gcn(x.tolist(), lists(gcn), training=training)
    assert_close(gcn(x), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("dim", [4, 40])
def test_autocast_leaves_the_coordinates_their_precision(dtype, dim):
    gcn = shake(SpatialGCN(2, dim, noisy_channels=3)).eval()
    x = torch.randn(1, 2, 17, 5)
    expected, rounded = gcn(x), gcn(x.to(dtype).float())
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(gcn(x), expected)
        assert torch.equal(gcn(x.to(dtype)), rounded)


def test_noise_passes_no_rectifier():
    gcn = shake(SpatialGCN(2, 4, noisy_channels=3).double()).eval()
    pose, noise = torch.randn(1, 2, 17, 2).double(), torch.randn(1, 2, 17, 3).double()
    embedded = [gcn(torch.cat((pose, scale * noise), dim=-1)) for scale in (0.0, 1.0, 1000.0)]
    assert_close((embedded[2] - embedded[0]) / 1000.0, embedded[1] - embedded[0])


def test_learned_topology_starts_near_the_fixed_one():
    layer = GraphConvolution(2, 2, 5)
    assert torch.equal(layer.adjacency, torch.full((5, 5), 1e-6))
    assert torch.equal(layer.modulation, torch.ones(5, 2))


def test_projections_start_with_the_gain_of_a_rectifier():
    # Uniform within sqrt(2) sqrt(6 / (in + out)); of 20,000 draws the largest is close to the bound.
    layer = GraphConvolution(100, 200, 5)
    bound = (2 * 6 / 300) ** 0.5
    for projection in layer.weight.detach():
        assert 0.999 * bound < float(projection.abs().max()) <= bound


@pytest.mark.parametrize("axes", [(3,), (2, 3)])
@pytest.mark.parametrize("weighted", [True, False])
def test_a_layer_over_fewer_nodes(axes, weighted):
    layer = shake(GraphConvolution(3, 2, 5).double()).eval()
    x = torch.randn(*axes, 4, 3, dtype=torch.float64)
    fixed, correlation = torch.randn(4, 4).double(), torch.rand(*axes, 4, 4).double()
    state = lists(layer)
    learned = [row[:4] for row in state["adjacency"][:4]]
    base = torch.tensor(oracles.topology(fixed.tolist(), learned), dtype=torch.float64)
    couplings = (correlation * base if weighted else base.expand(*axes, 4, 4)).flatten(0, -3).tolist()
    expected = oracles.graph_layer(x.flatten(0, -3).tolist(), couplings, state, training=False)
    out = layer(x, fixed, correlation if weighted else None)
    assert_close(out.flatten(0, -3), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("dim", [4, 60])
def test_skeleton_is_not_saved_and_follows_the_module(dim):
    gcn = SpatialGCN(3, dim).to(torch.bfloat16).eval()
    assert "skeleton" not in gcn.state_dict()
    assert gcn(torch.randn(1, 2, 17, 3, dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert gcn.to("meta")(torch.empty(1, 2, 17, 3, dtype=torch.bfloat16, device="meta")).is_meta


def test_nodes_added_for_a_fast_product_change_nothing(monkeypatch):
    x, correlation = torch.randn(2, 3, 17, 4), torch.rand(2, 3, 17, 17)
    convolution = GraphConvolution(4, 8, 17).eval()
    chain = chain_graph(17, x)
    expected = convolution(x, chain), convolution(x, chain, correlation)
    monkeypatch.setattr(graph, "_nodes_to_add", lambda nodes, like: -nodes % 8)  # as compiled on a GPU
    assert_close((convolution(x, chain), convolution(x, chain, correlation)), expected, rtol=1e-6, atol=1e-6)
