from dataclasses import replace
from functools import partial

import oracles
import pruning_oracles
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Network, lists, shake, tokens
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

from htp_modules import (
    HTP,
    MGPTP,
    TCEP,
    HTPConfig,
    Interpolation,
    Pair,
    record,
)
from htp_modules.tcep import correlated_frames, temporal_correlation

KEEP_ALL = HTPConfig(num_neighbors=1.0, num_keep=1.0, num_sft_layers=1)


def named(state, prefix):
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def slow_network(x, state, frames, config, depth):
    """The hourglass on nested lists; heads 2, k and f ints."""

    def spatial(x, number):
        block = named(state, f"spatial.{number}.")
        return [[oracles.block(pose, block, 2) for pose in clip] for clip in x]

    def temporal(x, number, keeps=None):
        return oracles.sft(x, named(state, f"temporal.{number}."), 2, keeps)

    joints = len(x[0][0])
    x, keeps = oracles.tcep(
        spatial(x, 0), named(state, "htp.tcep."), config.num_neighbors, num_layers=2, training=False
    )
    x = [
        [
            [[a + p for a, p in zip(row, place[0], strict=True)] for row in pose]
            for pose, place in zip(clip, state["position"], strict=False)
        ]
        for clip in x
    ]
    x = temporal(x, 0, keeps)
    for number in range(1, 1 + config.num_sft_layers):
        x = temporal(spatial(x, number), number, keeps)
    kept = []
    for b, clip in enumerate(x):
        weights = pruning_oracles.frame_weights(keeps[b * joints : (b + 1) * joints])
        salient = pruning_oracles.saliency(
            pruning_oracles.frame_tokens(clip), weights, config.density_neighbors, beyond=lambda d: 1.001 * d
        )
        kept.append(pruning_oracles.kept_frames(salient, config.num_keep))
    x = [[clip[i] for i in index] for clip, index in zip(x, kept, strict=True)]
    for number in range(1 + config.num_sft_layers, depth):
        x = temporal(spatial(x, number), number)
    if config.recovery == "interpolate":
        return [oracles.interpolation(c, i, frames) for c, i in zip(x, kept, strict=True)], kept
    recovery = named(state, "htp.recovery.")
    return [oracles.cross_attention(c, i, recovery, 2, frames) for c, i in zip(x, kept, strict=True)], kept


@pytest.mark.parametrize("recovery", ["cross_attention", "interpolate"])
@pytest.mark.parametrize("num_sft_layers", [0, 1, 2])
def test_the_whole_flow_equals_the_slow_formulas(recovery, num_sft_layers):
    config = HTPConfig(num_neighbors=2, num_keep=2, num_sft_layers=num_sft_layers, recovery=recovery)
    network = shake(Network(4, 6, depth=3, config=config).double()).eval()
    x = torch.randn(2, 5, 2, 4, dtype=torch.float64)
    with record(network) as seen:
        out = network(x)
    expected, kept = slow_network(x.tolist(), lists(network), 5, config, depth=3)
    assert seen.kept[0].index.tolist() == kept
    assert_close(out, torch.tensor(expected, dtype=torch.float64))


# --- identity, length, options


@given(tokens(max_dim=1, dtypes=(torch.float32, torch.float64), extremes=(1.0,)), st.booleans())
@settings(max_examples=15)
def test_keeping_all_is_the_network_without_htp(x, training):
    x = x.repeat(1, 1, 1, 8) + torch.randn(8, dtype=x.dtype)
    network = Network(num_frames=8, config=KEEP_ALL).to(x.dtype).train(training and x.shape[:3].numel() > 1)
    assert_close(network(x), network.plain(x))


def test_keeping_all_by_numbers_of_frames():
    network = Network(config=HTPConfig(num_neighbors=8, num_keep=9, num_sft_layers=2))
    x = torch.randn(2, 9, 3, 8)
    assert_close(network(x), network.plain(x))


@pytest.mark.parametrize("recovery", ["cross_attention", "interpolate"])
def test_any_length_up_to_the_longest(recovery):
    network = Network(config=HTPConfig(num_sft_layers=1, recovery=recovery)).eval()
    for frames in range(1, 10):
        with record(network) as seen:
            out = network(torch.randn(2, frames, 3, 8))
        assert out.shape == (2, frames, 3, 8)
        assert bool(out.isfinite().all())
        assert seen.kept[0].num_kept == max(1, int(2 / 9 * frames + 0.5))


@pytest.mark.parametrize(("joints", "num_keep", "num_neighbors"), [(1, 1, 1), (1, 1, 8), (3, 9, 1)])
def test_smallest_sizes(joints, num_keep, num_neighbors):
    config = HTPConfig(num_keep=num_keep, num_neighbors=num_neighbors, num_sft_layers=0)
    network = Network(depth=1, config=config).eval()
    assert network(torch.randn(1, 9, joints, 8)).shape == (1, 9, joints, 8)


def test_blocks_are_called_with_tokens_and_a_mask_or_none():
    masks = []
    pair = Pair(lambda x: x, lambda x, mask: masks.append(mask) or x)
    htp = HTP(8, 9, config=HTPConfig(num_sft_layers=1)).eval()
    htp(torch.randn(1, 9, 3, 8), [pair] * 3)
    assert masks[0] is masks[1]
    masks[0].validate(6)
    assert masks[2] is None
    assert htp.recovery.num_heads == 8


