import pruning_oracles
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from networks import DTYPES, EXTREMES, random_mask, tokens
from torch.testing import assert_close

from htp_modules import MGPTP, TCEP, ConfigError, TemporalMask
from htp_modules.mgptp import (
    guided_distance,
    log_density,
    log_support,
    pairwise_distance,
    separation,
)

num_keeps = st.integers(1, 9) | st.floats(0, 1, exclude_min=True)


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


def mask_of(x, num_neighbors=2):
    return TCEP(x.shape[-1], x.shape[1], num_neighbors).to(x.dtype).eval()(x)[1]


# --- against the slow formulas


@given(tokens(max_joints=2, extremes=(1.0,)), st.integers(1, 3))
def test_pure_functions_equal_the_slow_formulas(x, num_neighbors):
    x = x.double()[:1].mean(dim=2)
    frames = x.shape[1]
    weights = random_mask(1, 3, frames).frame_weights().double()
    plain = pruning_oracles.plain_distance(x[0].tolist())
    distance = guided_distance(x, weights > 0)
    valid = weights[0] > 0
    assert_close(distance[0][valid], double(plain)[valid])
    assert bool((distance[0][~valid] > max(map(max, plain))).all())
    slow = distance[0].tolist()
    assert_close(
        log_density(distance, num_neighbors).exp()[0], double(pruning_oracles.density(slow, num_neighbors))
    )
    assert_close(log_support(weights, 3).exp()[0], double(pruning_oracles.support(weights[0].tolist())))
    response = torch.randint(4, (1, frames)).double()  # ties
    assert_close(
        separation(distance, response)[0], double(pruning_oracles.separation(slow, response[0].tolist()))
    )


@given(st.integers(1, 9), st.integers(1, 40), st.sampled_from([0.0, 1e-5, 1e-2, 1.0]), st.integers(0, 1000))
def test_float32_distances_are_those_of_the_differences(frames, dim, apart, seed):
    generator = torch.Generator().manual_seed(seed)
    frame = torch.randn(1, 1, dim, generator=generator)
    steps = torch.randn(1, frames, dim, generator=generator)
    x = torch.cat((frame + apart * steps, frame), dim=1)
    x = torch.cat((x, x[:, :1]), dim=1)  # a frame that comes twice
    distance = pairwise_distance(x)
    exact = torch.cdist(x.double(), x.double(), compute_mode="donot_use_mm_for_euclid_dist")
    equal = (x.unsqueeze(2) == x.unsqueeze(1)).all(dim=-1)
    assert bool((distance[equal] == 0).all())
    assert_close(distance, exact.float(), rtol=1e-4, atol=1e-30)


@pytest.mark.parametrize("frames", [2, 40])
def test_float64_distances_are_those_of_the_differences(frames):
    # From products they would be rounding alone, as PyTorch's are by default from 26 frames on.
    x = 1.0 + 1e-12 * torch.arange(frames, dtype=torch.float64).view(1, frames, 1)
    assert torch.equal(pairwise_distance(x), (x - x.transpose(-2, -1)).abs())


def test_float32_distances_are_cut_off_no_earlier_in_a_long_sequence():
    x = torch.ones(1, 300, 1)
    x[0, 7] = torch.nextafter(torch.tensor(1.0), torch.tensor(2.0))
    assert bool((pairwise_distance(x)[0, 7, :7] == 2.0**-23).all())


@given(st.sampled_from([40, 512]), st.integers(0, 1000))
def test_what_rounding_leaves_of_a_distance_is_cut_off(dim, seed):
    # The second frame is the first but for the last bit of one channel. What float64 makes of the difference
    # is the rounding of sums a million times as large, of either sign.
    x = torch.randn(1, 2, dim, generator=torch.Generator().manual_seed(seed))
    x[0, 1] = x[0, 0]
    x[0, 1, 0] = torch.nextafter(x[0, 0, 0], torch.tensor(torch.inf))
    assert bool((pairwise_distance(x) == 0).all())


