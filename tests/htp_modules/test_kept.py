from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import DTYPES
from torch.testing import assert_close

from htp_modules import KeptFrames, MaskError


@st.composite
def kept_frames(draw):
    batch, frames = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    num_keep = draw(st.integers(1, frames))
    rows = [sorted(draw(st.permutations(range(frames)))[:num_keep]) for _ in range(batch)]
    return KeptFrames(torch.tensor(rows), frames)


@given(kept_frames(), st.sampled_from(DTYPES))
def test_gather_and_spread_equal_loops(kept, dtype):
    batch, num_keep = kept.index.shape
    x = torch.randn(batch, kept.num_frames, 2, 3).to(dtype)
    gathered = kept.gather(x)
    spread = kept.spread(gathered)
    for b in range(batch):
        frames = kept.index[b].tolist()
        for place, frame in enumerate(frames):
            assert torch.equal(gathered[b, place], x[b, frame])
        for frame in range(kept.num_frames):
            assert torch.equal(
                spread[b, frame], x[b, frame] if frame in frames else torch.zeros_like(x[b, 0])
            )
    assert torch.equal(kept.gather(spread), gathered)
    assert kept.num_kept == num_keep
    assert kept.is_all == (num_keep == kept.num_frames)
    assert kept.validate() is kept


@given(kept_frames())
def test_gaps_add_up(kept):
    gaps = kept.gaps()
    assert bool((gaps >= 1).all())
    assert torch.equal(gaps.sum(dim=1), kept.index[:, -1] - kept.index[:, 0])
    assert gaps.tolist() == [[b - a for a, b in pairwise(row)] for row in kept.index.tolist()]


def test_all():
    kept = KeptFrames.all(2, 3).validate()
    assert kept.is_all
    assert kept.index.tolist() == [[0, 1, 2], [0, 1, 2]]
    x = torch.randn(2, 3, 1, 1)
    assert torch.equal(kept.gather(x), x)


def test_all_on_another_device():
    assert KeptFrames.all(2, 3, device="meta").index.is_meta


def test_tokens_on_another_device_are_refused():
    for kept, x in (
        (KeptFrames.all(2, 3, device="meta"), torch.randn(2, 3, 1, 1)),
        (KeptFrames.all(2, 3), torch.randn(2, 3, 1, 1, device="meta")),
    ):
        with pytest.raises(MaskError, match="gather expects the kept frames on"):
            kept.gather(x)
        with pytest.raises(MaskError, match="spread expects the kept frames on"):
            kept.spread(x)


def test_gradients():
    kept = KeptFrames(torch.tensor([[0, 2, 3]]), 5)
    x = torch.randn(1, 5, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(kept.gather, [x])
    assert torch.autograd.gradcheck(kept.spread, [x[:, :3].detach().requires_grad_()])
    kept.gather(x).sum().backward()
    assert_close(x.grad[0, :, 0, 0], torch.tensor([1.0, 0, 1, 1, 0], dtype=torch.float64))


def test_frozen():
    with pytest.raises(AttributeError):
        KeptFrames.all(1, 2).num_frames = 3
