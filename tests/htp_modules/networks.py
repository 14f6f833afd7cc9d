"""A small spatial/temporal transformer with and without HTP, and what else the tests of the modules share."""

import torch
from einops import rearrange
from hypothesis import strategies as st
from torch import Tensor, nn

from htp_modules import HTP, SFTMHSA, HTPConfig, Pair, TemporalMask
from htp_modules.block import TransformerBlock

DTYPES = (torch.float32, torch.float64, torch.bfloat16)
EXTREMES = (
    1.0,
    2.0**100,
    2.0**-100,
)  # 1.3e30 and 7.9e-31: powers of two, so that they scale without rounding


class SpatialBlock(TransformerBlock):
    """The plain block along joints."""

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        return rearrange(
            super().forward(rearrange(x, "b t j d -> (b t) j d")), "(b t) j d -> b t j d", b=batch
        )


class Network(nn.Module):
    """Blocks through the hourglass; ``plain`` runs the same blocks without it."""

    def __init__(self, dim=8, num_frames=9, depth=3, config=None, drop_path=0.0):
        super().__init__()
        self.spatial = nn.ModuleList(SpatialBlock(dim, 2, drop_path=drop_path) for _ in range(depth))
        self.temporal = nn.ModuleList(SFTMHSA(dim, 2, drop_path=drop_path) for _ in range(depth))
        self.position = nn.Parameter(torch.randn(num_frames, 1, dim))
        self.htp = HTP(dim, num_frames, num_heads=2, config=config or HTPConfig(num_sft_layers=1))

    def inject(self, x: Tensor) -> Tensor:
        return x + self.position[: x.shape[1]]

    def forward(self, x: Tensor) -> Tensor:
        pairs = [Pair(*blocks) for blocks in zip(self.spatial, self.temporal, strict=True)]
        return self.htp(x, pairs, self.inject)

    def plain(self, x: Tensor) -> Tensor:
        for number, (spatial, temporal) in enumerate(zip(self.spatial, self.temporal, strict=True)):
            x = spatial(x)
            x = temporal(self.inject(x) if number == 0 else x, None)
        return x


def shake(module: nn.Module) -> nn.Module:
    """Move every weight and running statistic from where it starts: no term hides behind a 0 or 1."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(0.3 * torch.randn_like(buffer))
            elif name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand_like(buffer))
    return module


def lists(module: nn.Module) -> dict:
    """The state dict as nested lists of float64, as the oracles take it."""
    return {name: value.double().tolist() for name, value in module.state_dict().items()}


def random_mask(batch: int, joints: int, frames: int, share: float = 0.4) -> TemporalMask:
    """A valid mask that keeps about ``share`` of the pairs."""
    keep = torch.rand(batch, joints, frames, frames) < share
    return TemporalMask(keep | keep.transpose(-2, -1) | torch.eye(frames, dtype=torch.bool))


@st.composite
def tokens(draw, max_batch=2, max_frames=8, max_joints=3, max_dim=5, dtypes=DTYPES, extremes=EXTREMES):
    """Tokens of any small size: random, small integers (full of exact ties), constant, or duplicated."""
    batch, frames, joints, dim = (
        draw(st.integers(1, most)) for most in (max_batch, max_frames, max_joints, max_dim)
    )
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    kind = draw(st.sampled_from(["random", "integers", "constant", "duplicates"]))
    shape = (batch, frames, joints, dim)
    if kind == "random":
        x = torch.randn(shape, generator=generator)
    else:
        x = torch.randint(-3, 4, shape, generator=generator).float()
    if kind == "constant":
        x = x[:, :1].expand(shape)
    if kind == "duplicates":
        x = x[:, torch.randint(frames, (frames,), generator=generator)]
    dtype = draw(st.sampled_from(dtypes))
    return (x.to(dtype) * draw(st.sampled_from(extremes))).contiguous()


@st.composite
def untied_tokens(draw, max_frames=8):
    """Integer tokens, exact in float32, of which no row of correlations holds a tie (the diagonal aside)."""
    frames, joints = draw(st.integers(1, max_frames)), draw(st.integers(1, 3))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**16)))
    while True:  # a tie among 64 large integers is rare: this seldom runs twice
        x = torch.randint(-40, 41, (2, frames, joints, 6), generator=generator).float()
        scores = torch.einsum("btjd,bsjd->bjts", x, x)
        scores = scores.masked_fill(torch.eye(frames, dtype=torch.bool), torch.inf).sort(dim=-1).values
        if bool((scores[..., 1:] > scores[..., :-1]).all()):
            return x
