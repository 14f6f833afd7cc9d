import copy
import warnings

import pytest
import torch
from torch import nn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.speed.counting import Count, count
from htp_modules import CrossMHSA, KeptFrames
from htp_modules.attention import MultiHeadAttention


def test_linear_by_hand():
    # 2 * 7 rows, each 3 x 5 products; a bias adds none.
    assert count(nn.Linear(3, 5), (torch.randn(2, 7, 3),)) == Count(thop_macs=210, true_macs=210, params=20)


def test_norm_is_seen_by_thop_alone():
    # THOP charges 4 a number to an affine norm; a norm has no matrix product.
    assert count(nn.LayerNorm(6), (torch.randn(5, 6),)) == Count(thop_macs=120, true_macs=0, params=12)


def test_bare_product_is_seen_by_the_true_count_alone():
    class Bare(nn.Module):
        def forward(self, x):
            return x @ x.transpose(-2, -1)

    assert count(Bare(), (torch.randn(2, 4, 3),)) == Count(thop_macs=0, true_macs=2 * 4 * 4 * 3, params=0)


def test_meta_tensors_count_as_real_ones():
    def parts():
        return nn.Sequential(nn.Linear(8, 8), MultiHeadAttention(8, num_heads=2)), torch.empty(2, 5, 8)

    model, x = parts()
    with torch.device("meta"):
        meta_model, meta_x = parts()
    assert count(meta_model, (meta_x,)) == count(model, (x,))


@pytest.mark.parametrize("fused", [True, False])
def test_attention_by_hand(fused):
    batch, length, dim = 3, 6, 8
    attention = MultiHeadAttention(dim, num_heads=2)
    attention.fused = fused
    linear = batch * length * (3 * dim * dim + dim * dim)
    scores_and_mix = 2 * batch * length * length * dim
    params = 3 * dim * dim + 3 * dim + dim * dim + dim
    expected = Count(thop_macs=linear, true_macs=linear + scores_and_mix, params=params)
    assert count(attention, (torch.randn(batch, length, dim),)) == expected
    assert count(nn.Sequential(nn.Identity(), attention), (torch.randn(batch, length, dim),)) == expected


@pytest.mark.parametrize("nested", [False, True])
def test_recovery_is_charged_as_the_paper_does(nested):
    class Holder(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner
            self.head = nn.Linear(8, 3)

        def forward(self, x, kept):
            return self.head(self.inner(x, kept))

    batch, frames, num_kept, joints, dim = 2, 9, 4, 3, 8
    recovery = CrossMHSA(dim, frames, num_heads=2)
    full, pruned = batch * frames * joints, batch * num_kept * joints
    index = torch.tensor([[0, 2, 5, 8], [1, 2, 3, 4]])
    found = count(
        Holder(recovery) if nested else recovery,
        (torch.randn(batch, num_kept, joints, dim), KeptFrames(index, frames)),
    )
    head = full * dim * 3 if nested else 0
    assert found.thop_macs == dim * dim * (2 * full + 2 * pruned) + head
    # Computed: one projection of the queries, keys and values of kept tokens, the output, scores and mix.
    products = dim * dim * (frames + 2 * pruned + full) + 2 * full * num_kept * dim
    assert found.true_macs == products + head
    assert found.params == 4 * (dim * dim + dim) + frames * dim + (dim * 3 + 3 if nested else 0)


def test_parameters_that_are_not_trained_count():
    model = nn.Linear(3, 5)
    model.weight.requires_grad_(False)
    assert count(model, (torch.randn(1, 3),)).params == 20


def test_the_model_is_left_as_it_was(capsys):
    model = nn.Sequential(MultiHeadAttention(8, num_heads=2), nn.BatchNorm1d(5), nn.Dropout(0.5)).train()
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(2, 5, 8)
    first = count(model, (x,))
    assert count(model, (x,)) == first
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert model[0].fused is True
    assert not any(module._forward_hooks for module in model.modules())
    assert capsys.readouterr() == ("", "")


def test_counting_warns_of_nothing():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        count(nn.Linear(3, 5), (torch.randn(2, 3),))
    assert caught == []


@pytest.mark.unhooked
def test_arguments_come_as_a_tuple():
    with pytest.raises(BenchmarkError, match="arguments as a tuple, got Tensor"):
        count(nn.Linear(3, 5), torch.randn(2, 3))
