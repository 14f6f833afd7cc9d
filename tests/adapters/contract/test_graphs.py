"""Compiling, exporting, ONNX. Oracle: the patched model run eagerly."""

import warnings

import hosts
import pytest
import torch
from torch.testing import assert_close


def prune(host, **options):
    """A patched host with a masked and a pruned block."""
    n = 1 if host.kind == "motionbert" else 0
    return host.patch(host.make(), num_neighbors=4, num_keep=3, num_sft_layers=n, **options)


pytestmark = [
    pytest.mark.unhooked,
    # PyTorch's own compiler, about its own internals.
    pytest.mark.filterwarnings("ignore::FutureWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


def test_compiles_as_one_graph(graph_host):
    torch._dynamo.reset()
    model, inputs = prune(graph_host), graph_host.inputs()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    with torch.no_grad():
        assert_close(compiled(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)


def test_trains_as_one_graph():
    torch._dynamo.reset()
    host = hosts.GRAPHS[0]
    model, inputs = prune(host), host.inputs()
    gradients = []
    for run in (model, torch.compile(model, fullgraph=True, backend="aot_eager")):
        model.zero_grad()
        run(*inputs).square().mean().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    for eager, compiled in zip(*gradients, strict=True):
        assert_close(compiled, eager, rtol=1e-3, atol=1e-4)


def test_exports(graph_host, tmp_path):
    """Exports, and what was exported runs in onnxruntime."""
    model, inputs = prune(graph_host), graph_host.inputs()
    program = torch.export.export(model, inputs)
    with torch.no_grad():
        expected = model(*inputs)
        assert_close(program.module()(*inputs), expected, rtol=1e-4, atol=1e-4)
    pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter and its libraries, about themselves
        torch.onnx.export(program, inputs, path, dynamo=True, verbose=False)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    named = zip(session.get_inputs(), inputs, strict=True)
    (output,) = session.run(None, {slot.name: value.numpy() for slot, value in named})
    assert_close(torch.from_numpy(output), expected, rtol=1e-4, atol=1e-4)
