"""Models compiled by Inductor on a GPU, and the pruner, on a CPU traced alone.

Oracle: the same model run eagerly. Compiling takes most of this folder's time, so its tests come last. Models
are traced on a CPU elsewhere: a patched MixSTE in adapters/contract/test_graphs.py, HTPDenoiser in
benchmarks/speed/test_checks.py.
"""

import pytest
import torch
from cases import SMALL, build
from networks import random_mask
from running import exact, moved, share

from htp_diffusion.base.execution import CompiledParts
from htp_modules import MGPTP, TCEP

pytestmark = [
    pytest.mark.unhooked,
    pytest.mark.filterwarnings("ignore"),  # PyTorch's own compiler, about its own internals
]


def compiled(model, device):
    torch._dynamo.reset()
    backend = "inductor" if device.type == "cuda" else "eager"
    return torch.compile(model, fullgraph=True, dynamic=False, backend=backend)


def test_a_lost_frame_is_not_kept(device):
    model = compiled(MGPTP(4), device)
    mask = random_mask(1, 2, 9).to(device)
    x = torch.randn(1, 9, 2, 3)
    expected = MGPTP(4)(x.to(device), mask)[1].index.tolist()[0]
    assert model(x.to(device), mask)[1].index.tolist()[0] == expected
    x[0, expected[0], 1, 2] = torch.nan
    kept = model(x.to(device), mask)[1].validate().index.tolist()[0]
    assert expected[0] not in kept


@pytest.mark.cuda
@pytest.mark.parametrize("name", SMALL)
def test_compiled_as_one_graph(name):
    device = torch.device("cuda")
    model, inputs = build(SMALL[name])
    model, inputs = model.to(device), moved(inputs, device)
    with torch.no_grad():
        assert share(compiled(model, device)(*inputs), model(*inputs)) <= 1e-4


def test_compiled_in_16_bits(device):
    tcep, x = TCEP(64, 27).eval(), torch.randn(2, 27, 17, 64)
    torch.nn.init.ones_(tcep.layers[-1].norm.weight)  # else no graph convolution reaches the tokens
    expected, mask = exact(tcep)(x.double())
    tcep, x = tcep.to(device), x.to(device)
    for dtype, tolerance in ((torch.bfloat16, 3e-2), (torch.float16, 3e-3)):
        torch._dynamo.reset()
        backend = "inductor" if device.type == "cuda" else "aot_eager"
        compiled_tcep = CompiledParts(tcep, [(tcep, "forward")], backend)
        with torch.inference_mode(), torch.autocast(device.type, dtype):
            found, found_mask = compiled_tcep(x)
        # After bfloat16, a graph of it would do for float16 but for its rounding.
        assert share(found, expected) <= tolerance
        assert torch.equal(found_mask.keep.cpu(), mask.keep)
