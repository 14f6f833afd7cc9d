import io

import pytest
import torch
from networks import Network, random_mask, shake
from torch.testing import assert_close

from htp_modules import MGPTP, SFTMHSA, TCEP, CrossMHSA, HTPConfig, KeptFrames, TemporalMask
from htp_modules.tcep import products_rounded_once

pytestmark = [
    pytest.mark.unhooked,
    # PyTorch's own compiler, about its own internals.
    pytest.mark.filterwarnings("ignore::FutureWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]

EXAMPLES = {
    "tcep": lambda: (TCEP(8, 9, 4), (torch.randn(2, 9, 3, 8),)),
    "sft": lambda: (SFTMHSA(8, 2), (torch.randn(2, 9, 3, 8), random_mask(2, 3, 9))),
    "mgptp": lambda: (MGPTP(4), (torch.randn(2, 9, 3, 8), random_mask(2, 3, 9))),
    "requiring": lambda: (
        MGPTP(4, required=("centre", "last", 1)),
        (torch.randn(2, 9, 3, 8), random_mask(2, 3, 9)),
    ),
    "cross": lambda: (
        CrossMHSA(8, 9, 2),
        (torch.randn(2, 3, 3, 8), KeptFrames(torch.tensor([[0, 4, 8], [1, 2, 3]]), 9)),
    ),
    "network": lambda: (Network(), (torch.randn(2, 9, 3, 8),)),
    "interpolating": lambda: (
        Network(config=HTPConfig(recovery="interpolate", num_sft_layers=1)),
        (torch.randn(2, 9, 3, 8),),
    ),
}


def assert_same(actual, expected):
    """The same tokens, and the very same mask or frames, of the same classes."""
    if not isinstance(expected, tuple):
        actual, expected = (actual,), (expected,)
    for a, e in zip(actual, expected, strict=True):
        assert type(a) is type(e)
        if isinstance(e, TemporalMask):
            assert torch.equal(a.keep, e.keep)
        elif isinstance(e, KeptFrames):
            assert torch.equal(a.index, e.index)
            assert a.num_frames == e.num_frames
        else:
            assert_close(a, e)


@pytest.mark.parametrize("name", EXAMPLES)
def test_compiles_as_one_graph(name):
    torch._dynamo.reset()
    module, inputs = EXAMPLES[name]()
    module = shake(module).eval()
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert_same(compiled(*inputs), module(*inputs))


def test_trains_as_one_graph():
    torch._dynamo.reset()
    network = shake(Network())
    x = torch.randn(2, 9, 3, 8)
    gradients = []
    for run in (network, torch.compile(network, fullgraph=True, backend="aot_eager")):
        network.zero_grad()
        run(x).square().mean().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for eager, compiled in zip(*gradients, strict=True):
        assert_close(compiled, eager, rtol=1e-4, atol=1e-5)


def test_a_compiled_graph_ranks_a_lost_frame_last():
    torch._dynamo.reset()
    compiled = torch.compile(MGPTP(4), fullgraph=True, backend="aot_eager")
    mask, x = random_mask(1, 2, 9), torch.randn(1, 9, 2, 3)
    for frame in (0, 3, 8):
        lost = x.clone()
        lost[0, frame, 0, 1] = torch.nan
        others = [other for other in range(9) if other != frame]
        expected = MGPTP(4)(x[:, others], TemporalMask(mask.keep[..., others, :][..., others]))[1].index[0]
        kept = compiled(lost, mask)[1].validate()
        assert kept.index[0].tolist() == [others[number] for number in expected]


def test_a_compiled_graph_given_nan_masks_validly():
    torch._dynamo.reset()
    tcep = shake(TCEP(8, 9, 4)).eval()
    compiled = torch.compile(tcep, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 9, 3, 8)
    expected = tcep(x)[1].keep
    x[0, 3, 1, 2] = torch.nan
    mask = compiled(x)[1].validate(4)
    assert torch.equal(mask.keep[0, ::2], expected[0, ::2])
    assert torch.equal(mask.keep[1], expected[1])
    # Chosen by no frame with four others to choose: its row is its own choice, all equal, so the first four.
    assert mask.keep[0, 1, 3].nonzero().flatten().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", EXAMPLES)
def test_exports(name):
    module, inputs = EXAMPLES[name]()
    module = shake(module).eval()
    program = torch.export.export(module, inputs)
    with torch.no_grad():
        assert_same(program.module()(*inputs), module(*inputs))


def test_exports_for_any_batch():
    network = shake(Network()).eval()
    batch = torch.export.Dim("batch", min=2, max=64)
    program = torch.export.export(network, (torch.randn(2, 9, 3, 8),), dynamic_shapes={"x": {0: batch}})
    x = torch.randn(5, 9, 3, 8)
    with torch.no_grad():
        assert_close(program.module()(x), network(x))


def test_an_exported_file_runs():
    tcep, inputs = EXAMPLES["tcep"]()
    tcep = shake(tcep).eval()
    file = io.BytesIO()
    torch.export.save(torch.export.export(tcep, inputs), file)
    file.seek(0)
    with torch.no_grad():
        assert_same(torch.export.load(file).module()(*inputs), tcep(*inputs))


def test_a_compiled_graph_widens_a_part_of_the_joints_at_a_time():
    wide = []

    def backend(graph, inputs):
        values = [node.meta.get("example_value") for node in graph.graph.nodes]
        wide.extend(v.numel() for v in values if isinstance(v, torch.Tensor) and v.dtype == torch.float64)
        return graph.forward

    x = torch.randn(3, 17, 5, 16)
    found = torch.compile(products_rounded_once, backend=backend, fullgraph=True)(x)
    assert 0 < max(wide) <= x.numel() * 5 / 17  # four parts: 5, 5, 5 and 2 joints
    assert torch.equal(found, products_rounded_once(x))
