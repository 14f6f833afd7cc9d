"""A stand-in for MotionAGFormer, written after its structure, names and conventions."""

import torch
from standins import Mlp
from torch import nn

from htp_modules.block import DropPath


class Attention(nn.Module):
    def __init__(self, dim, num_heads, drop, mode):
        super().__init__()
        self.num_heads, self.mode = num_heads, mode
        self.scale = (dim // num_heads) ** -0.5
        self.attn_drop, self.proj_drop = nn.Dropout(drop), nn.Dropout(drop)
        self.proj = nn.Linear(dim, dim)
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)

    def forward(self, x):
        # b t j n h c, to n b h t j c or n b h j t c
        order = (3, 0, 4, 1, 2, 5) if self.mode == "spatial" else (3, 0, 4, 2, 1, 5)
        query, key, value = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(order)
        weights = self.attn_drop((query @ key.mT * self.scale).softmax(dim=-1))
        order = (0, 2, 3, 1, 4) if self.mode == "spatial" else (0, 3, 2, 1, 4)
        return self.proj_drop(self.proj((weights @ value).permute(order).flatten(3)))


class GCN(nn.Module):
    def __init__(self, dim, num_nodes, neighbour_num, mode):
        super().__init__()
        self.relu = nn.ReLU()
        self.neighbour_num, self.dim_in, self.dim_out = neighbour_num, dim, dim
        self.mode, self.num_nodes, self.use_temporal_similarity = mode, num_nodes, True
        self.U, self.V = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.batch_norm = nn.BatchNorm1d(num_nodes)
        if mode == "spatial":
            self.adj = torch.diag(torch.ones(num_nodes - 1), 1) + torch.diag(torch.ones(num_nodes - 1), -1)
            self.adj[0, 0] = 1.0  # so that a skeleton of one joint has an edge

    def forward(self, x):
        rows = x if self.mode == "spatial" else x.transpose(1, 2)
        shape, x = rows.shape, rows.flatten(0, 1)
        if self.mode == "spatial":
            edges = self.adj.to(x.device).expand(len(x), -1, -1)
        else:
            similarity = x @ x.transpose(1, 2)
            edges = (similarity >= similarity.topk(self.neighbour_num, dim=-1)[0][..., -1:]).float()
        scale = torch.diag_embed(edges.sum(dim=-1) ** -0.5)
        y = (scale @ edges @ scale) @ self.V(x) + self.U(x)
        y = self.relu(x + self.batch_norm(y)).unflatten(0, shape[:2])
        return y if self.mode == "spatial" else y.transpose(1, 2)


class AGBlock(nn.Module):
    def __init__(self, mixer, dim, drop, drop_path):
        super().__init__()
        self.norm1, self.mixer, self.norm2 = nn.LayerNorm(dim), mixer, nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 4 * dim, drop)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.use_layer_scale = True
        self.layer_scale_1 = nn.Parameter(torch.full((dim,), 1e-5))
        self.layer_scale_2 = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x):
        x = x + self.drop_path(self.layer_scale_1 * self.mixer(self.norm1(x)))
        return x + self.drop_path(self.layer_scale_2 * self.mlp(self.norm2(x)))


class AGLayer(nn.Module):
    def __init__(self, frames, joints, dim, heads, neighbour_num, drop, drop_path, fuse):
        super().__init__()
        self.hierarchical = False
        rest = (dim, drop, drop_path)
        self.att_spatial = AGBlock(Attention(dim, heads, drop, "spatial"), *rest)
        self.att_temporal = AGBlock(Attention(dim, heads, drop, "temporal"), *rest)
        self.graph_spatial = AGBlock(GCN(dim, joints, neighbour_num, "spatial"), *rest)
        self.graph_temporal = AGBlock(GCN(dim, frames, neighbour_num, "temporal"), *rest)
        self.use_adaptive_fusion = fuse
        if fuse:
            self.fusion = nn.Linear(2 * dim, 2)

    def forward(self, x):
        attended = self.att_temporal(self.att_spatial(x))
        related = self.graph_temporal(self.graph_spatial(x))
        if not self.use_adaptive_fusion:
            return (attended + related) * 0.5
        share = self.fusion(torch.cat((attended, related), dim=-1)).softmax(dim=-1)
        return attended * share[..., 0:1] + related * share[..., 1:2]


class MotionAGFormer(nn.Module):
    def __init__(
        self,
        frames,
        joints,
        dim,
        depth,
        heads,
        neighbour_num=2,
        drop=0.0,
        drop_path=0.0,
        dim_rep=12,
        fuse=True,
    ):
        super().__init__()
        self.joints_embed = nn.Linear(3, dim)
        self.pos_embed = nn.Parameter(torch.zeros(1, joints, dim))
        self.norm = nn.LayerNorm(dim)
        options = (frames, joints, dim, heads, neighbour_num, drop, drop_path, fuse)
        self.layers = nn.Sequential(*(AGLayer(*options) for _ in range(depth)))
        logit = {"fc": nn.Linear(dim, dim_rep), "act": nn.Tanh()}
        self.rep_logit = nn.Sequential()
        for name, part in logit.items():
            self.rep_logit.add_module(name, part)
        self.head = nn.Linear(dim_rep, 3)

    def forward(self, x, return_rep=False):
        x = self.rep_logit(self.norm(self.layers(self.joints_embed(x) + self.pos_embed)))
        return x if return_rep else self.head(x)
