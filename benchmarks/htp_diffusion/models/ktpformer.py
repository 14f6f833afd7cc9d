"""KTPFormer: priors of the skeleton and of trajectories inside the first pair of blocks.

Source: Peng et al., "KTPFormer: Kinematics and Trajectory Prior Knowledge-Enhanced Transformer for 3D Human
Pose Estimation", CVPR 2024. Its lifter is public, and so are the lifter's checkpoints, whose attribute names
these are. Its diffusion denoiser is not: here the lifter's network is told the timestep as D3DP's is.
"""

import torch
from einops import rearrange
from jaxtyping import Float, Real
from torch import Tensor, nn

from htp_diffusion.models.denoiser import TimestepMLP, check_noisy
from htp_diffusion.models.mixste import COORDINATES, PoseNetwork, Tokens
from htp_modules.attention import MultiHeadAttention
from htp_modules.block import MLP, NORM_EPS, DropPath, TransformerBlock
from htp_modules.errors import ConfigError
from htp_modules.graph import chain_graph, graph_convolution, skeleton_graph, symmetric_topology
from htp_modules.sft_mhsa import SFTMHSA

_INITIAL_LINKS = 1e-6  # of the learned graph
_GAIN = 1.414  # of the weights' initialisation, for the rectifier


class PriorConvolution(nn.Module):
    """The learnable graph convolution over a given graph."""

    def __init__(self, graph: Float[Tensor, "nodes nodes"], in_channels: int, dim: int) -> None:
        super().__init__()
        self.in_features = in_channels
        self.W = nn.Parameter(torch.empty(2, in_channels, dim))
        nn.init.xavier_uniform_(self.W, gain=_GAIN)
        self.M = nn.Parameter(torch.ones(len(graph), dim))
        self.adj2 = nn.Parameter(torch.full_like(graph, _INITIAL_LINKS))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.register_buffer("adj", graph, persistent=False)

    def forward(self, x: Float[Tensor, "n nodes channels"]) -> Float[Tensor, "n nodes dim"]:
        """Over the first nodes of the graph, as many as there are."""
        nodes = x.shape[1]
        coupling = symmetric_topology(self.get_buffer("adj"), self.adj2)[:nodes, :nodes]
        return graph_convolution(x, coupling.to(x.dtype), self.W, self.M[:nodes], self.bias)


class Prior(nn.Module):
    """A graph convolution, a batch norm over channels and a rectifier."""

    def __init__(self, graph: Float[Tensor, "nodes nodes"], in_channels: int, dim: int) -> None:
        super().__init__()
        self.gconv = PriorConvolution(graph, in_channels, dim)
        self.bn = nn.BatchNorm1d(dim)
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "n nodes channels"]) -> Float[Tensor, "n nodes dim"]:
        """Tokens of each node."""
        mixed = self.gconv(x)
        return self.relu(self.bn(mixed.flatten(0, 1)).view_as(mixed))


class TrajectoryPrior(nn.Module):
    """Two convolutions over the frames of a joint, beside the tokens themselves."""

    def __init__(self, num_frames: int, dim: int) -> None:
        super().__init__()
        graph = chain_graph(num_frames, torch.zeros(()))
        self.gconv1 = Prior(graph, dim, dim)
        self.gconv2 = Prior(graph.clone(), dim, dim)

    def forward(self, x: Float[Tensor, "n frames dim"]) -> Float[Tensor, "n frames dim"]:
        """Tokens that know the frames around them."""
        return x + self.gconv2(self.gconv1(x))


class PriorAttention(MultiHeadAttention):
    """Attention behind a prior, a position and a norm, with its residual path."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads)
        self.norm1 = nn.LayerNorm(dim)
        self.drop_path = DropPath(0.0)

    def attended(self, x: Float[Tensor, "n length dim"]) -> Float[Tensor, "n length dim"]:
        """Tokens that have the prior and the position already."""
        return x + self.drop_path(super().forward(self.norm1(x)))


class KinematicAttention(PriorAttention):
    """Embeds the joints by the prior of the skeleton, and attends along them."""

    def __init__(self, in_channels: int, num_joints: int, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads)
        self.kpa = Prior(skeleton_graph(num_joints), in_channels, dim)
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, num_joints, dim))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  (poses and a timestep, not tokens and a mask)
        self, pose: Float[Tensor, "n joints channels"], time: Float[Tensor, "n 1 dim"] | None = None
    ) -> Float[Tensor, "n joints dim"]:
        """Tokens of poses, told the time where there is one."""
        x = self.kpa(pose) + self.Spatial_pos_embed
        return self.attended(x if time is None else x + time)


class TrajectoryAttention(PriorAttention):
    """Attends along frames, behind the prior of trajectories."""

    def __init__(self, num_frames: int, dim: int, num_heads: int) -> None:
        super().__init__(dim, num_heads)
        self.tpa = TrajectoryPrior(num_frames, dim)
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, num_frames, dim))

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  (no mask)
        self, x: Float[Tensor, "n frames dim"]
    ) -> Float[Tensor, "n frames dim"]:
        """The tokens of each joint's track."""
        return self.attended(self.tpa(x) + self.Temporal_pos_embed[:, : x.shape[1]])


