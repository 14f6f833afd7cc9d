"""MixSTE against an independent slow forward in float64, and against the public checkpoint's names."""

import math

import pytest
import torch
from torch import nn

from htp_diffusion.models.mixste import MixSTE
from htp_modules.errors import ConfigError, ShapeError

FRAMES, JOINTS, DIM, DEPTH, HEADS = 6, 5, 8, 3, 2

# Names of one block and of the whole, read off MixSTE2 of JinluZhang1126/MixSTE at 72a36be8.
BLOCK_SHAPES = {
    "norm1.weight": (DIM,),
    "norm1.bias": (DIM,),
    "attn.qkv.weight": (3 * DIM, DIM),
    "attn.qkv.bias": (3 * DIM,),
    "attn.proj.weight": (DIM, DIM),
    "attn.proj.bias": (DIM,),
    "norm2.weight": (DIM,),
    "norm2.bias": (DIM,),
    "mlp.fc1.weight": (2 * DIM, DIM),
    "mlp.fc1.bias": (2 * DIM,),
    "mlp.fc2.weight": (DIM, 2 * DIM),
    "mlp.fc2.bias": (DIM,),
}
OTHER_SHAPES = {
    "Spatial_pos_embed": (1, JOINTS, DIM),
    "Temporal_pos_embed": (1, FRAMES, DIM),
    "Spatial_patch_to_embedding.weight": (DIM, 2),
    "Spatial_patch_to_embedding.bias": (DIM,),
    "Spatial_norm.weight": (DIM,),
    "Spatial_norm.bias": (DIM,),
    "Temporal_norm.weight": (DIM,),
    "Temporal_norm.bias": (DIM,),
    "head.0.weight": (DIM,),
    "head.0.bias": (DIM,),
    "head.1.weight": (3, DIM),
    "head.1.bias": (3,),
}


def small(frames: int = FRAMES, drop_path: float = 0.0) -> MixSTE:
    """A model with every parameter drawn at random, so that no bias, norm or position table is inert."""
    generator = torch.Generator().manual_seed(0)
    model = MixSTE(frames, JOINTS, dim=DIM, depth=DEPTH, num_heads=HEADS, drop_path=drop_path)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model.double().eval()


def clip(batch: int = 2, frames: int = FRAMES) -> torch.Tensor:
    return torch.randn(
        batch, frames, JOINTS, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )


def slow_linear(weights: dict, name: str, vector: torch.Tensor) -> torch.Tensor:
    return (weights[f"{name}.weight"] * vector).sum(-1) + weights[f"{name}.bias"]


def slow_norm(weights: dict, name: str, vector: torch.Tensor, eps: float) -> torch.Tensor:
    centred = vector - vector.sum() / len(vector)
    scale = torch.sqrt((centred * centred).sum() / len(vector) + eps)
    return centred / scale * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def slow_block(weights: dict, name: str, tokens: list[torch.Tensor]) -> list[torch.Tensor]:
    """A pre-norm block on a list of vectors, token by token, head by head."""
    width = DIM // HEADS
    projected = [
        slow_linear(weights, f"{name}.attn.qkv", slow_norm(weights, f"{name}.norm1", x, 1e-6)) for x in tokens
    ]
    result = []
    for x, own in zip(tokens, projected, strict=True):
        heads = []
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            scores = [
                float(own[:DIM][part] @ other[DIM : 2 * DIM][part]) / math.sqrt(width) for other in projected
            ]
            largest = max(scores)
            shares = [math.exp(score - largest) for score in scores]
            values = [
                other[2 * DIM :][part] * share / sum(shares)
                for other, share in zip(projected, shares, strict=True)
            ]
            heads.append(sum(values))
        y = x + slow_linear(weights, f"{name}.attn.proj", torch.cat(heads))
        hidden = slow_linear(weights, f"{name}.mlp.fc1", slow_norm(weights, f"{name}.norm2", y, 1e-6))
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        result.append(y + slow_linear(weights, f"{name}.mlp.fc2", hidden))
    return result


