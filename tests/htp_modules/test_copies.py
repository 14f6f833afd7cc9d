"""Every module copied, saved, loaded and run in other precisions."""

import copy
import io
import pickle

import pytest
import torch
from networks import Network, random_mask, shake

from htp_modules import (
    MGPTP,
    SFTMHSA,
    TCEP,
    CrossMHSA,
    Interpolation,
    SpatialGCN,
)


def modules():
    mask = random_mask(2, 3, 9)
    x = torch.randn(2, 9, 3, 8)
    kept = MGPTP(4)(x, mask)[1]
    return {
        "tcep": (TCEP(8, 9), (x,)),
        "sft": (SFTMHSA(8, 2), (x, mask)),
        "mgptp": (MGPTP(0.4), (x, mask)),
        "cross": (CrossMHSA(8, 9, 2), (x[:, :4], kept)),
        "interpolation": (Interpolation(), (x[:, :4], kept)),
        "gcn": (SpatialGCN(8, 4, 3), (x,)),
        "network": (Network(), (x,)),
    }


NAMES = sorted(modules())


def tensor_of(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("name", NAMES)
def test_copies_compute_the_same_and_are_their_own(name):
    module, inputs = modules()[name]
    module = shake(module).eval()
    expected = tensor_of(module(*inputs))
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(tensor_of(other(*inputs)), expected)
        if list(other.parameters()):
            shake(other)
            assert not torch.equal(tensor_of(other(*inputs)), expected)
    assert torch.equal(tensor_of(module(*inputs)), expected)


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_round_trip(name):
    module, inputs = modules()[name]
    module = shake(module).eval()
    fresh, _ = modules()[name]
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(tensor_of(fresh.eval()(*inputs)), tensor_of(module(*inputs)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("training", [True, False])
def test_precisions(name, dtype, training):
    module, inputs = modules()[name]
    module = module.to(dtype).train(training)
    inputs = [i.to(dtype) if isinstance(i, torch.Tensor) else i for i in inputs]
    out = tensor_of(module(*inputs))
    assert out.dtype == dtype
    assert bool(out.isfinite().all())
    if list(module.parameters()):
        out.float().square().mean().backward()
        assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in module.parameters())
