"""Stand-ins with the structure, attribute names and calling conventions of the public classes."""

import math
from collections import OrderedDict

import torch
from torch import nn

from htp_modules.block import DropPath


def exchanged(x, inner):
    """The inner of the two axes that are folded into the batch, and the one after the batch."""
    return x.unflatten(0, (-1, inner)).transpose(1, 2).flatten(0, 1)


class Attention(nn.Module):
    """Of MixSTE and D3DP: over the middle axis, or over channels where ``comb``."""

    def __init__(self, dim, num_heads, qk_scale=None, attn_drop=0.0, drop=0.0, comb=False):
        super().__init__()
        self.num_heads = num_heads
        self.scale = qk_scale or (dim // num_heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.attn_drop = nn.Dropout(attn_drop)
        self.proj = nn.Linear(dim, dim)
        self.proj_drop = nn.Dropout(drop)
        self.comb = comb

    def forward(self, x, vis=False):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        weights = self.attn_drop((q @ k.mT * self.scale).softmax(-1))
        return self.proj_drop(self.proj((weights @ v).transpose(1, 2).flatten(2)))


class Mlp(nn.Module):
    def __init__(self, dim, hidden, drop, bias=True):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden, bias=bias)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim, bias=bias)
        self.drop = nn.Dropout(drop)

    def forward(self, x):
        return self.drop(self.fc2(self.drop(self.act(self.fc1(x)))))


class Block(nn.Module):
    def __init__(self, dim, num_heads, drop=0.0, attn_drop=0.0, drop_path=0.0, qk_scale=None):
        super().__init__()
        self.changedim = False
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, num_heads, qk_scale, attn_drop, drop)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, 2 * dim, drop)

    def forward(self, x, vis=False):
        x = x + self.drop_path(self.attn(self.norm1(x), vis=vis))
        return x + self.drop_path(self.mlp(self.norm2(x)))


