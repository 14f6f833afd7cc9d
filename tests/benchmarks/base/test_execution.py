import pytest
import torch
import torch._inductor.config

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import Compiled

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
    with pytest.raises(BenchmarkError, match=r"cannot be compiled here .*use mode eager"):
        Compiled(lambda x: print(x))(X)
