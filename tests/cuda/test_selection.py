"""The same mask and the same frames on every device, with TensorFloat-32 allowed and without.

Oracle: scores in float64 on the CPU, ranked by sorting. Tokens are such that no rank hangs on what float32
rounds, and some hang on what TensorFloat-32 would.
"""

import pytest
import torch
from cases import MODELS, build
from networks import random_mask
from precisions import matmul_precision
from running import exact, moved

from htp_modules import MGPTP, TCEP, record

SHAPE = (2, 40, 4, 64)  # batch, frames, joints, dim
NEIGHBORS, KEEP = 26, 9
ROUNDING = 1e-5  # float32's, of a score around 1, is below it; TensorFloat-32's is above


def best_mask(x, num_neighbors):
    """Each frame's best others and the reverse; the smallest gap between the last in and the first out."""
    tokens = x.double().transpose(1, 2)
    scores = tokens @ tokens.transpose(-2, -1) / x.shape[-1] ** 0.5
    itself = torch.eye(x.shape[1], dtype=torch.bool)
    ranked = scores.masked_fill(itself, torch.inf).sort(dim=-1, descending=True)
    gap = (ranked.values[..., num_neighbors] - ranked.values[..., num_neighbors + 1]).min()
    keep = torch.zeros_like(itself.expand_as(scores)).scatter(
        -1, ranked.indices[..., : num_neighbors + 1], True
    )
    return keep | keep.transpose(-2, -1), float(gap)


def in_11_bits(x):
    """What TensorFloat-32 makes of float32: the last 13 bits rounded away."""
    return ((x.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)


@pytest.fixture(params=["highest", "high"])
def precise(request):
    with matmul_precision(request.param):
        yield


@pytest.mark.usefixtures("precise")
def test_the_mask(device):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(78))
    expected, gap = best_mask(x, NEIGHBORS)
    assert gap > ROUNDING
    assert not torch.equal(best_mask(in_11_bits(x), NEIGHBORS)[0], expected)
    tcep = TCEP(SHAPE[-1], SHAPE[1], NEIGHBORS).eval().to(device)
    assert torch.equal(tcep(x.to(device))[1].keep.cpu(), expected)
    with torch.autocast(device.type, torch.bfloat16):
        assert torch.equal(tcep(x.to(device))[1].keep.cpu(), expected)


@pytest.mark.usefixtures("precise")
def test_ties_of_the_mask(device):
    x = torch.randint(-3, 4, SHAPE, generator=torch.Generator().manual_seed(1)).float()  # exact in all
    x[:, 10:20] = x[:, 10:11]  # a pause
    expected = TCEP(SHAPE[-1], SHAPE[1], NEIGHBORS).eval()(x)[1].keep
    assert best_mask(x, NEIGHBORS)[1] == 0
    tcep = TCEP(SHAPE[-1], SHAPE[1], NEIGHBORS).eval().to(device)
    assert torch.equal(tcep(x.to(device))[1].keep.cpu(), expected)


@pytest.mark.usefixtures("precise")
@pytest.mark.parametrize("batch", [1, 64])
def test_one_clip_in_any_batch(batch, device):
    x = torch.randn(1, *SHAPE[1:], generator=torch.Generator().manual_seed(2))
    tcep = TCEP(SHAPE[-1], SHAPE[1], NEIGHBORS).eval().to(device)
    expected = tcep(x.to(device))[1].keep
    others = torch.randn(batch, *SHAPE[1:])
    assert torch.equal(tcep(torch.cat([x, others]).to(device))[1].keep[:1], expected)


@pytest.mark.usefixtures("precise")
def test_the_frames(device):
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(3))
    mask = random_mask(SHAPE[0], SHAPE[2], SHAPE[1])
    expected = MGPTP(KEEP)(x.double(), mask)[1].index
    assert torch.equal(MGPTP(KEEP)(x.to(device), mask.to(device))[1].index.cpu(), expected)


@pytest.mark.parametrize("name", MODELS)
def test_a_whole_model(name, device):
    model, inputs = build(MODELS[name])
    wide = exact(model)
    with torch.no_grad(), record(wide) as expected:
        wide(*moved(inputs, torch.float64))
    with torch.no_grad(), matmul_precision("highest"), record(model.to(device)) as seen:
        model(*moved(inputs, device))
    for found, exactly in zip(seen.masks, expected.masks, strict=True):
        assert torch.equal(found.keep.cpu(), exactly.keep)
    for found, exactly in zip(seen.kept, expected.kept, strict=True):
        assert torch.equal(found.index.cpu(), exactly.index)


@pytest.mark.cuda
def test_a_gpu_ranks_a_lost_frame_last():
    # Nothing is checked there: it would wait for the device.
    x, mask = torch.randn(1, 9, 2, 3), random_mask(1, 2, 9)
    x[0, 4, 1, 0] = torch.nan
    kept = MGPTP(8)(x.cuda(), mask.to("cuda"))[1].index.tolist()
    assert kept == [[0, 1, 2, 3, 5, 6, 7, 8]]
    TCEP(3, 9, 2).cuda().eval()(x.cuda())[1].validate(2)