class Trunk(nn.Module):
    """What MixSTE and D3DP's denoiser have in common; a subclass embeds."""

    def __init__(self, num_frame, num_joints, dim, depth, heads, drop=0.0, drop_path=0.0, qk_scale=None):
        super().__init__()
        self.Spatial_pos_embed = nn.Parameter(torch.zeros(1, num_joints, dim))
        self.Temporal_pos_embed = nn.Parameter(torch.zeros(1, num_frame, dim))
        self.pos_drop = nn.Dropout(drop)
        self.block_depth = depth
        options = {"drop": drop, "attn_drop": drop, "drop_path": drop_path, "qk_scale": qk_scale}
        self.STEblocks = nn.ModuleList(Block(dim, heads, **options) for _ in range(depth))
        self.TTEblocks = nn.ModuleList(Block(dim, heads, **options) for _ in range(depth))
        self.Spatial_norm = nn.LayerNorm(dim, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def STE_forward(self, x):  # noqa: N802
        return self.Spatial_norm(self.STEblocks[0](self.pos_drop(x)))

    def TTE_foward(self, x):  # noqa: N802
        x = x.clone()
        x += self.Temporal_pos_embed
        return self.Temporal_norm(self.TTEblocks[0](self.pos_drop(x)))

    def ST_foward(self, x, frames, joints):  # noqa: N802
        for spatial, temporal in zip(self.STEblocks[1:], self.TTEblocks[1:], strict=True):
            x = exchanged(x, joints)
            x = exchanged(self.Spatial_norm(spatial(x)), frames)
            x = self.Temporal_norm(temporal(x))
        return exchanged(x, joints).unflatten(0, (-1, frames))

    def trunk(self, x, frames, joints):
        x = exchanged(self.STE_forward(x), frames)
        return self.head(self.ST_foward(self.TTE_foward(x), frames, joints))


class MixSTE2(Trunk):
    def __init__(self, num_frame, num_joints, dim, depth, heads, **options):
        super().__init__(num_frame, num_joints, dim, depth, heads, **options)
        self.Spatial_patch_to_embedding = nn.Linear(2, dim)

    def forward(self, x):
        frames, joints = x.shape[1:3]
        x = self.Spatial_patch_to_embedding(x.flatten(0, 1))
        x += self.Spatial_pos_embed
        return self.trunk(x, frames, joints)


class Separate(MixSTE2):
    """The same parts in another order: all spatial blocks, then all temporal ones."""

    def trunk(self, x, frames, joints):
        for block in self.STEblocks:
            x = self.Spatial_norm(block(x))
        x = exchanged(x, frames) + self.Temporal_pos_embed
        for block in self.TTEblocks:
            x = self.Temporal_norm(block(x))
        return self.head(exchanged(x, joints).unflatten(0, (-1, frames)))


class Waves(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, time):
        half = self.dim // 2
        angle = time[:, None] * torch.exp(
            torch.arange(half, device=time.device) * -(math.log(1e4) / (half - 1))
        )
        return torch.cat((angle.sin(), angle.cos()), dim=-1)


class Denoiser(Trunk):
    """D3DP's, also called MixSTE2 there."""

    def __init__(self, num_frame, num_joints, dim, depth, heads, is_train=True, **options):
        super().__init__(num_frame, num_joints, dim, depth, heads, **options)
        self.is_train = is_train
        self.Spatial_patch_to_embedding = nn.Linear(5, dim)
        self.time_mlp = nn.Sequential(Waves(dim), nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x_2d, x_3d, t):
        time = self.time_mlp(t)
        if self.is_train:
            frames, joints = x_2d.shape[1:3]
            time = time.repeat_interleave(frames, dim=0)[:, None]
            x = torch.cat((x_2d, x_3d), -1).flatten(0, 1)
        else:
            hyps, frames, joints = x_3d.shape[1:4]
            time = time.repeat_interleave(hyps * frames, dim=0)[:, None]
            x = torch.cat((x_2d[:, None].expand(-1, hyps, -1, -1, -1), x_3d), -1)
            x = x.flatten(0, 2)
        x = self.Spatial_patch_to_embedding(x)
        x += self.Spatial_pos_embed
        x += time
        x = self.trunk(x, frames, joints)
        return x if self.is_train else x.unflatten(0, (-1, hyps))


class D3DP(nn.Module):
    """The sampler around the denoiser: one step of it, in the mode without training."""

    def __init__(self, num_frame, num_joints, dim, depth, heads):
        super().__init__()
        self.is_train = False
        self.register_buffer("alphas_cumprod", torch.linspace(1, 0, 1000, dtype=torch.float64))
        self.pose_estimator = Denoiser(num_frame, num_joints, dim, depth, heads, is_train=False)

    def forward(self, input_2d, noise):
        time = torch.full((len(input_2d),), 999)
        return self.pose_estimator(input_2d, noise.clamp(-1.1, 1.1), time)


class StAttention(nn.Module):
    """Of MotionBERT: over the joints of a frame, or over the ``seqlen`` frames folded into the batch."""

    def __init__(self, dim, num_heads, drop, st_mode):
        super().__init__()
        self.num_heads = num_heads
        self.scale = (dim // num_heads) ** -0.5
        self.attn_drop = nn.Dropout(drop)
        self.proj = nn.Linear(dim, dim)
        self.mode = st_mode
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj_drop = nn.Dropout(drop)

    def forward(self, x, seqlen=1):
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        if self.mode == "spatial":
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
        else:
            q, k, v = qkv.unflatten(0, (-1, seqlen)).permute(3, 0, 2, 4, 1, 5)
        mixed = self.attn_drop((q @ k.mT * self.scale).softmax(-1)) @ v
        if self.mode == "spatial":
            mixed = mixed.transpose(1, 2)
        else:
            mixed = mixed.permute(0, 3, 1, 2, 4).flatten(0, 1)
        return self.proj_drop(self.proj(mixed.flatten(2)))


class StBlock(nn.Module):
    def __init__(self, dim, num_heads, mlp_ratio, drop, drop_path, st_mode):
        super().__init__()
        self.st_mode = st_mode
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        for axis, mode in (("s", "spatial"), ("t", "temporal")):
            self.add_module(f"norm1_{axis}", nn.LayerNorm(dim, eps=1e-6))
            self.add_module(f"attn_{axis}", StAttention(dim, num_heads, drop, mode))
            self.add_module(f"norm2_{axis}", nn.LayerNorm(dim, eps=1e-6))
            self.add_module(f"mlp_{axis}", Mlp(dim, mlp_ratio * dim, drop))

    def forward(self, x, seqlen=1):
        for axis in self.st_mode.removeprefix("stage_"):
            norm1, attn = getattr(self, f"norm1_{axis}"), getattr(self, f"attn_{axis}")
            norm2, mlp = getattr(self, f"norm2_{axis}"), getattr(self, f"mlp_{axis}")
            x = x + self.drop_path(attn(norm1(x), seqlen))
            x = x + self.drop_path(mlp(norm2(x)))
        return x


class DSTformer(nn.Module):
    def __init__(
        self,
        dim=8,
        dim_rep=12,
        depth=3,
        heads=2,
        mlp_ratio=2,
        joints=5,
        maxlen=9,
        att_fuse=True,
        drop=0.0,
        drop_path=0.0,
    ):
        super().__init__()
        self.dim_out, self.dim_feat = 3, dim
        self.joints_embed = nn.Linear(3, dim)
        self.pos_drop = nn.Dropout(drop)
        options = (dim, heads, mlp_ratio, drop, drop_path)
        self.blocks_st = nn.ModuleList(StBlock(*options, "stage_st") for _ in range(depth))
        self.blocks_ts = nn.ModuleList(StBlock(*options, "stage_ts") for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pre_logits = nn.Sequential(OrderedDict(fc=nn.Linear(dim, dim_rep), act=nn.Tanh()))
        self.head = nn.Linear(dim_rep, 3)
        self.temp_embed = nn.Parameter(torch.zeros(1, maxlen, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, dim))
        self.att_fuse = att_fuse
        if att_fuse:
            self.ts_attn = nn.ModuleList(nn.Linear(2 * dim, 2) for _ in range(depth))

    def forward(self, x, return_rep=False):
        batch, frames, joints, _ = x.shape
        x = self.joints_embed(x) + self.pos_embed + self.temp_embed[:, :frames]
        x = self.pos_drop(x.reshape(batch * frames, joints, -1))
        for layer, (st, ts) in enumerate(zip(self.blocks_st, self.blocks_ts, strict=True)):
            x_st, x_ts = st(x, frames), ts(x, frames)
            if self.att_fuse:
                alpha = self.ts_attn[layer](torch.cat((x_st, x_ts), -1)).softmax(-1)
                x = x_st * alpha[:, :, 0:1] + x_ts * alpha[:, :, 1:2]
            else:
                x = (x_st + x_ts) * 0.5
        x = self.pre_logits(self.norm(x).reshape(batch, frames, joints, -1))
        return x if return_rep else self.head(x)

    def get_representation(self, x):
        return self.forward(x, return_rep=True)


class ActionNet(nn.Module):
    """MotionBERT's, for one person a clip."""

    def __init__(self, backbone, dim_rep, joints):
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(dim_rep * joints, 4)

    def forward(self, x):
        return self.head(self.backbone.get_representation(x).mean(1).flatten(1))
