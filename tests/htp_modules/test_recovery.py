import math

import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import DTYPES, lists, shake
from torch.testing import assert_close

from htp_modules import CrossMHSA, Interpolation, KeptFrames
from htp_modules.recovery import frame_positions, interpolate_frames


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
    kept = kept_frames(2, frames, num_keep)
    expected = [
        oracles.cross_attention(clip, index, lists(recover), 2, frames)
        for clip, index in zip(x.tolist(), kept.index.tolist(), strict=True)
    ]
    out = recover(x, kept)
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


def test_interpolation_is_as_precise_as_its_tokens():
    # A share of 1/3 in float32 would be off by 1e-8.
    ends = torch.tensor([0.0, 3.0], dtype=torch.float64).view(1, 2, 1, 1)
    between = interpolate_frames(ends, KeptFrames(torch.tensor([[0, 3]]), 4)).flatten()
    assert_close(between, torch.arange(4, dtype=torch.float64), rtol=1e-15, atol=1e-15)


def test_interpolation_on_another_device():
    kept = KeptFrames(torch.zeros(1, 1, dtype=torch.int64, device="meta"), 4)
    assert interpolate_frames(torch.empty(1, 1, 2, 3, device="meta"), kept).is_meta


def test_frame_positions_are_waves_of_the_frame_number():
    """Six channels are three frequencies, 1, 1/2 and 1/4 (powers of 8 ** (-1 / 3)); sines before cosines."""
    expected = [[f(t * w) for f in (math.sin, math.cos) for w in (1.0, 0.5, 0.25)] for t in range(8)]
    assert_close(frame_positions(8, 6), torch.tensor(expected))
    assert frame_positions(8, 5).shape == (8, 5)
    # Of one or two frames the slowest of two waves has the frequency 2 ** (-1 / 2).
    angle = torch.tensor([1.0, 0.5**0.5])
    assert_close(frame_positions(2, 4)[1], torch.cat((angle.sin(), angle.cos())))
    assert_close(frame_positions(1, 4), torch.tensor([[0.0, 0.0, 1.0, 1.0]]))


@pytest.mark.parametrize(("dim", "heads", "frames"), [(64, 4, 81), (32, 1, 27), (8, 2, 2)])
def test_a_fresh_query_scores_8_at_its_own_frame_and_less_elsewhere(dim, heads, frames):
    """Mean over heads; positions have one norm, so by Cauchy and Schwarz no other frame can score higher."""
    recover = CrossMHSA(dim, frames, heads)
    query = recover.q(recover.queries).detach().view(frames, heads, -1)
    scores = torch.einsum("thd,shd->ts", query, query) / math.sqrt(dim // heads) / heads
    assert_close(scores.diagonal(), torch.full((frames,), 8.0))
    assert bool((scores.fill_diagonal_(0.0) < 7.99).all())


@pytest.mark.parametrize("frames", [27, 81])
def test_a_fresh_recovery_blends_the_kept_tokens_around_each_frame(frames):
    """From every second frame, a slow wave comes back, on top of the queries."""
    recover = CrossMHSA(64, frames, 1)
    wave = torch.sin(torch.arange(frames) * (2 * math.pi / 40)).view(1, frames, 1, 1).expand(1, frames, 2, 64)
    kept = KeptFrames(torch.arange(0, frames, 2).view(1, -1), frames)
    restored = recover(kept.gather(wave), kept) - recover.queries[:, None]
    assert (restored - wave)[:, 4:-4].abs().max() < 0.2
    assert (restored - wave).norm() < 0.15 * wave.norm()


def test_recovered_frames_depend_on_where_the_kept_frames_are():
    recover = CrossMHSA(8, 9, 2)
    x = torch.randn(1, 2, 3, 8)
    early, late = (KeptFrames(torch.tensor([index]), 9) for index in ([0, 1], [7, 8]))
    assert not torch.allclose(recover(x, early), recover(x, late))


def test_gradients():
    kept = KeptFrames(torch.tensor([[1, 3]]), 5)
    x = torch.randn(1, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: interpolate_frames(x, kept), [x])
    recover = shake(CrossMHSA(2, 5, 1).double())
    assert torch.autograd.gradcheck(lambda x: recover(x, kept), [x])
