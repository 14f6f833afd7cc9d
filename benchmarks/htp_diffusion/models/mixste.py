"""MixSTE, and the stack of alternating spatial and temporal blocks that it shares with D3DP's denoiser.

Source: Zhang et al., "MixSTE: Seq2seq Mixed Spatio-Temporal Encoder for 3D Human Pose Estimation in Video",
CVPR 2022. Attribute names are those of the public checkpoints.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_modules.block import NORM_EPS, TransformerBlock
from htp_modules.errors import ConfigError, ShapeError
from htp_modules.htp import HTP, Pair
from htp_modules.mask import TemporalMask
from htp_modules.precision import own_precision
from htp_modules.sft_mhsa import SFTMHSA

Tokens = Float[Tensor, "batch frames joints dim"]

COORDINATES = 3  # of one joint in 3D


def check_clip(
    clip: Tensor,
    *,
    name: str,
    num_channels: int,
    num_joints: int | None = None,
    max_frames: int | None = None,
) -> None:
    """Check that ``clip`` is a (batch, frames, joints, channels) tensor that the model ``name`` can take.

    Raises:
        ShapeError: Another rank, other channels or joints, or more frames than the position table holds.
    """
    if clip.ndim != 4 or clip.shape[-1] != num_channels:
        raise ShapeError(
            f"{name} expects poses (batch, frames, joints, {num_channels}), got shape {tuple(clip.shape)}"
        )
    frames, joints = clip.shape[1:3]
    if num_joints is not None and joints != num_joints:
        raise ShapeError(f"{name} was built for {num_joints} joints, got {joints}")
    if max_frames is not None and frames > max_frames:
        raise ShapeError(
            f"{name} was built for up to {max_frames} frames, got {frames}; "
            "build it longer or cut the sequence into shorter clips"
        )


def flow_parts(htp: HTP) -> list[tuple[nn.Module, str]]:
    """Methods of HTP's own modules that a compiler may take one by one."""
    return [(module, "forward") for module in (htp.tcep, htp.mgptp, htp.recovery)]


class PoseNetwork(nn.Module):
    """A network of 2D poses, built for a number of channels, joints and, at most, frames."""

    num_frames: int
    num_joints: int
    in_channels: int

    def check_pose_2d(self, pose_2d: Float[Tensor, "batch frames joints channels"]) -> None:
        """Refuse what does not fit.

        Raises:
            ShapeError: The clips do not fit the model.
        """
        check_clip(
            pose_2d,
            name=type(self).__name__,
            num_channels=self.in_channels,
            num_joints=self.num_joints,
            max_frames=self.num_frames,
        )


class PoseHead(nn.Sequential):
    """A layer norm and a linear layer: the poses from tokens.

    In the tokens' own precision whatever the autocast: float16 tells metres apart by a quarter to half a
    millimetre.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(nn.LayerNorm(dim), nn.Linear(dim, COORDINATES))

    def forward(self, input: Tokens) -> Float[Tensor, "batch frames joints 3"]:
        """The poses, in the units that the model was trained for."""
        with own_precision(input):
            return super().forward(input)


class AlternatingTrunk(PoseNetwork):
    """Position tables, ``depth`` pairs of a spatial and a temporal block, and the head.

    Both norms are shared: ``Spatial_norm`` follows every spatial block, ``Temporal_norm`` every temporal one.
    A subclass sets ``in_channels``, and ``Spatial_patch_to_embedding`` for :meth:`embed_joints`; it calls
    :meth:`mix` and ``head``, or walks :meth:`pairs` itself.

    Args:
        num_frames: Length of the temporal position table; shorter clips use its beginning.
        num_joints: Joints of the skeleton.
        dim: Channels of a token.
        depth: Number of pairs.
        num_heads: Attention heads of every block.
        mlp_ratio: Hidden width of the blocks' MLPs over ``dim``.
        drop_path: Stochastic depth rate of the last pair; it grows linearly from 0 at the first.
    """

    Spatial_patch_to_embedding: nn.Module

    def __init__(
        self,
        num_frames: int,
        num_joints: int,
        dim: int,
        depth: int,
        num_heads: int,
        mlp_ratio: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ConfigError(f"{type(self).__name__} expects a depth of at least 1, got {depth}")
        # On the CPU, since a model built under torch.device("meta") has no values to read.
        rates = torch.linspace(0.0, drop_path, depth, device="cpu").tolist()
        self.num_frames = num_frames
        self.num_joints = num_joints
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, num_joints, dim))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, num_frames, dim))
        self.STEblocks = nn.ModuleList(
            TransformerBlock(dim, num_heads, mlp_ratio, drop_path=rate) for rate in rates
        )
        self.TTEblocks = nn.ModuleList(SFTMHSA(dim, num_heads, mlp_ratio, drop_path=rate) for rate in rates)
        self.Spatial_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.Temporal_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.head = PoseHead(dim)

    def embed_joints(self, coordinates: Float[Tensor, "batch frames joints channels"]) -> Tokens:
        """Tokens of joints, the spatial positions added.

        In the coordinates' own precision whatever the autocast: a few bits of them would move the poses.
        """
        with own_precision(coordinates):
            return self.Spatial_patch_to_embedding(coordinates) + self.Spatial_pos_embed

    def temporal_position(self, frames: int) -> Float[Tensor, "1 frames 1 dim"]:
        """The first ``frames`` rows of the position table, to be added before the first temporal block."""
        return self.Temporal_pos_embed[:, :frames, None]

    def pairs(self) -> list[Pair]:
        """Each spatial and temporal block followed by its norm, as functions of tokens."""
        return [
            Pair(partial(self._spatial, spatial), partial(self._temporal, temporal))
            for spatial, temporal in zip(self.STEblocks, self.TTEblocks, strict=True)
        ]

    def compiled_parts(self) -> list[tuple[nn.Module, str]]:
        """Methods of modules that a compiler may take one by one: every pair runs the first two."""
        return [(self, "_spatial"), (self, "_temporal"), (self.head, "forward")]

    def mix(self, x: Tokens) -> Tokens:
        """All pairs, one after the other; the temporal positions enter before the first temporal block."""
        first, *rest = self.pairs()
        x = first.temporal(first.spatial(x) + self.temporal_position(x.shape[1]), None)
        for pair in rest:
            x = pair.temporal(pair.spatial(x), None)
        return x

    def _spatial(self, block: nn.Module, x: Tokens) -> Tokens:
        return self.Spatial_norm(block(x.flatten(0, 1))).unflatten(0, x.shape[:2])

    def _temporal(self, block: nn.Module, x: Tokens, mask: TemporalMask | None) -> Tokens:
        return self.Temporal_norm(block(x, mask))


class MixSTE(AlternatingTrunk):
    """Lifts a sequence of 2D poses to 3D.

    Args:
        num_frames: Longest clip.
        num_joints: Joints of the skeleton.
        in_channels: Channels of an input joint.
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
        self.Spatial_patch_to_embedding = nn.Linear(in_channels, dim)

    def embed(self, pose_2d: Float[Tensor, "batch frames joints channels"]) -> Tokens:
        """Tokens of a clip, the spatial positions added.

        Raises:
            ShapeError: The clip does not fit what the model was built for.
        """
        self.check_pose_2d(pose_2d)
        return self.embed_joints(pose_2d)

    def forward(
        self, pose_2d: Float[Tensor, "batch frames joints channels"]
    ) -> Float[Tensor, "batch frames joints 3"]:
        """Root-relative 3D poses, in the units that the model was trained for."""
        return self.head(self.mix(self.embed(pose_2d)))
