"""MGPTP keeps the frames that it is told to, and ranks a lost frame last."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import random_mask, tokens

from htp_modules import MGPTP, TCEP, ConfigError, TemporalMask
from htp_modules.mgptp import (
    guided_distance,
    pairwise_distance,
    salient_frames,
)


def double(rows):
    return torch.tensor(rows, dtype=torch.float64)


def mask_of(x, num_neighbors=2):
    return TCEP(x.shape[-1], x.shape[1], num_neighbors).to(x.dtype).eval()(x)[1]


def lose(x, *frames, value=torch.nan):
    """The tokens with one value of one joint lost in some frames."""
    x = x.clone()
    x[0, list(frames), 1, 2] = value
    return x


def kept_unchecked(x, mask, num_keep, num_neighbors=2):
    """MGPTP's selection as it runs where nothing is checked."""
    return (
        salient_frames(x.mean(dim=2), mask.frame_weights(), x.shape[2], num_keep, num_neighbors)
        .index[0]
        .tolist()
    )


def without(x, mask, *frames):
    """Tokens and mask of the other frames alone, and the numbers that those have in ``x``."""
    others = [frame for frame in range(x.shape[1]) if frame not in frames]
    return x[:, others], TemporalMask(mask.keep[..., others, :][..., others]), others


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("frames", [(0,), (8,), (1, 2, 6)])
@given(seed=st.integers(0, 1000))
@settings(max_examples=5)
def test_other_frames_are_ranked_as_without_the_lost_ones(frames, value, seed):
    torch.manual_seed(seed)
    x, mask = torch.randn(1, 9, 2, 3), random_mask(1, 2, 9, 0.6)
    others_x, others_mask, others = without(x, mask, *frames)
    for num_keep in (1, 4, len(others)):
        expected = kept_unchecked(others_x, others_mask, num_keep)
        found = kept_unchecked(lose(x, *frames, value=value), mask, num_keep)
        assert found == [others[frame] for frame in expected]


@pytest.mark.parametrize("lost", range(9))
def test_a_lost_frame_ranks_below_frames_that_come_twice(lost):
    x = torch.ones(1, 9, 2, 3)  # a separation of 0, whose logarithm is -inf
    kept = kept_unchecked(lose(x, lost), TemporalMask.dense(1, 2, 9), 8)
    assert kept == [frame for frame in range(9) if frame != lost]


def test_frames_exist_even_if_all_are_lost():
    x = torch.full((1, 9, 2, 3), torch.nan)
    assert kept_unchecked(x, TemporalMask.dense(1, 2, 9), 4) == [0, 1, 2, 3]


@pytest.mark.parametrize("far", [3.0, 0.25])
def test_a_distance_to_a_lost_frame_is_none(far):
    x = torch.tensor([[[0.0], [torch.nan], [far]]])
    distance = pairwise_distance(x)
    assert distance[0, 0].tolist()[::2] == [0.0, far]
    assert bool(distance[0, 1].isnan().all())
    assert bool(distance[0, :, 1].isnan().all())
    guided = guided_distance(x, torch.ones(1, 3, 3, dtype=torch.bool))[0]
    assert guided[0, 2] == far
    assert bool((guided[1] > far).all())
    assert bool((guided[1] < 1.01 * far).all())


@given(tokens(max_joints=2), st.integers(1, 9), st.data())
def test_required_frames_stay_and_the_rest_is_chosen_as_before(x, num_keep, data):
    frames = x.shape[1]
    names = {"centre": frames // 2, "first": 0, "last": frames - 1}
    asked = data.draw(
        st.lists(st.sampled_from([*names, *range(frames)]), max_size=min(num_keep, frames)).map(tuple)
    )
    must = {names.get(frame, frame) for frame in asked}
    mask = mask_of(x)
    prune = MGPTP(num_keep, required=asked)
    x_kept, kept = prune(x, mask)
    ranked = [MGPTP(count)(x, mask)[1].index.tolist() for count in range(1, frames + 1)]
    for b, row in enumerate(kept.validate().index.tolist()):
        # Frame by frame as f grows, those not required fill what room the required ones leave.
        order = [
            frame
            for i, more in enumerate(ranked)
            for frame in set(more[b]) - set(ranked[i - 1][b] if i else ())
        ]
        rest = [frame for frame in order if frame not in must][: min(num_keep, frames) - len(must)]
        assert set(row) == must | set(rest)
        assert torch.equal(x_kept[b], x[b, row])


@pytest.mark.parametrize("frame", range(5))
def test_a_single_frame_is_the_required_one(frame):
    x, mask = torch.randn(2, 5, 2, 3), random_mask(2, 2, 5)
    assert MGPTP(1, required=(frame,))(x, mask)[1].index.tolist() == [[frame], [frame]]


@pytest.mark.parametrize("required", [(8,), ("last", 3)])
def test_a_required_frame_stays_even_if_it_is_lost(required):
    x, mask = lose(torch.randn(1, 9, 2, 3), 8), random_mask(1, 2, 9)
    numbers = [8 if frame == "last" else frame for frame in required]
    tokens, weights = x.mean(dim=2), mask.frame_weights()
    assert set(numbers) <= set(salient_frames(tokens, weights, 2, 3, 2, numbers).index[0].tolist())


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("required", "num_keep", "message"),
    [
        ((9,), 3, "required names frame 9, but a sequence of 9 frames ends with frame 8"),
        ((9,), 9, "required names frame 9"),  # also where nothing is pruned
        (("first", 3, "last"), 2, "required names 3 frames, but num_keep keeps 2 of 9"),
        (("first", "last"), 0.1, "required names 2 frames, but num_keep keeps 1 of 9"),
    ],
)
def test_required_frames_that_a_clip_cannot_have(required, num_keep, message):
    with pytest.raises(ConfigError, match=message):
        MGPTP(num_keep, required=required)(torch.randn(1, 9, 2, 3), random_mask(1, 2, 9))


def test_it_says_what_it_requires():
    assert "required=('centre', 7)" in repr(MGPTP(3, required=("centre", 7)))
    assert MGPTP(3).extra_repr() == "num_keep=3, num_neighbors=2"