def slow_mixste(weights: dict, poses: torch.Tensor) -> torch.Tensor:
    """One clip (frames, joints, channels) through the equations of MixSTE."""
    frames, joints = range(poses.shape[0]), range(poses.shape[1])
    x = {
        (t, j): slow_linear(weights, "Spatial_patch_to_embedding", poses[t, j])
        + weights["Spatial_pos_embed"][0, j]
        for t in frames
        for j in joints
    }
    for layer in range(DEPTH):
        for t in frames:
            mixed = slow_block(weights, f"STEblocks.{layer}", [x[t, j] for j in joints])
            x |= {(t, j): slow_norm(weights, "Spatial_norm", mixed[j], 1e-6) for j in joints}
        if layer == 0:
            x = {(t, j): token + weights["Temporal_pos_embed"][0, t] for (t, j), token in x.items()}
        for j in joints:
            mixed = slow_block(weights, f"TTEblocks.{layer}", [x[t, j] for t in frames])
            x |= {(t, j): slow_norm(weights, "Temporal_norm", mixed[t], 1e-6) for t in frames}
    head = [
        [slow_linear(weights, "head.1", slow_norm(weights, "head.0", x[t, j], 1e-5)) for j in joints]
        for t in frames
    ]
    return torch.stack([torch.stack(row) for row in head])


@pytest.mark.parametrize("frames", [FRAMES, 3, 1])
def test_forward_equals_the_equations(frames):
    model, poses = small(), clip(frames=frames)
    with torch.no_grad():
        expected = torch.stack([slow_mixste(model.state_dict(), one) for one in poses])
        torch.testing.assert_close(model(poses), expected, rtol=1e-9, atol=1e-9)


def test_names_and_shapes_are_those_of_the_public_checkpoint():
    expected = OTHER_SHAPES | {
        f"{stack}.{layer}.{name}": shape
        for stack in ("STEblocks", "TTEblocks")
        for layer in range(DEPTH)
        for name, shape in BLOCK_SHAPES.items()
    }
    assert {name: tuple(value.shape) for name, value in small().state_dict().items()} == expected


def test_size_and_macs_of_the_paper():
    """33.8 M parameters and 139.0 G MACs (Table of HTP with MixSTE), counted by THOP on shapes alone."""
    thop = pytest.importorskip("thop")
    with torch.device("meta"):
        model = MixSTE().eval()
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(33.784, abs=5e-4)
        inputs = (torch.zeros(1, 243, 17, 2),)
    macs, _ = thop.profile(model, inputs=inputs, verbose=False)
    assert macs / 1e9 == pytest.approx(139.038, abs=1e-3)


def test_walking_through_the_pairs_is_the_forward():
    model, poses = small(), clip()
    x = model.embed(poses)
    for layer, pair in enumerate(model.pairs()):
        x = pair.spatial(x)
        x = pair.temporal(x + model.temporal_position(FRAMES) if layer == 0 else x, None)
    torch.testing.assert_close(model.head(x), model(poses), rtol=0, atol=0)


def test_a_shorter_table_with_the_same_beginning_gives_the_same_poses():
    long, short = small(), small(frames=4)
    weights = long.state_dict()
    weights["Temporal_pos_embed"] = weights["Temporal_pos_embed"][:, :4]
    short.load_state_dict(weights)
    torch.testing.assert_close(long(clip(frames=4)), short(clip(frames=4)), rtol=0, atol=0)


def test_stochastic_depth_grows_linearly_and_sleeps_in_eval():
    model = small(drop_path=0.4)
    assert [block.drop_path.rate for block in model.STEblocks] == pytest.approx([0.0, 0.2, 0.4])
    assert [block.drop_path.rate for block in model.TTEblocks] == pytest.approx([0.0, 0.2, 0.4])
    torch.testing.assert_close(model(clip()), small()(clip()), rtol=0, atol=0)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, FRAMES + 1, JOINTS, 2), "built for up to 6 frames, got 7"),
        ((2, FRAMES, 1, 2), "built for 5 joints, got 1"),
        ((2, FRAMES, JOINTS, 3), r"expects poses \(batch, frames, joints, 2\), got shape \(2, 6, 5, 3\)"),
        ((FRAMES, JOINTS, 2), "expects poses"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused(shape, message):
    with pytest.raises(ShapeError, match=message):
        small()(torch.zeros(shape, dtype=torch.float64))


def test_depth_zero_is_refused():
    with pytest.raises(ConfigError, match="depth of at least 1, got 0"):
        MixSTE(FRAMES, JOINTS, dim=DIM, depth=0)
