"""DSTformer against an independent slow forward in float64, and against the public checkpoint's names."""

import numpy as np
import pytest
import torch
from torch import nn

from htp_diffusion.models.dstformer import DSTformer
from htp_modules.errors import ShapeError

FRAMES, JOINTS, DIM, REP, DEPTH, HEADS = 5, 4, 8, 6, 2, 2
SIZES = {
    "dim_feat": DIM,
    "dim_rep": REP,
    "depth": DEPTH,
    "num_heads": HEADS,
    "maxlen": FRAMES,
    "num_joints": JOINTS,
}

# Names of one dual block and of the whole, read off DSTformer.py of Walter0807/MotionBERT at dccfe7b1.
BLOCK_SHAPES = {
    f"{part}_{axis}.{name}": shape
    for axis in "st"
    for part, tensors in {
        "norm1": {"weight": (DIM,), "bias": (DIM,)},
        "attn": {
            "qkv.weight": (3 * DIM, DIM),
            "qkv.bias": (3 * DIM,),
            "proj.weight": (DIM, DIM),
            "proj.bias": (DIM,),
        },
        "norm2": {"weight": (DIM,), "bias": (DIM,)},
        "mlp": {
            "fc1.weight": (2 * DIM, DIM),
            "fc1.bias": (2 * DIM,),
            "fc2.weight": (DIM, 2 * DIM),
            "fc2.bias": (DIM,),
        },
    }.items()
    for name, shape in tensors.items()
}
OTHER_SHAPES = {
    "temp_embed": (1, FRAMES, 1, DIM),
    "pos_embed": (1, JOINTS, DIM),
    "joints_embed.weight": (DIM, 3),
    "joints_embed.bias": (DIM,),
    "norm.weight": (DIM,),
    "norm.bias": (DIM,),
    "pre_logits.fc.weight": (REP, DIM),
    "pre_logits.fc.bias": (REP,),
    "head.weight": (3, REP),
    "head.bias": (3,),
}


def small(att_fuse: bool = True) -> DSTformer:
    """A model with every parameter drawn at random, so that no bias, norm or gate is inert."""
    generator = torch.Generator().manual_seed(0)
    model = DSTformer(**SIZES, att_fuse=att_fuse)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return model.double().eval()


def clip(frames: int = FRAMES) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(2, frames, JOINTS, 3, dtype=torch.float64, generator=generator)


class SlowDSTformer:
    """MotionBERT's equations in NumPy, one clip at a time, one head at a time."""

    def __init__(self, model: DSTformer) -> None:
        self.weights = {name: value.numpy() for name, value in model.state_dict().items()}
        self.fuses = model.ts_attn is not None

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return np.einsum("...i,oi->...o", x, self.weights[f"{name}.weight"]) + self.weights[f"{name}.bias"]

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        scaled = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def attend(self, name: str, x: np.ndarray) -> np.ndarray:
        query, key, value = np.split(self.linear(f"{name}.qkv", x), 3, axis=-1)
        mixed = np.zeros_like(x)
        for head in np.split(np.arange(DIM), HEADS):
            scores = np.exp(query[:, head] @ key[:, head].T / np.sqrt(len(head)))
            mixed[:, head] = scores / scores.sum(-1, keepdims=True) @ value[:, head]
        return self.linear(f"{name}.proj", mixed)

    def half(self, name: str, axis: str, x: np.ndarray) -> np.ndarray:
        x = x + self.attend(f"{name}.attn_{axis}", self.norm(f"{name}.norm1_{axis}", x))
        hidden = self.linear(f"{name}.mlp_{axis}.fc1", self.norm(f"{name}.norm2_{axis}", x))
        hidden = hidden * (1 + torch.erf(torch.from_numpy(hidden) / 2**0.5).numpy()) / 2
        return x + self.linear(f"{name}.mlp_{axis}.fc2", hidden)

    def stream(self, name: str, order: str, x: np.ndarray) -> np.ndarray:
        for axis in order:
            if axis == "s":
                x = np.stack([self.half(name, "s", x[t]) for t in range(x.shape[0])], axis=0)
            else:
                x = np.stack([self.half(name, "t", x[:, j]) for j in range(x.shape[1])], axis=1)
        return x

    def representation(self, poses: np.ndarray) -> np.ndarray:
        x = self.linear("joints_embed", poses)
        x = x + self.weights["pos_embed"] + self.weights["temp_embed"][0, : len(poses)]
        for layer in range(DEPTH):
            x_st = self.stream(f"blocks_st.{layer}", "st", x)
            x_ts = self.stream(f"blocks_ts.{layer}", "ts", x)
            share = np.full(x.shape[:-1], 0.5)
            if self.fuses:
                gate = self.linear(f"ts_attn.{layer}", np.concatenate((x_st, x_ts), axis=-1))
                share = 1 / (1 + np.exp(gate[..., 1] - gate[..., 0]))
            x = share[..., None] * x_st + (1 - share[..., None]) * x_ts
        return np.tanh(self.linear("pre_logits.fc", self.norm("norm", x)))

    def __call__(self, poses: np.ndarray) -> np.ndarray:
        return self.linear("head", self.representation(poses))


