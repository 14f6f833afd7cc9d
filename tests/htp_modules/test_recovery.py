import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import DTYPES, lists, shake
from torch.testing import assert_close

from htp_modules import CrossMHSA, Interpolation, KeptFrames
from htp_modules.recovery import interpolate_frames


def kept_frames(batch, frames, num_keep):
    rows = [torch.randperm(frames)[:num_keep].sort().values for _ in range(batch)]
    return KeptFrames(torch.stack(rows), frames)


sizes = [st.integers(1, 2), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3), st.integers(0, 1000)]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(("frames", "num_keep"), [(5, 2), (3, 3), (4, 1), (1, 1)])
def test_cross_attention_equals_the_slow_formula(fused, frames, num_keep):
    recover = shake(CrossMHSA(4, 5, 2).double())
    recover.fused = fused
    x = torch.randn(2, num_keep, 3, 4, dtype=torch.float64)
    expected = [oracles.cross_attention(clip, lists(recover), 2, frames) for clip in x.tolist()]
    out = recover(x, kept_frames(2, frames, num_keep))
    assert_close(out, torch.tensor(expected, dtype=torch.float64))


@given(*sizes)
def test_interpolation_equals_the_slow_formula(batch, frames, num_keep, joints, seed):
    torch.manual_seed(seed)
    num_keep = min(num_keep, frames)
    x = torch.randn(batch, num_keep, joints, 2, dtype=torch.float64)
    kept = kept_frames(batch, frames, num_keep)
    expected = [
        oracles.interpolation(clip, index, frames)
        for clip, index in zip(x.tolist(), kept.index.tolist(), strict=True)
    ]
    assert_close(interpolate_frames(x, kept), torch.tensor(expected, dtype=torch.float64))


@given(*sizes, st.sampled_from(DTYPES))
def test_interpolation_returns_the_kept_frames_themselves(batch, frames, num_keep, joints, seed, dtype):
    torch.manual_seed(seed)
    num_keep = min(num_keep, frames)
    x = torch.randn(batch, num_keep, joints, 2).to(dtype)
    kept = kept_frames(batch, frames, num_keep)
    out = Interpolation()(x, kept)
    assert out.dtype == dtype
    assert torch.equal(kept.gather(out), x)


def test_interpolation_restores_a_straight_line():
    line = torch.arange(300.0).view(1, 300, 1, 1)
    kept = KeptFrames(torch.tensor([[0, 7, 290, 299]]), 300)
    assert_close(interpolate_frames(kept.gather(line), kept), line)


def test_the_order_of_the_kept_tokens_does_not_matter_to_attention():
    recover = CrossMHSA(4, 6, 2).double()
    x, kept = torch.randn(1, 4, 2, 4).double(), kept_frames(1, 6, 4)
    assert_close(recover(x.flip(1), kept), recover(x, kept))


def test_gradients():
    kept = KeptFrames(torch.tensor([[1, 3]]), 5)
    x = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: interpolate_frames(x, kept), [x])
    recover = shake(CrossMHSA(2, 5, 1).double())
    assert torch.autograd.gradcheck(lambda x: recover(x, kept), [x])
