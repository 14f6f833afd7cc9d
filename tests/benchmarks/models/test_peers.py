"""FinePOSE's and KTPFormer's denoisers. Oracle: the stand-ins, which upstream tests hold to public code."""

import sys
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "adapters"))

import standins_priors as priors

from htp_diffusion.models.clip_text import Clip
from htp_diffusion.models.finepose import PROMPTS, FinePOSEDenoiser
from htp_diffusion.models.ktpformer import KTPFormerDenoiser
from htp_modules import ConfigError, ShapeError

SIZES = {"num_frames": 9, "num_joints": 5, "dim": 8, "depth": 3, "num_heads": 2}


def small_finepose():
    encoder = Clip(priors.VOCABULARY, sum(priors.PROMPTS.values()), 8, depth=1, heads=2, image=False)
    return FinePOSEDenoiser(**SIZES, clip=encoder, prompts=priors.PROMPTS, kept=priors.KEPT).eval()


def shake(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def clips(batch=2, frames=9):
    poses = torch.randn(batch, frames, 5, 2), torch.randn(batch, frames, 5, 3)
    return *poses, torch.randint(1000, (batch,))


def texts(batch=2):
    words = torch.randint(priors.VOCABULARY, (batch, 7, priors.WORDS))
    return words[:, 0], words[:, 1:]


@torch.no_grad()
def test_finepose_is_the_public_network():
    own = shake(small_finepose())
    public = priors.FinePOSE(9, 5, 8, 3, 2, text=(4, 2048)).eval()
    public.load_state_dict(own.state_dict())
    inputs = (*clips(), *texts())
    assert_close(own(*inputs), public(*inputs), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_prompts_are_encoded_once_for_all_steps():
    own = shake(small_finepose())
    text = texts()
    prompts = own.encode_text(*text)
    for _ in range(2):
        inputs = clips()
        assert torch.equal(own.denoise(*inputs, prompts), own(*inputs, *text))


@torch.no_grad()
def test_ktpformer_is_the_public_lifter_where_nothing_is_noise():
    # With no weight on the noisy pose and a silent timestep it lifts as the public class does.
    own, public = shake(KTPFormerDenoiser(**SIZES)).eval(), priors.KTPFormer(9, 5, 8, 2, 2).eval()
    own.time_mlp["3"].weight.zero_()
    own.time_mlp["3"].bias.zero_()
    state = {key: value for key, value in own.state_dict().items() if not key.startswith("time_mlp")}
    weight = "kpattention.attn.kpa.gconv.W"
    state[weight] = state[weight][:, :2].clone()
    own.get_parameter(weight)[:, 2:] = 0.0
    public.load_state_dict(state)
    for layers, graph in (
        ((public.kpattention.attn.kpa,), own.kpattention.attn.kpa.gconv.adj),
        (
            (public.tpattention.attn.tpa.gconv1, public.tpattention.attn.tpa.gconv2),
            own.tpattention.attn.tpa.gconv1.gconv.adj,
        ),
    ):
        for layer in layers:
            layer.gconv.adj = graph
    pose, noisy, time = clips()
    assert_close(own(pose, noisy, time), public(pose), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_ktpformer_hears_the_noise_the_time_and_shorter_clips():
    own = shake(KTPFormerDenoiser(**SIZES)).eval()
    pose, noisy, time = clips()
    expected = own(pose, noisy, time)
    assert not torch.allclose(own(pose, noisy + 1, time), expected)
    assert not torch.allclose(own(pose, noisy, (time + 300) % 1000), expected)
    assert own(*clips(1, 4)).shape == (1, 4, 5, 3)


@pytest.mark.unhooked
def test_what_does_not_fit():
    with pytest.raises(ConfigError, match="a depth of at least 2"):
        KTPFormerDenoiser(**{**SIZES, "depth": 1})
    pose, noisy, time = clips()
    with pytest.raises(ShapeError, match="of one batch, length and skeleton"):
        KTPFormerDenoiser(**SIZES)(pose, noisy[:, :4], time)


def test_sizes_of_the_papers():
    # The public lifter has 35.21 M, the timestep's layers 1.05 M, the noisy pose's part of the prior 0.003.
    with torch.device("meta"):
        models = KTPFormerDenoiser(), FinePOSEDenoiser()
    found = [sum(p.numel() for p in model.parameters()) for model in models]
    assert [round(number / 1e6, 2) for number in found] == [36.27, 200.59]
    assert sum(p.numel() for p in models[1].parameters() if p.requires_grad) == 49_312_771
    assert sum(PROMPTS.values()) == 77


def test_ktpformer_drops_more_paths_the_deeper_they_are():
    """From none in its first pair, which drops nothing, evenly to the rate in its last."""
    model = KTPFormerDenoiser(**SIZES, drop_path=0.4)
    for blocks in (model.STEblocks, model.TTEblocks):
        assert [block.drop_path.rate for block in blocks] == pytest.approx([0.2, 0.4])
