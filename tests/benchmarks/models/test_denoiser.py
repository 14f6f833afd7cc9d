"""D3DP's denoiser against MixSTE with a shifted embedding, and against the public checkpoint's names."""

import copy
import math

import pytest
import torch
from torch import nn

from htp_diffusion.models.denoiser import D3DPDenoiser, TimestepMLP, sinusoidal_embedding
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.models.mixste import MixSTE
from htp_modules import HTPConfig
from htp_modules.errors import ConfigError, ShapeError

FRAMES, JOINTS, DIM, DEPTH, HEADS = 6, 5, 8, 2, 2
SIZES = {"dim": DIM, "depth": DEPTH, "num_heads": HEADS}

# What the denoiser has beyond MixSTE's names, read off mixste.py of paTRICK-swk/D3DP at afcdd05d.
TIME_SHAPES = {
    "time_mlp.1.weight": (2 * DIM, DIM),
    "time_mlp.1.bias": (2 * DIM,),
    "time_mlp.3.weight": (DIM, 2 * DIM),
    "time_mlp.3.bias": (DIM,),
}


def small() -> D3DPDenoiser:
    """A denoiser with every parameter drawn at random, so that no bias, norm or position table is inert."""
    generator = torch.Generator().manual_seed(0)
    model = D3DPDenoiser(FRAMES, JOINTS, **SIZES)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model.double().eval()


