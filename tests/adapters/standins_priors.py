"""Stand-ins for FinePOSE, KTPFormer and STCFormer, written after their structure, names and conventions."""

import math

import torch
from standins import Attention, Block, Denoiser, Mlp, exchanged
from torch import nn

from htp_diffusion.models.clip_text import Clip
from htp_modules.block import DropPath

PROMPTS = {"subject": 2, "verb": 3, "speed": 2, "head": 2, "body": 2, "arm": 3, "leg": 3}
WORDS, VOCABULARY, KEPT = 2 * 7 + 3, 20, 1  # of a prompt, KEPT words are the text's


class Stylization(nn.Module):
    def __init__(self, dim, drop):
        super().__init__()
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))
        self.norm = nn.LayerNorm(dim)
        self.out_layers = nn.Sequential(nn.SiLU(), nn.Dropout(drop), nn.Linear(dim, dim))

    def forward(self, h, emb):
        scale, shift = self.emb_layers(emb.view(h.shape))[:, :1].chunk(2, dim=2)
        return self.out_layers(self.norm(h) * (1 + scale) + shift)


class WordAttention(nn.Module):
    def __init__(self, dim, heads, drop):
        super().__init__()
        self.num_head = heads
        self.norm, self.text_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.key, self.value = (nn.Linear(dim, dim) for _ in range(3))
        self.dropout = nn.Dropout(drop)
        self.proj_out = Stylization(dim, drop)

    def forward(self, x, xf, emb):
        times = x.shape[0] // xf.shape[0]
        query = self.query(self.norm(x)).unflatten(-1, (self.num_head, -1))
        key, value = (
            layer(self.text_norm(xf)).repeat(times, 1, 1).unflatten(-1, (self.num_head, -1))
            for layer in (self.key, self.value)
        )
        weight = torch.einsum("bnhd,bmhd->bnmh", query, key) / math.sqrt(query.shape[-1])
        mixed = torch.einsum("bnmh,bmhd->bnhd", self.dropout(weight.softmax(dim=2)), value)
        return x + self.proj_out(mixed.flatten(2), emb)


class FinePOSE(Denoiser):
    """FinePOSE's denoiser, also called MixSTE2 there."""

    def __init__(
        self,
        num_frame,
        num_joints,
        dim,
        depth,
        heads,
        is_train=True,
        text=None,
        prompts=PROMPTS,
        kept=KEPT,
        **options,
    ):
        super().__init__(num_frame, num_joints, dim, depth, heads, is_train, **options)
        drop = options.get("drop", 0.0)
        layers, hidden = text or (2, 2 * dim)
        self.temporal_cross_attn = WordAttention(dim, heads, drop)
        self.text_pre_proj = nn.Identity()
        layer = nn.TransformerEncoderLayer(dim, heads, hidden, drop, activation="gelu")
        self.textTransEncoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.text_ln = nn.LayerNorm(dim)
        self.text_proj = nn.Sequential(nn.Linear(dim, dim))
        words = sum(prompts.values())
        self.clip_text = Clip(VOCABULARY, words, dim, depth=1, heads=heads, image=False)
        self.remain_len = kept
        for name, words in prompts.items():
            setattr(self, f"ctx_{name}", nn.Parameter(torch.zeros(words - kept, dim)))

    def encode_text(self, text, pre_text_tensor):
        own, fixed = self.clip_text.token_embedding(text), self.clip_text.token_embedding(pre_text_tensor)
        prompts, number = [], 0
        for name in PROMPTS:
            words = own if name == "verb" else fixed[:, number]
            number += name != "verb"
            learned = getattr(self, f"ctx_{name}").expand(len(text), -1, -1)
            prompts += [learned, words[:, : self.remain_len]]
        with torch.no_grad():
            x = (torch.cat(prompts, dim=1) + self.clip_text.positional_embedding).transpose(0, 1)
            x = self.clip_text.ln_final(self.clip_text.transformer(x))
        words = self.text_ln(self.textTransEncoder(self.text_pre_proj(x)))
        sentence = self.text_proj(words[text.argmax(dim=-1), torch.arange(words.shape[1])])
        return sentence, words.transpose(0, 1)

    def forward(self, x_2d, x_3d, t, text, pre_text_tensor):
        sentence, words = self.encode_text(text, pre_text_tensor)
        if not self.is_train:
            hyps = x_3d.shape[1]
            x_2d = x_2d[:, None].repeat(1, hyps, 1, 1, 1)
        x = torch.cat((x_2d, x_3d), dim=-1)
        frames, joints = x.shape[-3:-1]
        times = x[..., 0, 0, 0].numel() // len(t)
        time = (self.time_mlp(t) + sentence).repeat_interleave(times * frames, dim=0)
        time = time[:, None].repeat(1, joints, 1)
        x = self.Spatial_patch_to_embedding(x.flatten(0, -3)) + self.Spatial_pos_embed + time
        x = exchanged(self.STE_forward(x), frames)
        x = self.TTE_foward(self.temporal_cross_attn(x, words, time))
        x = self.head(self.ST_foward(x, frames, joints))
        return x if self.is_train else x.unflatten(0, (-1, hyps))