def test_options_change_without_touching_weights():
    network = shake(Network(depth=4)).eval()
    x = torch.randn(1, 9, 3, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    other = HTPConfig(num_neighbors=3, num_keep=4, num_sft_layers=2, density_neighbors=3)
    first = network(x)
    network.htp.config = other
    changed = network(x)
    assert network.htp.config is other
    assert (network.htp.tcep.num_neighbors, network.htp.mgptp.num_keep) == (3, 4)
    assert network.htp.mgptp.num_neighbors == 3
    assert not torch.allclose(changed, first)
    rebuilt = Network(depth=4, config=other).eval()
    rebuilt.load_state_dict(before)
    assert torch.equal(changed, rebuilt(x))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_first_pair_may_take_poses():
    network = Network().eval()
    embed, poses = torch.nn.Linear(3, 8), torch.randn(2, 9, 2, 3)
    first, *rest = (Pair(*blocks) for blocks in zip(network.spatial, network.temporal, strict=True))
    assert first.after(embed)[1:] == first[1:]
    found = network.htp(poses, [first.after(embed), *rest], network.inject)
    assert torch.equal(found, network(embed(poses)))


def test_a_block_may_be_told_which_frames_it_sees():
    network, x = Network().eval(), torch.randn(2, 9, 3, 8)
    expected = network(x)
    told = []

    def pruned(block, x, kept):
        told.append(kept)
        assert x.shape[1] == kept.num_kept
        return block(x, None)

    pairs = [
        Pair(spatial, temporal, partial(pruned, temporal))
        for spatial, temporal in zip(network.spatial, network.temporal, strict=True)
    ]
    for num_keep in (4, 9):
        network.htp.config = replace(network.htp.config, num_keep=num_keep)
        with record(network) as seen:
            found = network.htp(x, pairs, network.inject)
        assert torch.equal(found, network(x))
        assert torch.equal(told.pop().index, seen.kept[0].index)
        assert not told  # the masked pairs before the pruner are not asked
    assert expected.shape == found.shape


def test_the_default_config_is_the_papers():
    assert HTP(4, 9, 2).config == HTPConfig()
    assert isinstance(HTP(4, 9, 2, HTPConfig(recovery="interpolate")).recovery, Interpolation)


# --- gradients


def test_every_weight_learns():
    network = shake(Network(depth=3).double()).eval()
    x = torch.randn(2, 9, 3, 8, dtype=torch.float64, requires_grad=True)
    (network(x) * torch.randn_like(x)).sum().backward()
    assert bool(x.grad.isfinite().all())
    for name, parameter in network.named_parameters():
        assert bool(parameter.grad.isfinite().all()), name
        # Softmax does not see a constant added to all keys, so this bias alone has no gradient.
        if name != "htp.recovery.k.bias":
            assert bool((parameter.grad.abs() > 1e-12).any()), name


def test_gradients_of_the_flow_in_training():
    network = shake(Network(4, 5, depth=2, config=HTPConfig(num_sft_layers=0)).double())
    x = torch.randn(1, 5, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, [x])


def test_checkpointing_gives_the_same_gradients():
    network = shake(Network(drop_path=0.3))
    x = torch.randn(2, 9, 3, 8)
    gradients = []
    for run in (network, lambda x: checkpoint(network, x, use_reentrant=False)):
        torch.manual_seed(1)
        network.zero_grad()
        run(x).square().mean().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


def test_modules_that_return_masks_and_frames_can_be_checkpointed():
    tcep, prune = shake(TCEP(4, 6)), MGPTP(2)
    x = torch.randn(1, 6, 2, 4, requires_grad=True)
    out, mask = checkpoint(tcep, x, use_reentrant=False)
    x_kept, kept = checkpoint(prune, out, mask, use_reentrant=False)
    x_kept.sum().backward()
    assert kept.validate().num_kept == 2
    assert bool(x.grad.isfinite().all())


# --- copies and precisions


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_autocast_selects_in_float32(dtype):
    tcep = shake(TCEP(8, 40, 10)).eval()
    x = torch.randn(2, 40, 3, 8).to(dtype)
    rounded = correlated_frames(temporal_correlation(x.bfloat16().transpose(1, 2)).float(), 10)
    expected = tcep(x.float())[1].keep
    with torch.autocast("cpu", torch.bfloat16):
        out, mask = tcep(x)
    assert torch.equal(mask.keep, expected)
    assert not torch.equal(mask.keep, rounded)  # products in bfloat16 would have selected others
    assert out.dtype == dtype


@pytest.mark.parametrize("training", [True, False])
def test_autocast_through_the_whole_flow(training):
    network = shake(Network()).train(training)
    x = torch.randn(2, 9, 3, 8)
    with torch.autocast("cpu", torch.bfloat16), record(network) as seen:
        out = network(x)
    out.float().square().mean().backward()
    assert bool(out.isfinite().all())
    seen.masks[0].validate(6)
    seen.kept[0].validate()
    if not training:
        exact = network(x)
        assert (out.float() - exact).norm() < 0.05 * exact.norm()


def test_meta_tensors_give_shapes():
    network = Network().to("meta")
    assert network(torch.empty(2, 9, 3, 8, device="meta")).shape == (2, 9, 3, 8)


def test_forward_leaves_nothing_on_the_modules():
    network = Network().eval()
    before = {name: set(vars(module)) for name, module in network.named_modules()}
    network(torch.randn(1, 9, 3, 8))
    assert {name: set(vars(module)) for name, module in network.named_modules()} == before