def clips(batch: int = 3, frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    pose_2d = torch.randn(batch, frames, JOINTS, 2, dtype=torch.float64, generator=generator)
    noisy = torch.randn(batch, frames, JOINTS, 3, dtype=torch.float64, generator=generator)
    return pose_2d, noisy, torch.tensor([0, 499, 999])[:batch]


def slow_sinusoids(timestep: float, dim: int) -> list[float]:
    """The transformer's position embedding, wave by wave."""
    angles = [timestep / 10_000 ** (wave / (dim // 2 - 1)) for wave in range(dim // 2)]
    return [math.sin(angle) for angle in angles] + [math.cos(angle) for angle in angles]


def slow_time_vector(weights: dict, timestep: int) -> torch.Tensor:
    hidden = weights["time_mlp.1.weight"] @ torch.tensor(slow_sinusoids(timestep, DIM), dtype=torch.float64)
    hidden = hidden + weights["time_mlp.1.bias"]
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    return weights["time_mlp.3.weight"] @ hidden + weights["time_mlp.3.bias"]


@pytest.mark.parametrize("dim", [4, 6, 32])
def test_sinusoids_equal_the_formula(dim):
    timestep = torch.tensor([0, 1, 10, 500, 999])
    expected = torch.tensor([slow_sinusoids(t, dim) for t in timestep.tolist()])
    # float32 holds an angle near 1000 to 6e-5.
    torch.testing.assert_close(sinusoidal_embedding(timestep, dim), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("frames", [FRAMES, 2])
def test_denoiser_is_mixste_with_the_time_vector_added_to_its_embedding(frames):
    """A vector added to every token of a sample is one added to the bias of that sample's embedding."""
    model = small()
    pose_2d, noisy, timestep = clips(frames=frames)
    weights = model.state_dict()
    with torch.no_grad():
        denoised = model(pose_2d, noisy, timestep)
        for sample, step in enumerate(timestep.tolist()):
            host = MixSTE(FRAMES, JOINTS, in_channels=5, **SIZES).double().eval()
            shared = {
                name: value.clone() for name, value in weights.items() if not name.startswith("time_mlp.")
            }
            shared["Spatial_patch_to_embedding.bias"] += slow_time_vector(weights, step)
            host.load_state_dict(shared)
            lifted = host(torch.cat((pose_2d[sample], noisy[sample]), dim=-1)[None])[0]
            torch.testing.assert_close(denoised[sample], lifted, rtol=0, atol=2e-4)


def test_htp_adds_the_time_vector_to_every_frames_position():
    model = HTPDenoiser(FRAMES, JOINTS, **SIZES, config=HTPConfig(num_keep=4, num_sft_layers=0))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    model.double().eval()
    pose_2d, noisy, timestep = clips()
    weights = model.state_dict()
    with torch.no_grad():
        denoised = model(pose_2d, noisy, timestep)
        for sample, step in enumerate(timestep.tolist()):
            timeless = {
                name: torch.zeros_like(value) if name.startswith("time_mlp.") else value.clone()
                for name, value in weights.items()
            }
            timeless["Temporal_pos_embed"] += slow_time_vector(weights, step)
            other = copy.deepcopy(model)
            other.load_state_dict(timeless)
            expected = other(pose_2d[sample, None], noisy[sample, None], timestep[sample, None])[0]
            torch.testing.assert_close(denoised[sample], expected, rtol=0, atol=2e-4)


def test_names_and_shapes_are_those_of_the_public_checkpoint():
    host = MixSTE(FRAMES, JOINTS, in_channels=5, **SIZES).state_dict()
    expected = {name: tuple(value.shape) for name, value in host.items()} | TIME_SHAPES
    assert {name: tuple(value.shape) for name, value in small().state_dict().items()} == expected
    assert expected["Spatial_patch_to_embedding.weight"] == (DIM, 5)


def test_size_and_macs_of_the_paper():
    """34.8 M parameters and 139.046 G MACs, counted by THOP on shapes alone."""
    thop = pytest.importorskip("thop")
    with torch.device("meta"):
        model = D3DPDenoiser().eval()
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(34.835, abs=5e-4)
        inputs = (torch.zeros(1, 243, 17, 2), torch.zeros(1, 243, 17, 3), torch.zeros(1, dtype=torch.int64))
    macs, _ = thop.profile(model, inputs=inputs, verbose=False)
    assert macs / 1e9 == pytest.approx(139.046, abs=1e-3)


def test_its_parts_put_together_are_the_forward():
    model = small()
    pose_2d, noisy, timestep = clips()
    x = model.embed(pose_2d, noisy) + model.time_mlp(timestep)[:, None, None]
    for layer, pair in enumerate(model.pairs()):
        x = pair.spatial(x)
        x = pair.temporal(x + model.temporal_position(FRAMES) if layer == 0 else x, None)
    torch.testing.assert_close(model.head(x), model(pose_2d, noisy, timestep), rtol=0, atol=0)


def test_a_sample_does_not_see_the_rest_of_its_batch():
    model = small()
    pose_2d, noisy, timestep = clips()
    alone = [model(pose_2d[[i]], noisy[[i]], timestep[[i]]) for i in range(3)]
    torch.testing.assert_close(model(pose_2d, noisy, timestep), torch.cat(alone), rtol=1e-9, atol=1e-9)


def test_bfloat16_tells_neighbouring_timesteps_apart():
    """999 and 1000 are one number in bfloat16, so the waves have to be computed before the cast."""
    embed = TimestepMLP(DIM).bfloat16()
    first, second = embed(torch.tensor([999, 1000]))
    assert first.dtype == torch.bfloat16
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_leaves_coordinates_in_float32(dtype):
    model = small().float()
    pose_2d, noisy, _ = (part.float() for part in clips())
    tokens = torch.randn(2, FRAMES, JOINTS, DIM)
    embedded, poses = model.embed(pose_2d, noisy), model.head(tokens)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(model.embed(pose_2d, noisy), embedded)
        assert torch.equal(model.head(tokens), poses)


def test_gradients_reach_every_parameter_and_a_copy_agrees():
    model = small()
    inputs = clips()
    model(*inputs).square().sum().backward()
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in model.parameters())
    torch.testing.assert_close(copy.deepcopy(model)(*inputs), model(*inputs), rtol=0, atol=0)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("shape_2d", "shape_3d", "message"),
    [
        ((2, 7, JOINTS, 2), (2, 7, JOINTS, 3), "D3DPDenoiser was built for up to 6 frames, got 7"),
        ((2, 4, 1, 2), (2, 4, 1, 3), "built for 5 joints, got 1"),
        ((2, 4, JOINTS, 2), (2, 4, JOINTS, 2), r"expects poses \(batch, frames, joints, 3\)"),
        ((1, 4, JOINTS, 2), (2, 4, JOINTS, 3), "one batch, length and skeleton"),
    ],
)
def test_clips_that_do_not_fit_are_refused(shape_2d, shape_3d, message):
    with pytest.raises(ShapeError, match=message):
        small()(
            torch.zeros(shape_2d, dtype=torch.float64),
            torch.zeros(shape_3d, dtype=torch.float64),
            torch.zeros(2, dtype=torch.int64),
        )


@pytest.mark.parametrize("dim", [2, 7])
def test_a_dim_without_whole_waves_is_refused(dim):
    with pytest.raises(ConfigError, match=f"even dim of at least 4, got {dim}"):
        sinusoidal_embedding(torch.arange(3), dim)
