import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import random_mask
from torch.testing import assert_close

from htp_modules import CrossMHSA, KeptFrames
from htp_modules import attention as attention_module
from htp_modules.attention import MultiHeadAttention, additive_mask, explicit_attention, fused_attention


def additive(keep, dtype=torch.float64):
    return None if keep is None else additive_mask(keep, dtype)


def inputs(batch, heads, queries, keys, width, seed, masked):
    generator = torch.Generator().manual_seed(seed)
    shapes = [(batch, heads, n, width) for n in (queries, keys, keys)]
    keep = None
    if masked:
        keep = torch.rand(batch, 1, queries, keys, generator=generator) < 0.5
        keep[..., 0] = True  # no row is empty
    return [torch.randn(s, dtype=torch.float64, generator=generator) for s in shapes], keep


sizes = [st.integers(1, 2), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4)]


@given(*sizes, st.integers(0, 1000), st.booleans())
def test_both_paths_equal_the_slow_formula(batch, heads, queries, keys, width, seed, masked):
    qkv, keep = inputs(batch, heads, queries, keys, width, seed, masked)
    expected = [
        oracles.attention(
            *(t[b].transpose(0, 1).flatten(1).tolist() for t in qkv),
            heads,
            keep[b, 0].tolist() if masked else None,
        )
        for b in range(batch)
    ]
    expected = torch.tensor(expected, dtype=torch.float64).unflatten(-1, (heads, width)).transpose(1, 2)
    for attend in (fused_attention, explicit_attention):
        assert_close(attend(*qkv, additive(keep)), expected)
    single = explicit_attention(*(part.float() for part in qkv), additive(keep, torch.float32))
    assert_close(single, expected.float())
    with pytest.MonkeyPatch.context() as patched:  # the path of compiled graphs
        patched.setattr(torch.compiler, "is_compiling", lambda: True)
        assert_close(explicit_attention(*qkv, additive(keep)), expected)


@pytest.mark.parametrize("attend", [fused_attention, explicit_attention])
@pytest.mark.parametrize("masked", [True, False])
def test_gradients(attend, masked):
    qkv, keep = inputs(1, 2, 3, 3, 2, seed=0, masked=masked)
    assert torch.autograd.gradcheck(lambda *t: attend(*t, additive(keep)), [t.requires_grad_() for t in qkv])


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)]
)
def test_the_module_gives_the_same_on_both_paths(dtype, tolerance):
    attention = MultiHeadAttention(16, 4).to(dtype)
    x = torch.randn(3, 7, 16).to(dtype)
    for mask in (None, additive(random_mask(1, 3, 7).folded(), dtype)):
        attention.fused = True
        fused = attention(x, mask)
        attention.fused = False
        assert_close(attention(x, mask), fused, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("made_in", [torch.float64, torch.bfloat16])
def test_the_mask_may_have_any_dtype(made_in):
    attention, x = MultiHeadAttention(8, 2), torch.randn(3, 7, 8)
    keep = random_mask(1, 3, 7).folded()
    expected = attention(x, additive(keep, torch.float32))
    assert torch.equal(attention(x, additive(keep, made_in)), expected)
    assert not torch.allclose(attention(x), expected)


def test_it_is_made_as_the_public_models_make_it():
    attention = MultiHeadAttention(16)
    assert attention.num_heads == 8
    assert attention.qkv.bias is not None
    assert MultiHeadAttention(16, qkv_bias=False).qkv.bias is None


FUSED, WRITTEN_OUT = "fused_attention", "explicit_attention"


@pytest.fixture
def taken(monkeypatch):
    """The paths that were taken, in order."""
    names = []
    for name in (FUSED, WRITTEN_OUT):
        path = getattr(attention_module, name)
        monkeypatch.setattr(
            attention_module, name, lambda *args, name=name, path=path: names.append(name) or path(*args)
        )
    return names


def test_the_written_out_path_is_taken_in_bfloat16_on_a_cpu(taken):
    MultiHeadAttention(8, 2).to(torch.bfloat16)(torch.randn(1, 3, 8, dtype=torch.bfloat16))
    assert taken == [WRITTEN_OUT]


@torch.no_grad()
def test_the_written_out_path_is_taken_for_few_keys(taken):
    attention = MultiHeadAttention(512, 1)
    attention(torch.randn(2**10, 2, 512))  # 2^20 numbers
    attention(torch.randn(2**10 + 1, 2, 512))
    assert taken == [WRITTEN_OUT, FUSED]


@torch.no_grad()
def test_the_written_out_path_is_taken_for_few_scores(taken):
    attention, few = MultiHeadAttention(8, 2), torch.randn(1, 3, 8)
    attention(few)
    attention(torch.randn(2**10, 32, 8))  # 2^21 scores
    attention(torch.randn(2**10, 33, 8))
    attention.fused = False
    attention(few)
    attention.fused = True
    attention.double()(few.double())  # in float64 the two paths are compared
    assert taken == [WRITTEN_OUT, WRITTEN_OUT, FUSED, WRITTEN_OUT, FUSED]


@torch.no_grad()
def test_the_written_out_path_is_taken_for_short_sequences(taken):
    attention = MultiHeadAttention(8, 2)
    attention(torch.randn(1, 64, 8))
    attention(torch.randn(1, 65, 8))
    assert taken == [WRITTEN_OUT, FUSED]


@torch.no_grad()
def test_short_sequences_are_those_of_the_keys(taken):
    query, key = torch.randn(1, 1, 2**17, 9), torch.randn(1, 1, 2, 9)
    attention_module.attend(query, key, key)
    attention_module.attend(key, query, query)
    assert taken == [WRITTEN_OUT, FUSED]


def test_the_fused_path_is_taken_where_gradients_may_be_asked_for(taken):
    MultiHeadAttention(8, 2)(torch.randn(1, 3, 8))
    assert taken == [FUSED]


def test_the_recovery_takes_the_path_that_it_is_told(taken):
    recover, x = CrossMHSA(8, 9, 2), torch.randn(1, 2, 3, 8)
    kept = KeptFrames(torch.tensor([[0, 4]]), 9)
    recover(x, kept)
    recover.fused = False
    recover(x, kept)
    assert taken == [FUSED, WRITTEN_OUT]


def test_other_devices_take_the_fused_path(taken):
    few = torch.empty(1, 1, 3, 4, device="meta")
    attention_module.attend(few, few, few)
    attention_module.attend(few.bfloat16(), few.bfloat16(), few.bfloat16())
    assert taken == [FUSED, FUSED]


@torch.no_grad()
def test_a_graph_takes_the_fused_path(taken):
    torch.export.export(MultiHeadAttention(8, 2), (torch.randn(1, 3, 8),))
    assert set(taken) == {FUSED}
