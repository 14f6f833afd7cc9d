import oracles
import pytest
import torch
from networks import lists, random_mask, shake
from torch.testing import assert_close

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


def test_parameter_names_are_those_of_the_public_checkpoints():
    names = {name.rsplit(".", 1)[0] for name in TransformerBlock(4, 2).state_dict()}
    assert names == {"norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2"}