class PriorBlock(nn.Module):
    """Attention with a prior, then the MLP."""

    def __init__(self, attention: PriorAttention, dim: int, mlp_ratio: float) -> None:
        super().__init__()
        self.attn = attention
        self.drop_path = DropPath(0.0)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = MLP(dim, int(dim * mlp_ratio))

    def forward(self, *inputs: Tensor) -> Float[Tensor, "n length dim"]:
        """What the attention takes."""
        x = self.attn(*inputs)
        return x + self.drop_path(self.mlp(self.norm2(x)))


class PriorTrunk(PoseNetwork):
    """The network between a pose and a pose.

    Args:
        num_frames: Longest clip.
        num_joints: Joints of the skeleton.
        in_channels: Channels of a 2D joint.
        dim: Channels of a token.
        depth: Pairs of blocks, the first with the priors included; the published network has 8.
        num_heads: Attention heads of every block.
        mlp_ratio: Hidden width of the blocks' MLPs over ``dim``.
        drop_path: Stochastic depth rate of the last pair; it grows linearly from 0 at the first.

    Raises:
        ConfigError: Fewer than two pairs.
    """

    noisy_channels = 0
    """Channels of a joint's noisy pose beside its 2D ones."""

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
        super().__init__()
        if depth < 2:
            raise ConfigError(f"{type(self).__name__} expects a depth of at least 2, got {depth}")
        rates = torch.linspace(0.0, drop_path, depth, device="cpu").tolist()[1:]
        self.num_frames, self.num_joints, self.in_channels = num_frames, num_joints, in_channels
        sizes = (dim, num_heads, mlp_ratio)
        self.STEblocks = nn.ModuleList(TransformerBlock(*sizes, drop_path=rate) for rate in rates)
        self.TTEblocks = nn.ModuleList(SFTMHSA(*sizes, drop_path=rate) for rate in rates)
        self.Spatial_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        self.Temporal_norm = nn.LayerNorm(dim, eps=NORM_EPS)
        spatial = KinematicAttention(in_channels + self.noisy_channels, num_joints, dim, num_heads)
        self.kpattention = PriorBlock(spatial, dim, mlp_ratio)
        self.tpattention = PriorBlock(TrajectoryAttention(num_frames, dim, num_heads), dim, mlp_ratio)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, COORDINATES))
        if self.noisy_channels:
            self.time_mlp = TimestepMLP(dim)

    def mix(
        self, poses: Float[Tensor, "batch frames joints channels"], time: Float[Tensor, "batch dim"] | None
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The 3D poses, told the time where there is one."""
        frames, joints = poses.shape[1:3]
        told = () if time is None else (time.repeat_interleave(frames, dim=0)[:, None],)
        x = self.Spatial_norm(self.kpattention(poses.flatten(0, 1), *told))
        x = self.Temporal_norm(self.tpattention(rearrange(x, "(b t) j d -> (b j) t d", t=frames)))
        x: Tokens = rearrange(x, "(b j) t d -> b t j d", j=joints)
        for spatial, temporal in zip(self.STEblocks, self.TTEblocks, strict=True):
            x = self.Spatial_norm(spatial(x.flatten(0, 1))).unflatten(0, x.shape[:2])
            x = self.Temporal_norm(temporal(x, None))
        return self.head(x)


class KTPFormer(PriorTrunk):
    """The published lifter: predicts the 3D poses from the 2D ones."""

    def forward(
        self, pose_2d: Float[Tensor, "batch frames joints channels"]
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The 3D poses.

        Raises:
            ShapeError: The clips do not fit the model.
        """
        self.check_pose_2d(pose_2d)
        return self.mix(pose_2d, None)


class KTPFormerDenoiser(PriorTrunk):
    """Predicts the clean 3D poses from noisy ones, the 2D poses and the timestep."""

    noisy_channels = COORDINATES

    def forward(
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The clean 3D poses.

        Raises:
            ShapeError: The clips differ in batch, frames or joints, or do not fit the model.
        """
        self.check_pose_2d(pose_2d)
        check_noisy(noisy, pose_2d, name=type(self).__name__)
        return self.mix(torch.cat((pose_2d, noisy), dim=-1), self.time_mlp(timestep))