class GraphConv(nn.Module):
    def __init__(self, in_features, out_features, adj):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.W = nn.Parameter(torch.zeros(2, in_features, out_features))
        self.M = nn.Parameter(torch.ones(len(adj), out_features))
        self.adj = adj
        self.adj2 = nn.Parameter(torch.full_like(adj, 1e-6))
        self.bias = nn.Parameter(torch.zeros(out_features))

    def forward(self, x):
        adj = self.adj.to(x.device) + self.adj2
        adj = (adj.T + adj) / 2
        itself = torch.eye(len(adj), device=x.device)
        own, others = self.M * (x @ self.W[0]), self.M * (x @ self.W[1])
        return (adj * itself) @ own + (adj * (1 - itself)) @ others + self.bias


class Prior(nn.Module):
    """KPA and TPA: a graph convolution, a batch norm over channels, a rectifier."""

    def __init__(self, adj, in_features, out_features, drop):
        super().__init__()
        self.gconv = GraphConv(in_features, out_features, adj)
        self.bn = nn.BatchNorm1d(out_features)
        self.relu = nn.ReLU()
        self.dropout = nn.Dropout(drop) if drop else None

    def forward(self, x):
        x = self.bn(self.gconv(x).transpose(1, 2)).transpose(1, 2)
        if self.dropout is not None:
            x = self.dropout(self.relu(x))
        return self.relu(x)


class Stacked(nn.Module):
    def __init__(self, adj, dim, drop):
        super().__init__()
        self.gconv1, self.gconv2 = Prior(adj, dim, dim, drop), Prior(adj, dim, dim, drop)

    def forward(self, x):
        return x + self.gconv2(self.gconv1(x))


class PriorAttention(Attention):
    def __init__(self, axis, prior, length, dim, num_heads, drop, drop_path):
        super().__init__(dim, num_heads, None, drop, drop)
        self.axis = axis
        self.add_module("kpa" if axis == "Spatial" else "tpa", prior)
        setattr(self, f"{axis}_pos_embed", nn.Parameter(torch.zeros(1, length, dim)))
        self.pos_drop = nn.Dropout(drop)
        self.norm1 = nn.LayerNorm(dim)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

    def forward(self, x, vis=False):
        x = (self.kpa if self.axis == "Spatial" else self.tpa)(x)
        x = self.pos_drop(x + getattr(self, f"{self.axis}_pos_embed"))
        return x + self.drop_path(super().forward(self.norm1(x)))


class PriorBlock(nn.Module):
    def __init__(self, attn, dim, drop, drop_path):
        super().__init__()
        self.changedim, self.attn = False, attn
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim, 2 * dim, drop)

    def forward(self, x):
        x = self.attn(x)
        return x + self.drop_path(self.mlp(self.norm2(x)))


def chain(length):
    """A graph of neighbours, normalised."""
    near = torch.eye(length) + torch.diag(torch.ones(length - 1), 1) + torch.diag(torch.ones(length - 1), -1)
    return near / near.sum(dim=1, keepdim=True)


