from itertools import pairwise

import oracles
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from networks import EXTREMES, lists, shake, tokens, untied_tokens
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

import htp_modules.tcep as tcep_module
from htp_modules import TCEP, TemporalMask
from htp_modules.attention import additive_mask
from htp_modules.tcep import (
    correlated_frames,
    correlation_weights,
    products_rounded_once,
    temporal_correlation,
)


def mask_of(x, num_neighbors):
    """TCEP's mask alone."""
    tcep = TCEP(x.shape[-1], x.shape[1], num_neighbors).to(x.dtype).eval()
    with torch.no_grad():
        return tcep(x)[1]


neighbors = st.integers(1, 9)


class Sizes(TorchDispatchMode, list):
    """How many numbers there are in each float64 result of an operation."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            self.append(result.numel())
        return result


# --- against the slow formulas


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("frames", "num_neighbors", "num_layers"), [(5, 2, 2), (1, 3, 2), (4, 1, 1), (5, 9, 3)]
)
def test_equals_the_slow_formulas(training, frames, num_neighbors, num_layers):
    tcep = shake(TCEP(3, 5, num_neighbors, num_layers).double()).train(training)
    x = torch.randn(2, frames, 2, 3, dtype=torch.float64)
    refined, keeps = oracles.tcep(x.tolist(), lists(tcep), num_neighbors, num_layers, training=training)
    out, mask = tcep(x)
    assert mask.folded().tolist() == keeps
    assert_close(out, torch.tensor(refined, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precision_follows_the_slow_formulas(dtype):
    tcep = shake(TCEP(4, 6, 3)).to(dtype).eval()
    x = torch.randint(-3, 4, (2, 6, 2, 4)).to(dtype)  # exact in both, ties and all
    refined, keeps = oracles.tcep(x.double().tolist(), lists(tcep), 3, 2, training=False)
    out, mask = tcep(x)
    assert mask.folded().tolist() == keeps
    tolerance = 1e-5 if dtype == torch.float32 else 0.1
    assert_close(out.double(), torch.tensor(refined, dtype=torch.float64), rtol=tolerance, atol=tolerance)


@given(tokens(), neighbors)
def test_pure_functions_equal_the_slow_formulas(x, num_neighbors):
    x = x.double()[:1, :, :1].transpose(1, 2)
    assume(1e-9 < float(x.abs().max()) < 1e9)
    scores = temporal_correlation(x)
    expected = oracles.correlation(x[0, 0].tolist())
    assert_close(scores[0, 0], torch.tensor(expected, dtype=torch.float64))
    keep = correlated_frames(scores, num_neighbors)
    expected_keep = oracles.mask(scores[0, 0].tolist(), num_neighbors)
    assert keep[0, 0].tolist() == expected_keep
    weights = correlation_weights(
        scores + additive_mask(keep, scores.dtype), torch.ones(1, 1, 1, 1, dtype=torch.float64)
    )
    expected_weights = oracles.masked_softmax(expected, expected_keep)
    assert_close(weights[0, 0], torch.tensor(expected_weights, dtype=torch.float64))


@given(st.integers(1, 7), st.integers(1, 40), st.integers(0, 1000))
def test_products_rounded_once_are_the_nearest_float32(frames, dim, seed):
    x = torch.randn(1, 2, frames, dim, generator=torch.Generator().manual_seed(seed))
    products = products_rounded_once(x)
    assert products.dtype == torch.float32
    for joint in range(2):
        rows = x[0, joint].tolist()
        exact = torch.tensor([[oracles.dot(a, b) for b in rows] for a in rows], dtype=torch.float64)
        assert torch.equal(products[0, joint], exact.float())


def test_products_are_made_some_samples_at_a_time(monkeypatch):
    x = torch.randn(7, 2, 5, 16)
    whole = products_rounded_once(x)
    monkeypatch.setattr(tcep_module, "_MOST_WIDE", 2 * x[0].numel())  # three samples, three, and one
    with Sizes() as sizes:
        parts = products_rounded_once(x)
    assert max(sizes) == 3 * x[0].numel()
    assert torch.equal(parts, whole)


@pytest.mark.parametrize("frames", [1, 16, 27])
def test_rows_of_a_mask_begin_where_fused_attention_reads_them(frames):
    additive = additive_mask(torch.rand(2, 3, frames, frames) > 0.5, torch.float32)
    placed = tcep_module._aligned(additive)
    assert torch.equal(placed, additive)
    assert placed.stride(-1) == 1
    assert all(stride % 16 == 0 for stride in placed.stride()[:-1])


def test_scores_without_an_order_rank_last():
    nan, inf = torch.nan, torch.inf
    scores = torch.tensor([[0.0, nan, 1.0, -inf], [nan] * 4, [1.0, nan, 0.0, inf], [-inf, nan, inf, 0.0]])
    keep = correlated_frames(scores[None, None], 1)[0, 0]
    # Frames 0 and 2 take each other, 1 and 3 the first of equals.
    expected = [[1, 1, 1, 1], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    assert keep.tolist() == expected
    # Two choices: frame 0 also takes the first of NaN and -inf.
    assert correlated_frames(scores[None, None], 2)[0, 0, 0].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@given(neighbors, st.sets(st.integers(0, 6), min_size=1, max_size=5), st.integers(0, 1000))
def test_frames_are_correlated_as_without_the_lost_ones(value, num_neighbors, lost, seed):
    x = torch.randn(1, 1, 7, 3, generator=torch.Generator().manual_seed(seed))
    others = [frame for frame in range(7) if frame not in lost]
    expected = correlated_frames(temporal_correlation(x[:, :, others]), num_neighbors)
    x[0, 0, list(lost), 1] = value
    keep = correlated_frames(temporal_correlation(x), num_neighbors)
    TemporalMask(keep.bool()).validate(num_neighbors)
    if num_neighbors < len(others):
        assert torch.equal(keep[..., others, :][..., others], expected)


def test_weights_take_the_scale_twice():
    scores, keep = torch.randn(1, 1, 3, 3), torch.ones(1, 1, 3, 3, dtype=torch.bool)
    weights = correlation_weights(scores + additive_mask(keep, scores.dtype), torch.full((1, 1, 1, 1), 2.0))
    assert_close(weights, (4 * scores).softmax(dim=-1))


@pytest.mark.parametrize("scale", [2.0**40, 2.0**100, 2.0**-100])
def test_weights_of_extreme_tokens(scale):
    scores = torch.tensor([[[[1.0, 3.0, 2.0], [3.0, 3.0, 9.0], [2.0, 9.0, 2.0]]]])
    keep = torch.tensor([[[[True, True, True], [True, True, False], [True, False, True]]]])
    weights = correlation_weights(scores + additive_mask(keep, scores.dtype), torch.full((1, 1, 1, 1), scale))
    # Times scale²: the highest takes all, or all kept ones are equal.
    huge = [[[[0, 1, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]]]]
    tiny = [[[[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0], [0.5, 0, 0.5]]]]
    assert_close(weights, torch.tensor(huge if scale > 1 else tiny))


# --- properties of the mask


@given(tokens(), neighbors)
def test_mask_keeps_its_invariants(x, num_neighbors):
    mask = mask_of(x, num_neighbors)
    keep = mask.keep
    assert keep.shape == (x.shape[0], x.shape[2], x.shape[1], x.shape[1])
    assert torch.equal(keep, keep.transpose(-2, -1))
    assert bool(keep.diagonal(dim1=-2, dim2=-1).all())
    assert bool((keep.sum(dim=-1) >= min(num_neighbors, x.shape[1] - 1) + 1).all())
    assert mask.validate(num_neighbors) is mask


@given(tokens(), st.integers(0, 3))
def test_every_neighbor_gives_the_dense_mask(x, more):
    assert bool(mask_of(x, max(1, x.shape[1] - 1 + more)).keep.all())


@given(tokens(), neighbors)
def test_samples_do_not_see_each_other(x, num_neighbors):
    together = mask_of(x, num_neighbors).keep
    for alone, expected in zip(x.split(1), together.split(1), strict=True):
        assert torch.equal(mask_of(alone, num_neighbors).keep, expected)


@given(tokens(), neighbors)
def test_same_input_same_mask(x, num_neighbors):
    first = mask_of(x, num_neighbors).keep
    assert torch.equal(mask_of(x, num_neighbors).keep, first)
    copies = mask_of(torch.cat([x, x, x]), num_neighbors).keep
    assert torch.equal(copies, torch.cat([first] * 3))


def test_same_input_same_mask_at_a_real_size():
    x = torch.randn(1, 81, 17, 32)
    x[:, 40:60] = x[:, 40:41]  # a pause: exact ties
    alone = mask_of(x, 54).keep
    assert torch.equal(mask_of(x.expand(4, -1, -1, -1), 54).keep, alone.expand(4, -1, -1, -1))
    assert torch.equal(mask_of(torch.cat([torch.randn_like(x), x]), 54).keep[1:], alone)


@given(untied_tokens(), neighbors, st.randoms(use_true_random=False))
def test_permuting_frames_permutes_the_mask(x, num_neighbors, random):
    order = list(range(x.shape[1]))
    random.shuffle(order)
    permuted = mask_of(x[:, order], num_neighbors).keep
    assert torch.equal(permuted, mask_of(x, num_neighbors).keep[:, :, order][..., order])


@given(untied_tokens())
def test_masks_nest_as_neighbors_grow(x):
    keeps = [mask_of(x, k).keep for k in range(1, x.shape[1] + 1)]
    for smaller, larger in pairwise(keeps):
        assert bool((larger | ~smaller).all())


@given(tokens(extremes=(1.0,)), neighbors)
def test_magnitude_does_not_change_the_mask(x, num_neighbors):
    expected = mask_of(x, num_neighbors).keep
    for factor in EXTREMES:
        assert torch.equal(mask_of(x * factor, num_neighbors).keep, expected)


@pytest.mark.parametrize("exponent", range(-120, 121, 8))
def test_no_magnitude_in_between_changes_the_mask(exponent):
    x = torch.randint(-9, 10, (1, 8, 2, 512)).float()  # exact at every power of two
    assert torch.equal(mask_of(x * 2.0**exponent, 3).keep, mask_of(x, 3).keep)


@pytest.mark.parametrize("extreme", [2.0**100, 2.0**-100])
def test_a_joint_does_not_see_how_large_the_others_are(extreme):
    x = torch.randint(-9, 10, (2, 8, 3, 16)).float()
    expected = mask_of(x, 3).keep
    x[1, :, 1] *= extreme
    assert torch.equal(mask_of(x, 3).keep, expected)


# --- the module


@given(tokens(), st.booleans())
def test_a_fresh_one_is_the_identity_on_tokens(x, training):
    assume(not training or x.shape[:3].numel() > 1)  # a batch norm needs two values to train on
    tcep = TCEP(x.shape[-1], x.shape[1]).to(x.dtype).train(training)
    assert torch.equal(tcep(x)[0], x)


def test_default_neighbors_are_two_thirds():
    x = torch.randn(1, 12, 1, 4)
    keep = TCEP(4, 12).eval()(x)[1].keep
    assert torch.equal(keep, mask_of(x, 8).keep)
    assert not torch.equal(keep, mask_of(x, 7).keep)


def test_neighbors_change_without_touching_weights():
    tcep = TCEP(4, 9, 2).eval()
    before = {name: value.clone() for name, value in tcep.state_dict().items()}
    x = torch.randn(1, 9, 2, 4)
    assert not bool(tcep(x)[1].keep.all())
    tcep.num_neighbors = 8
    assert bool(tcep(x)[1].keep.all())
    assert all(torch.equal(value, before[name]) for name, value in tcep.state_dict().items())


def test_parameters_are_those_of_the_paper():
    # Two layers: W (2, D, D), m (T, D), A_G (T, T), bias and batch norm (3 D); Table XI prints +1.4 M.
    dim, frames = 512, 243
    expected = 2 * (2 * dim * dim + frames * dim + frames * frames + 3 * dim)
    assert sum(p.numel() for p in TCEP(dim, frames).parameters()) == expected == 1_418_578


def test_gradients_of_the_pure_functions():
    x = torch.randn(1, 1, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(temporal_correlation, [x])
    keep = correlated_frames(temporal_correlation(x), 1)
    one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    scores = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s: correlation_weights(s + additive_mask(keep, s.dtype), one), [scores]
    )


def test_gradients_of_the_module():
    tcep = shake(TCEP(2, 4, 2).double()).eval()
    x = torch.randn(1, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tcep(x)[0], [x])


def test_a_fresh_one_can_learn():
    tcep = TCEP(4, 5)
    tcep(torch.randn(2, 5, 3, 4))[0].square().sum().backward()
    assert bool(tcep.layers[-1].norm.weight.grad.abs().sum() > 0)
