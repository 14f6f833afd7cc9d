"""DSTformer, the dual-stream transformer of MotionBERT.

Source: Zhu et al., "MotionBERT: A Unified Perspective on Learning Human Motion Representations", ICCV 2023,
Section 3.2. Attribute names are those of the public checkpoints.
"""

from collections import OrderedDict

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.models.mixste import Tokens, check_clip
from htp_modules.attention import MultiHeadAttention
from htp_modules.block import MLP, NORM_EPS

INIT_STD = 0.02  # of every weight and position table, as in the public code


class DualBlock(nn.Module):
    """Attention and MLP across joints and across time, in the order that its stream asks for.

    Args:
        dim: Channels of a token.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over ``dim``.
        spatial_first: True in the spatial-temporal stream, False in the temporal-spatial one.
    """

    def __init__(self, dim: int, num_heads: int, mlp_ratio: float, *, spatial_first: bool) -> None:
        super().__init__()
        self.spatial_first = spatial_first
        self.norm1_s = nn.LayerNorm(dim, eps=NORM_EPS)
        self.norm1_t = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn_s = MultiHeadAttention(dim, num_heads)
        self.attn_t = MultiHeadAttention(dim, num_heads)
        self.norm2_s = nn.LayerNorm(dim, eps=NORM_EPS)
        self.norm2_t = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp_s = MLP(dim, int(dim * mlp_ratio))
        self.mlp_t = MLP(dim, int(dim * mlp_ratio))

    def spatial(self, x: Tokens) -> Tokens:
        """Each frame's joints attend to each other."""
        poses = x.flatten(0, 1)
        poses = poses + self.attn_s(self.norm1_s(poses))
        poses = poses + self.mlp_s(self.norm2_s(poses))
        return poses.unflatten(0, x.shape[:2])

    def temporal(self, x: Tokens) -> Tokens:
        """Each joint's frames attend to each other."""
        tracks = rearrange(x, "b t j d -> (b j) t d")
        tracks = tracks + self.attn_t(self.norm1_t(tracks))
        tracks = tracks + self.mlp_t(self.norm2_t(tracks))
        return rearrange(tracks, "(b j) t d -> b t j d", j=x.shape[2])

    def forward(self, x: Tokens) -> Tokens:
        """Both parts, one after the other."""
        if self.spatial_first:
            return self.temporal(self.spatial(x))
        return self.spatial(self.temporal(x))


def _even_gate(dim: int) -> nn.Linear:
    """Logits of the two streams' shares, equal at first: the untrained fusion is the mean."""
    gate = nn.Linear(2 * dim, 2)
    nn.init.zeros_(gate.weight)
    nn.init.constant_(gate.bias, 0.5)
    return gate


class DSTformer(nn.Module):
    """Two streams of spatial and temporal attention, fused after every block.

    Args:
        dim_in: Channels of an input joint (x, y and the detector's confidence).
        dim_out: Channels of an output joint.
        dim_feat: Channels of a token.
        dim_rep: Channels of the motion representation.
        depth: Number of dual blocks.
        num_heads: Attention heads.
        mlp_ratio: Hidden width of the MLPs over ``dim_feat``.
        maxlen: Longest clip; shorter clips use the beginning of the temporal position table.
        num_joints: Joints of the skeleton.
        att_fuse: Weigh the streams per token by what they hold; else take their mean.
    """

    def __init__(
        self,
        dim_in: int = 3,
        dim_out: int = 3,
        dim_feat: int = 512,
        dim_rep: int = 512,
        depth: int = 5,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
        maxlen: int = 243,
        num_joints: int = 17,
        att_fuse: bool = True,
    ) -> None:
        super().__init__()
        self.joints_embed = nn.Linear(dim_in, dim_feat)
        self.temp_embed = nn.Parameter(torch.empty(1, maxlen, 1, dim_feat))
        self.pos_embed = nn.Parameter(torch.empty(1, num_joints, dim_feat))
        self.blocks_st = nn.ModuleList(
            DualBlock(dim_feat, num_heads, mlp_ratio, spatial_first=True) for _ in range(depth)
        )
        self.blocks_ts = nn.ModuleList(
            DualBlock(dim_feat, num_heads, mlp_ratio, spatial_first=False) for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim_feat, eps=NORM_EPS)
        self.pre_logits = nn.Sequential(OrderedDict(fc=nn.Linear(dim_feat, dim_rep), act=nn.Tanh()))
        self.head = nn.Linear(dim_rep, dim_out)
        self._initialise()
        self.ts_attn = nn.ModuleList(_even_gate(dim_feat) for _ in range(depth)) if att_fuse else None

    def _initialise(self) -> None:
        for table in (self.temp_embed, self.pos_embed):
            nn.init.trunc_normal_(table, std=INIT_STD)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)

    def embed(self, x: Float[Tensor, "batch frames joints channels"]) -> Tokens:
        """Tokens of a clip, the joint and frame positions added.

        Raises:
            ShapeError: The clip does not fit what the model was built for.
        """
        check_clip(
            x,
            name="DSTformer",
            num_channels=self.joints_embed.in_features,
            num_joints=self.pos_embed.shape[1],
            max_frames=self.temp_embed.shape[1],
        )
        return self.joints_embed(x) + self.pos_embed + self.temp_embed[:, : x.shape[1]]

    def fuse(self, layer: int, x_st: Tokens, x_ts: Tokens) -> Tokens:
        """The two streams' tokens after block ``layer`` as one (adaptive fusion, Section 3.2)."""
        if self.ts_attn is None:
            return (x_st + x_ts) / 2
        share = self.ts_attn[layer](torch.cat((x_st, x_ts), dim=-1)).softmax(dim=-1)
        return x_st * share[..., :1] + x_ts * share[..., 1:]

    def forward(
        self, x: Float[Tensor, "batch frames joints channels"], return_rep: bool = False
    ) -> Float[Tensor, "batch frames joints features"]:
        """Root-relative 3D poses, or with ``return_rep`` the motion representation before the head."""
        x = self.embed(x)
        for layer, (block_st, block_ts) in enumerate(zip(self.blocks_st, self.blocks_ts, strict=True)):
            x = self.fuse(layer, block_st(x), block_ts(x))
        representation = self.pre_logits(self.norm(x))
        return representation if return_rep else self.head(representation)

    def get_representation(
        self, x: Float[Tensor, "batch frames joints channels"]
    ) -> Float[Tensor, "batch frames joints dim_rep"]:
        """The motion representation, in (-1, 1)."""
        return self.forward(x, return_rep=True)
