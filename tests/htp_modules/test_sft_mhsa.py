import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import DTYPES, lists, random_mask, shake
from torch.testing import assert_close

from htp_modules import SFTMHSA, TemporalMask

sizes = [st.integers(1, 2), st.integers(1, 6), st.integers(1, 3), st.integers(0, 1000)]


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(("frames", "joints"), [(4, 2), (1, 1)])
def test_equals_the_slow_formula(qkv_bias, masked, frames, joints):
    sft = shake(SFTMHSA(4, 2, qkv_bias=qkv_bias).double())
    x = torch.randn(2, frames, joints, 4, dtype=torch.float64)
    mask = random_mask(2, joints, frames) if masked else None
    expected = oracles.sft(x.tolist(), lists(sft), 2, mask.folded().tolist() if mask else None)
    assert_close(sft(x, mask), torch.tensor(expected, dtype=torch.float64))


@given(*sizes)
def test_a_dense_mask_is_the_plain_block(batch, frames, joints, seed):
    torch.manual_seed(seed)
    sft = SFTMHSA(4, 2)
    x = torch.randn(batch, frames, joints, 4)
    assert_close(sft(x, TemporalMask.dense(batch, joints, frames)), sft(x))


@given(*sizes, st.booleans(), st.sampled_from(DTYPES), st.data())
def test_a_frame_does_not_see_what_it_may_not_attend_to(batch, frames, joints, seed, fused, dtype, data):
    torch.manual_seed(seed)
    sft = SFTMHSA(4, 2).to(dtype)
    sft.attn.fused = fused
    x = torch.randn(batch, frames, joints, 4).to(dtype)
    mask = random_mask(batch, joints, frames)
    changed = data.draw(st.integers(0, frames - 1))
    other = x.clone()
    other[:, changed] = 1000 * torch.randn(batch, joints, 4)
    blind = ~mask.keep[:, :, :, changed].transpose(1, 2)  # (batch, frames, joints)
    before, after = sft(x, mask), sft(other, mask)
    assert torch.equal(after[blind], before[blind])
    assert not bool(blind[:, changed].any())
    assert not torch.equal(after[:, changed], before[:, changed])


@given(*sizes)
def test_samples_and_joints_do_not_see_each_other(batch, frames, joints, seed):
    torch.manual_seed(seed)
    sft = SFTMHSA(4, 2).double()
    x = torch.randn(batch, frames, joints, 4).double()
    mask = random_mask(batch, joints, frames)
    out = sft(x, mask)
    for b in range(batch):
        for j in range(joints):
            alone = sft(x[b : b + 1, :, j : j + 1], TemporalMask(mask.keep[b : b + 1, j : j + 1]))
            assert_close(alone[0, :, 0], out[b, :, j])


@pytest.mark.parametrize("fused", [True, False])
def test_gradients(fused):
    sft = shake(SFTMHSA(2, 1).double())
    sft.attn.fused = fused
    mask = random_mask(1, 2, 3)
    x = torch.randn(1, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: sft(x, mask), [x])
