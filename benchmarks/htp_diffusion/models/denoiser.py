"""The denoiser of D3DP: MixSTE on the 2D pose joined with a noisy 3D pose, told the diffusion timestep.

Source: Shan et al., "Diffusion-Based 3D Human Pose Estimation with Multi-Hypothesis Aggregation", ICCV
2023. The timestep embedding is that of Ho et al., "Denoising Diffusion Probabilistic Models", NeurIPS 2020.
Attribute names are those of the public checkpoints.
"""

import math
from typing import cast

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from htp_diffusion.models.mixste import COORDINATES, AlternatingTrunk, Tokens, check_clip
from htp_modules.errors import ConfigError, ShapeError

LONGEST_PERIOD = 10_000  # over 2 pi, of the slowest wave of the timestep embedding


def sinusoidal_embedding(timestep: Real[Tensor, " batch"], dim: int) -> Float[Tensor, "batch dim"]:
    """Sines, then cosines, of the timestep at ``dim / 2`` frequencies, geometric from 1 to 1/10000.

    Float32, or float64 for timesteps given in it; the frequencies are float32's, as D3DP's are.

    Raises:
        ConfigError: ``dim`` is odd or below 4.
    """
    if dim < 4 or dim % 2:
        raise ConfigError(f"the timestep embedding expects an even dim of at least 4, got {dim}")
    waves = dim // 2
    exponent = torch.arange(waves, device=timestep.device) * (-math.log(LONGEST_PERIOD) / (waves - 1))
    angle = timestep[:, None] * exponent.exp()
    return torch.cat((angle.sin(), angle.cos()), dim=-1)


def check_noisy(noisy: Tensor, pose_2d: Tensor, *, name: str) -> None:
    """Check that the model ``name`` can take the noisy 3D poses beside 2D poses that were checked.

    Raises:
        ShapeError: They are no 3D poses, or the clips differ in batch, frames or joints.
    """
    check_clip(noisy, name=name, num_channels=COORDINATES)
    if pose_2d.shape[:3] != noisy.shape[:3]:
        raise ShapeError(
            f"{name} expects 2D and noisy 3D poses of one batch, length and skeleton, "
            f"got {tuple(pose_2d.shape)} and {tuple(noisy.shape)}"
        )


class TimestepMLP(nn.ModuleDict):
    """The timestep's sinusoidal embedding through two linear layers, named ``1`` and ``3`` in checkpoints."""

    def __init__(self, dim: int) -> None:
        super().__init__({"1": nn.Linear(dim, 2 * dim), "3": nn.Linear(2 * dim, dim)})
        self.dim = dim

    def forward(self, timestep: Real[Tensor, " batch"]) -> Float[Tensor, "batch dim"]:
        """One vector per sample, in the layers' dtype."""
        widen, narrow = cast(nn.Linear, self["1"]), cast(nn.Linear, self["3"])
        # The waves are computed before the cast: bfloat16 cannot tell timestep 999 from 1000.
        waves = sinusoidal_embedding(timestep, self.dim).to(widen.weight.dtype)
        return narrow(nn.functional.gelu(widen(waves)))


class D3DPDenoiser(AlternatingTrunk):
    """Predicts the clean 3D poses from noisy ones, the 2D poses and the timestep.

    Args:
        num_frames: Longest clip.
        num_joints: Joints of the skeleton.
        in_channels: Channels of a 2D joint.
        dim: Channels of a token.
        depth: Pairs of a spatial and a temporal block.
        num_heads: Attention heads of every block.
        mlp_ratio: Hidden width of the blocks' MLPs over ``dim``.
        drop_path: Stochastic depth rate of the last pair.
    """

    def __init__(
        self,
        num_frames: int = 243,
        num_joints: int = 17,
        in_channels: int = 2,
        dim: int = 512,
        depth: int = 8,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__(num_frames, num_joints, dim, depth, num_heads, mlp_ratio, drop_path)
        self.in_channels = in_channels
        self.Spatial_patch_to_embedding = nn.Linear(in_channels + COORDINATES, dim)
        self.time_mlp = TimestepMLP(dim)

    def compiled_parts(self) -> list[tuple[nn.Module, str]]:
        """Those of the trunk, and the embedding."""
        return [*super().compiled_parts(), (self, "embed")]

    def embed(
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
    ) -> Tokens:
        """Tokens of both poses, the spatial positions added and the timestep not yet.

        Raises:
            ShapeError: The clips differ in batch, frames or joints, or do not fit the model.
        """
        self.check_pose_2d(pose_2d)
        check_noisy(noisy, pose_2d, name=type(self).__name__)
        return self.embed_joints(torch.cat((pose_2d, noisy), dim=-1))

    def forward(
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The clean 3D poses; the timestep enters before the first spatial block, as in D3DP."""
        x = self.embed(pose_2d, noisy) + self.time_mlp(timestep)[:, None, None]
        return self.head(self.mix(x))
