import copy

import pytest
import torch
import torch._inductor.config
from torch import nn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import Compiled, CompiledParts, StaticCall

X = torch.ones(1)


def settings():
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return torch._inductor.config.freezing, getattr(matmul, "fp32_precision", None)


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


@pytest.mark.usefixtures("uncompiled")
def test_weights_are_packed_in_the_first_call_alone():
    before, seen = settings(), []
    compiled = Compiled(lambda x: seen.append(settings()) or x)
    for x in (X, X, torch.ones(2), X):
        assert compiled(x) is x
    frozen, precision = seen[0]
    assert frozen
    assert precision in ("tf32", None)
    assert seen == [seen[0], before, seen[0], before]
    assert settings() == before


@pytest.mark.usefixtures("uncompiled")
def test_a_first_call_that_fails_leaves_the_settings_as_they_were():
    before = settings()
    compiled = Compiled(lambda x: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        compiled(X)
    assert settings() == before


def test_what_cannot_be_compiled_is_told_in_one_line(monkeypatch):
    compiler = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda function, **options: compiler(function, backend="eager", **options)
    )
    with pytest.raises(BenchmarkError, match=r"cannot be compiled here .*run them eager"):
        Compiled(lambda x: print(x))(X)


class Blocks(nn.Module):
    """Two blocks that run the same code, and one that narrows."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(4, 4) for _ in range(2))
        self.head = nn.Linear(4, 2)

    def block(self, layer, x):
        return x + layer(x).relu()

    def forward(self, x):
        for layer in self.blocks:
            x = self.block(layer, x)
        return self.head(x)


@pytest.mark.unhooked
def test_parts_are_compiled_once_for_all_blocks_and_the_model_stays_as_it_was():
    torch.manual_seed(0)
    torch.compiler.reset()
    model, graphs = Blocks().eval(), []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    before = dict(vars(model)), dict(vars(model.head))
    compiled = CompiledParts(model, [(model, "block"), (model.head, "forward")], backend)
    x = torch.randn(3, 4)
    with torch.no_grad():
        assert torch.equal(compiled(x), model(x))
        assert len(graphs) == 2
        compiled(torch.randn(5, 4))  # other shapes: both once more
        assert len(graphs) == 4
        for again in (model, copy.deepcopy(model)):
            CompiledParts(again, [(again, "block"), (again.head, "forward")], backend)(x)
    assert len(graphs) == 4
    assert (vars(model), vars(model.head)) == before


def test_a_part_that_fails_leaves_the_model_as_it_was():
    model = Blocks()
    before = dict(vars(model))
    with pytest.raises(BenchmarkError, match="cannot be compiled here"):
        CompiledParts(model, [(model, "block")], "eager")(torch.randn(3, 5))
    assert vars(model) == before


def test_the_result_of_a_replay_outlives_the_next_one():
    """The stand-in writes into one tensor at each run, as a captured graph does."""

    def capture(function):
        result = function()
        return lambda: result.copy_(function()), result

    call = StaticCall(lambda x: 10 * x, (X,), capture)
    first = call(2 * X)
    assert call(3 * X).tolist() == [30.0]
    assert first.tolist() == [20.0]