@given(st.integers(2, 7), st.integers(1, 7), st.integers(1, 3), st.integers(0, 1000))
def test_kept_frames_equal_the_slow_formulas(frames, num_keep, num_neighbors, seed):
    assume(num_keep < frames)
    torch.manual_seed(seed)
    x = torch.randn(2, frames, 2, 3, dtype=torch.float64)
    mask = random_mask(2, 2, frames, 0.2)
    _, kept = MGPTP(num_keep, num_neighbors)(x, mask)
    for b in range(2):
        weights = pruning_oracles.frame_weights(mask.keep[b].tolist())
        salient = pruning_oracles.saliency(
            pruning_oracles.frame_tokens(x[b].tolist()), weights, num_neighbors, beyond=lambda d: 1.001 * d
        )
        assert kept.index[b].tolist() == pruning_oracles.kept_frames(salient, num_keep)


@pytest.mark.parametrize("extreme", [2.0**100, 2.0**-100])
def test_extreme_tokens_are_pruned_as_tokens_around_one(extreme):
    x = torch.randn(2, 7, 2, 3)
    x = x / x.abs().amax(dim=(1, 2, 3), keepdim=True)
    x = x.mul(2**10).round().div(2**10)  # so that both have the same bits
    x[:, 0, 0, 0] = 1.0
    mask = random_mask(2, 2, 7)
    assert torch.equal(MGPTP(3)(x * extreme, mask)[1].index, MGPTP(3)(x, mask)[1].index)


def test_the_largest_finite_tokens_are_pruned():
    x = torch.full((1, 7, 17, 3), torch.finfo(torch.float32).max)  # their sum over joints overflows
    assert MGPTP(3)(x, random_mask(1, 17, 7))[1].validate().num_kept == 3


@pytest.mark.parametrize("extreme", [2.0**100, 2.0**-100])
def test_a_clip_does_not_see_how_large_the_others_are(extreme):
    x, mask = torch.randn(2, 9, 2, 3), random_mask(2, 2, 9)
    expected = MGPTP(4)(x, mask)[1].index[1]
    x[0] *= extreme
    assert torch.equal(MGPTP(4)(x, mask)[1].index[1], expected)


# --- properties


@given(tokens(), num_keeps, st.integers(1, 4))
def test_kept_frames_keep_their_invariants(x, num_keep, num_neighbors):
    batch, frames, joints, _ = x.shape
    x_kept, kept = MGPTP(num_keep, num_neighbors)(x, mask_of(x))
    expected = max(1, int(num_keep * frames + 0.5)) if isinstance(num_keep, float) else min(num_keep, frames)
    assert kept.index.shape == (batch, expected)
    assert kept.num_frames == frames
    for b, row in enumerate(kept.index.tolist()):
        assert row == sorted(set(row))
        assert row[0] >= 0
        assert row[-1] < frames
        for place, frame in enumerate(row):
            for joint in range(joints):
                assert torch.equal(x_kept[b, place, joint], x[b, frame, joint])
    assert kept.validate() is kept


@given(tokens(), st.integers(0, 1000))
def test_masked_pairs_are_strictly_farther_than_valid_pairs(x, seed):
    torch.manual_seed(seed)
    x = x.to(torch.promote_types(x.dtype, torch.float32)).mean(dim=2)
    valid = random_mask(x.shape[0], 1, x.shape[1]).keep[:, 0]
    assume(x.abs().max() < 1e20)  # larger ones are scaled first, their squares being infinite
    for d, v in zip(guided_distance(x, valid), valid, strict=True):
        assert bool(d.isfinite().all())
        if not bool(v.all()):
            assert d[~v].min() > d[v].max()


def test_a_clip_does_not_see_how_far_apart_the_frames_of_others_are():
    x, valid = torch.randn(2, 6, 3), random_mask(2, 1, 6).keep[:, 0]
    x[0] *= 100
    assert torch.equal(guided_distance(x, valid)[1:], guided_distance(x[1:], valid[1:]))


