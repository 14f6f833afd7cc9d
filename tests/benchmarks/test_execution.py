import pytest
import torch
import torch._inductor.config

from htp_diffusion.errors import BenchmarkError
from htp_diffusion.execution import first_call


def settings():
    matmul = getattr(torch.backends.mkldnn, "matmul", None)
    return torch._inductor.config.freezing, getattr(matmul, "fp32_precision", None)


def test_weights_are_packed_in_the_first_call_alone():
    before = settings()
    frozen, precision = first_call(settings)
    assert frozen
    assert precision in ("tf32", None)
    assert settings() == before


def test_a_first_call_that_fails_leaves_the_settings_as_they_were():
    before = settings()
    with pytest.raises(ZeroDivisionError):
        first_call(lambda: 1 // 0)
    assert settings() == before


def test_what_cannot_be_compiled_is_told_in_one_line():
    with pytest.raises(BenchmarkError, match=r"cannot be compiled here .*use mode eager"):
        first_call(lambda: torch.compile(lambda x: print(x), fullgraph=True, backend="eager")(torch.ones(1)))