class KTPFormer(nn.Module):
    def __init__(self, frames, joints, dim, depth, heads, drop=0.0, drop_path=0.0):
        super().__init__()
        self.pos_drop = nn.Dropout(drop)
        self.block_depth = depth
        options = {"drop": drop, "attn_drop": drop, "drop_path": drop_path}
        self.STEblocks = nn.ModuleList(Block(dim, heads, **options) for _ in range(depth))
        self.TTEblocks = nn.ModuleList(Block(dim, heads, **options) for _ in range(depth))
        self.Spatial_norm = nn.LayerNorm(dim, eps=1e-6)
        self.Temporal_norm = nn.LayerNorm(dim, eps=1e-6)
        shared = (dim, heads, drop, drop_path)
        spatial = PriorAttention("Spatial", Prior(chain(joints), 2, dim, drop), joints, *shared)
        temporal = PriorAttention("Temporal", Stacked(chain(frames), dim, drop), frames, *shared)
        self.kpattention = PriorBlock(spatial, dim, drop, drop_path)
        self.tpattention = PriorBlock(temporal, dim, drop, drop_path)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 3))

    def forward(self, x):
        frames, joints = x.shape[1:3]
        pairs = zip([self.kpattention, *self.STEblocks], [self.tpattention, *self.TTEblocks], strict=True)
        x = x.flatten(0, 1)
        for spatial, temporal in pairs:
            x = exchanged(self.Spatial_norm(spatial(x)), frames)
            x = exchanged(self.Temporal_norm(temporal(x)), joints)
        return self.head(x.unflatten(0, (-1, frames)))


class CrissCross(nn.Module):
    def __init__(self, d_joint, d_coor, head):
        super().__init__()
        self.qkv = nn.Linear(d_coor, 3 * d_coor)
        self.head = head
        self.layer_norm = nn.LayerNorm(d_coor)
        self.scale = (d_coor // 2) ** -0.5
        self.proj = nn.Linear(d_coor, d_coor)
        self.emb = nn.Embedding(5, d_coor // head // 2)
        self.part = torch.tensor([0, 1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 3, 3, 3, 4, 4, 4])[:d_joint]
        half = d_coor // 2
        self.sep2_t = nn.Conv2d(half, half, kernel_size=3, padding=1, groups=half)
        self.sep2_s = nn.Conv2d(half, half, kernel_size=3, padding=1, groups=half)
        self.drop = DropPath(0.5)

    def forward(self, x):
        frames, joints = x.shape[1:3]
        qkv = self.qkv(self.layer_norm(x)).unflatten(-1, (-1, 3)).movedim(-1, 0)
        spatial, temporal = qkv.chunk(2, dim=-1)
        parts = self.emb(self.part)
        mixed = []
        for half, near, share in ((spatial, self.sep2_s, 1e-4), (temporal, self.sep2_t, 1e-9)):
            heads = half.unflatten(-1, (self.head, -1))  # which b t s h c
            order = (0, 1, 2, 4, 3, 5) if half is spatial else (0, 1, 3, 4, 2, 5)
            q, k, v = heads.permute(order).flatten(1, 2)
            y = (q @ k.mT * self.scale).softmax(-1) @ v
            if half is spatial:
                y = y.unflatten(0, (-1, frames)).transpose(1, 2)
            else:
                y = y.unflatten(0, (-1, joints)).permute(0, 2, 3, 1, 4)
            convolved = near(half[2].permute(0, 3, 1, 2)).unflatten(1, (self.head, -1))
            y = y + convolved.permute(0, 1, 3, 4, 2)  # b h t s c
            mixed.append(y + share * self.drop(parts[None, None, None]))
        return x + self.proj(torch.cat(mixed, -1).permute(0, 2, 3, 1, 4).flatten(3))


class CrissCrossBlock(nn.Module):
    def __init__(self, d_joint, d_coor, head):
        super().__init__()
        self.layer_norm = nn.LayerNorm(d_coor)
        self.mlp = Mlp(d_coor, 4 * d_coor, 0.1, bias=False)
        self.stc_att = CrissCross(d_joint, d_coor, head)
        self.drop = DropPath(0.0)

    def forward(self, x):
        x = self.stc_att(x)
        return x + self.drop(self.mlp(self.layer_norm(x)))


class CrissCrossBlocks(nn.Module):
    def __init__(self, num_block, d_time, d_joint, d_coor, head):
        super().__init__()
        self.num_block, self.d_time, self.d_joint, self.d_coor = num_block, d_time, d_joint, d_coor
        self.stc_block = nn.ModuleList(CrissCrossBlock(d_joint, d_coor, head) for _ in range(num_block))

    def forward(self, x):
        for block in self.stc_block:
            x = block(x)
        return x


class STCFormer(nn.Module):
    """Called Model there."""

    def __init__(self, frames, joints, dim, depth, heads):
        super().__init__()
        self.pose_emb = nn.Linear(2, dim, bias=False)
        self.gelu = nn.GELU()
        self.stcformer = CrissCrossBlocks(depth, frames, joints, dim, heads)
        self.regress_head = nn.Linear(dim, 3, bias=False)

    def forward(self, x):
        return self.regress_head(self.stcformer(self.gelu(self.pose_emb(x))))