@given(tokens(), num_keeps)
def test_same_input_same_frames(x, num_keep):
    mask = mask_of(x)
    prune = MGPTP(num_keep)
    first = prune(x, mask)[1].index
    assert torch.equal(prune(x, mask)[1].index, first)
    copies = prune(torch.cat([x, x]), TemporalMask(torch.cat([mask.keep, mask.keep])))[1].index
    assert torch.equal(copies, torch.cat([first, first]))
    for b in range(x.shape[0]):
        alone = prune(x[b : b + 1], TemporalMask(mask.keep[b : b + 1]))[1].index
        assert torch.equal(alone, first[b : b + 1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("extreme", EXTREMES)
def test_a_constant_sequence_keeps_its_first_frames(dtype, extreme):
    x = torch.ones(1, 6, 2, 3, dtype=dtype) * extreme
    assert MGPTP(3)(x, TemporalMask.dense(1, 2, 6))[1].index.tolist() == [[0, 1, 2]]
    assert MGPTP(3)(0 * x, TemporalMask.dense(1, 2, 6))[1].index.tolist() == [[0, 1, 2]]


def test_density_peaks_are_kept():
    # Two clusters of three; in each the first frame lies in the middle, so it is the densest.
    x = torch.tensor([0.0, 0.1, -0.11, 5.0, 5.1, 4.88]).view(1, 6, 1, 1)
    assert MGPTP(2)(x, TemporalMask.dense(1, 1, 6))[1].index.tolist() == [[0, 3]]


@given(tokens(), st.integers(0, 3))
def test_a_sequence_no_longer_than_f_is_left_alone(x, more):
    x_kept, kept = MGPTP(x.shape[1] + more)(x, mask_of(x))
    assert torch.equal(x_kept, x)
    assert kept.is_all
    meta = mask_of(x).to("meta")
    assert MGPTP(x.shape[1] + more)(x.to("meta"), meta)[1].index.is_meta


@given(st.integers(2, 17), st.integers(0, 1000))
def test_frames_that_are_connected_equally_well_tie_exactly(joints, seed):
    generator = torch.Generator().manual_seed(seed)
    counts = torch.randint(
        joints + 1, (9,), generator=generator
    )  # joints that connect a frame with each other
    rows = torch.stack([counts[torch.randperm(9, generator=generator)] for _ in range(9)])
    support = log_support((rows / joints).unsqueeze(0), joints)
    assert bool((support == support[:, :1]).all())


def test_selection_ignores_autocast():
    x, mask = torch.randn(2, 9, 3, 8), random_mask(2, 3, 9)
    expected = MGPTP(4)(x, mask)[1].index
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(MGPTP(4)(x, mask)[1].index, expected)


def test_draws_nothing_from_the_global_generator():
    x, mask = torch.randn(1, 6, 1, 2), random_mask(1, 1, 6)
    before = torch.get_rng_state()
    MGPTP(2)(x, mask)
    assert torch.equal(torch.get_rng_state(), before)


def test_gradients():
    x = torch.randn(1, 4, 3, dtype=torch.float64, requires_grad=True)
    valid = random_mask(1, 1, 4).keep[:, 0]
    assert torch.autograd.gradcheck(lambda x: guided_distance(x, valid), [x])
    distance = guided_distance(x, valid).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda d: log_density(d, 2), [distance])
    density = torch.randn(1, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda d: separation(d, density), [distance])


def test_gradients_reach_the_kept_tokens_alone():
    x = torch.randn(1, 6, 2, 3, requires_grad=True)
    x_kept, kept = MGPTP(2)(x, random_mask(1, 2, 6))
    x_kept.sum().backward()
    expected = torch.zeros(6)
    expected[kept.index[0]] = 1
    assert torch.equal(x.grad, expected[None, :, None, None].expand_as(x))


def test_a_counter_of_modules_sees_both_means_over_joints():
    prune, pooled = MGPTP(2), []
    prune.joint_pool.register_forward_hook(lambda _module, inputs, _out: pooled.append(inputs[0].shape))
    prune(torch.randn(2, 5, 3, 4), random_mask(2, 3, 5))
    assert pooled == [(2, 25, 3), (10, 4, 3)]  # of the mask and of the tokens


@pytest.mark.unhooked
def test_k_prime_is_checked_whenever_it_is_set():
    prune = MGPTP(3)
    prune.num_neighbors = 4
    assert prune.num_neighbors == 4
    for wrong in (0, -2, 1.5, True):
        with pytest.raises(ConfigError, match="num_neighbors expects an int of at least 1"):
            prune.num_neighbors = wrong
