import oracles
import pytest
import torch
from networks import lists, random_mask, shake
from torch.testing import assert_close

from htp_modules import SFTMHSA
from htp_modules.block import DropPath, TransformerBlock


@pytest.mark.parametrize("qkv_bias", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_equals_the_slow_formula(qkv_bias, masked):
    block = shake(TransformerBlock(4, 2, mlp_ratio=3.0, qkv_bias=qkv_bias).double())
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    mask = random_mask(1, 2, 5) if masked else None
    keep = mask.folded().tolist() if mask else [None, None]
    expected = [oracles.block(s, lists(block), 2, k) for s, k in zip(x.tolist(), keep, strict=True)]
    additive = mask.additive(torch.float64)[0] if mask else None
    assert_close(block(x, additive), torch.tensor(expected, dtype=torch.float64))


def test_drop_path_drops_whole_samples_and_keeps_the_mean():
    drop = DropPath(0.25)
    x = torch.ones(4000, 3, 2)
    out = drop(x)
    values = out.flatten(1)
    assert bool((values == values[:, :1]).all())
    assert set(values[:, 0].tolist()) == {0.0, float(torch.tensor(1.0) / 0.75)}
    # 4000 draws: the share kept has a standard deviation of 0.007.
    assert abs(float((values[:, 0] > 0).float().mean()) - 0.75) < 0.035
    assert drop.eval()(x) is x


def test_drop_path_without_a_rate_draws_nothing():
    x = torch.ones(3, 2)
    assert DropPath().train()(x) is x


def test_sizes_are_those_asked_for():
    block = TransformerBlock(16)  # as MixSTE and D3DP have them
    assert (block.attn.num_heads, block.mlp.fc1.out_features, block.drop_path.rate) == (8, 32, 0.0)
    assert block.attn.qkv.bias is not None
    other = TransformerBlock(16, 4, mlp_ratio=2.5, qkv_bias=False, drop_path=0.25)
    assert (other.attn.num_heads, other.mlp.fc1.out_features, other.drop_path.rate) == (4, 40, 0.25)
    assert other.attn.qkv.bias is None


def outcomes(block, sequences, attended):
    """For each sequence, whether training at rate 0.5 kept its attention and its MLP.

    Args:
        block: In evaluation mode.
        sequences: What went in.
        attended: What came out in training.
    """
    doubled = 2.0 * block.attn(block.norm1(sequences))
    seen = []
    for before, branch, after in zip(sequences, doubled, attended, strict=True):
        possible = {}
        for attention in (False, True):
            y = before + branch if attention else before
            possible[attention, False] = y
            possible[attention, True] = y + 2.0 * block.mlp(block.norm2(y))
        (kept,) = [kept for kept, tokens in possible.items() if torch.allclose(tokens, after, atol=1e-5)]
        seen.append(kept)
    return seen


def test_stochastic_depth_drops_attention_and_mlp_apart():
    block = shake(TransformerBlock(4, 2, drop_path=0.5))
    x = torch.randn(400, 3, 4)
    with torch.no_grad():
        seen = outcomes(block.eval(), x, block.train()(x))
    # 400 draws of probability 1/4: a standard deviation of 9.
    assert all(60 < seen.count((attention, mlp)) < 140 for attention in (0, 1) for mlp in (0, 1))


def test_stochastic_depth_drops_a_joint_of_a_clip():
    sft = shake(SFTMHSA(4, 2, drop_path=0.5))
    x = torch.randn(20, 3, 20, 4)
    sequences = x.transpose(1, 2).flatten(0, 1)
    with torch.no_grad():
        seen = outcomes(sft.eval(), sequences, sft.train()(x).transpose(1, 2).flatten(0, 1))
    assert all(60 < seen.count((attention, mlp)) < 140 for attention in (0, 1) for mlp in (0, 1))


def test_parameter_names_are_those_of_the_public_checkpoints():
    names = {name.rsplit(".", 1)[0] for name in TransformerBlock(4, 2).state_dict()}
    assert names == {"norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"}