@pytest.mark.parametrize("att_fuse", [True, False])
@pytest.mark.parametrize("frames", [FRAMES, 2, 1])
def test_forward_equals_the_equations(att_fuse, frames):
    model, poses = small(att_fuse=att_fuse), clip(frames)
    slow = SlowDSTformer(model)
    with torch.no_grad():
        lifted, representation = model(poses).numpy(), model.get_representation(poses).numpy()
    np.testing.assert_allclose(lifted, [slow(one) for one in poses.numpy()], rtol=1e-9, atol=1e-9)
    expected = [slow.representation(one) for one in poses.numpy()]
    np.testing.assert_allclose(representation, expected, rtol=1e-9, atol=1e-9)


def test_get_representation_is_forward_with_return_rep():
    model = small()
    torch.testing.assert_close(
        model.get_representation(clip()), model(clip(), return_rep=True), rtol=0, atol=0
    )


@pytest.mark.parametrize("att_fuse", [True, False])
def test_names_and_shapes_are_those_of_the_public_checkpoint(att_fuse):
    expected = OTHER_SHAPES | {
        f"{stream}.{layer}.{name}": shape
        for stream in ("blocks_st", "blocks_ts")
        for layer in range(DEPTH)
        for name, shape in BLOCK_SHAPES.items()
    }
    if att_fuse:
        for layer in range(DEPTH):
            expected |= {f"ts_attn.{layer}.weight": (2, 2 * DIM), f"ts_attn.{layer}.bias": (2,)}
    state = small(att_fuse=att_fuse).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == expected


def test_size_and_macs_of_the_paper():
    """42.5 M parameters and 174.751 G MACs, counted by THOP on shapes alone."""
    thop = pytest.importorskip("thop")
    with torch.device("meta"):
        model = DSTformer().eval()
        assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(42.466, abs=5e-4)
        inputs = (torch.zeros(1, 243, 17, 3),)
    macs, _ = thop.profile(model, inputs=inputs, verbose=False)
    assert macs / 1e9 == pytest.approx(174.751, abs=1e-3)


def test_untrained_fusion_is_the_mean_of_the_streams():
    torch.manual_seed(0)
    fused = DSTformer(**SIZES).double().eval()
    mean = DSTformer(**SIZES, att_fuse=False).double().eval()
    mean.load_state_dict({k: v for k, v in fused.state_dict().items() if not k.startswith("ts_attn.")})
    torch.testing.assert_close(fused(clip()), mean(clip()), rtol=1e-12, atol=1e-12)


def test_initial_weights_follow_the_public_code():
    """Truncated normals of deviation 0.02 in weights and tables, zero biases, unit norms."""
    torch.manual_seed(0)
    model = DSTformer(dim_feat=64, dim_rep=64, depth=1, maxlen=81)
    for name, parameter in model.named_parameters():
        if name.startswith("ts_attn"):
            assert bool((parameter == (0.5 if name.endswith("bias") else 0.0)).all())
        elif name.endswith("bias"):
            assert bool((parameter == 0).all())
        elif "norm" in name:
            assert bool((parameter == 1).all())
        else:
            # Four standard errors of a deviation estimated from the tensor's own size.
            assert parameter.std().item() == pytest.approx(0.02, rel=4 / (2 * parameter.numel()) ** 0.5)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, FRAMES + 1, JOINTS, 3), "DSTformer was built for up to 5 frames, got 6"),
        ((2, FRAMES, 1, 3), "built for 4 joints, got 1"),
        ((2, FRAMES, JOINTS, 2), r"expects poses \(batch, frames, joints, 3\)"),
    ],
)
def test_a_clip_that_does_not_fit_is_refused(shape, message):
    with pytest.raises(ShapeError, match=message):
        small()(torch.zeros(shape, dtype=torch.float64))
