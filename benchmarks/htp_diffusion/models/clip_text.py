"""CLIP with random weights: the parts and shapes of ViT-B/32, for counts, speed and tests.

FinePOSE encodes its prompts with CLIP's text side and holds the whole network. Names of parts are CLIP's
(Radford et al., "Learning Transferable Visual Models From Natural Language Supervision", 2021).
"""

from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

_IMAGE_DIM, _IMAGE_LAYERS, _IMAGE_HEADS, _PATCH, _PATCHES = 768, 12, 12, 32, 49  # of ViT-B/32


class QuickGELU(nn.Module):
    """CLIP's approximation of GELU."""

    def forward(self, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
        """The function x sigmoid(1.702 x)."""
        return x * torch.sigmoid(1.702 * x)


class ClipBlock(nn.Module):
    """A pre-norm block over tokens (length, batch, dim).

    Args:
        dim: Channels.
        heads: Attention heads.
        causal: Each token sees those before it alone.
    """

    def __init__(self, dim: int, heads: int, *, causal: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(dim, heads)
        self.ln_1 = nn.LayerNorm(dim)
        layers = {"c_fc": nn.Linear(dim, 4 * dim), "gelu": QuickGELU(), "c_proj": nn.Linear(4 * dim, dim)}
        self.mlp = nn.Sequential(OrderedDict(layers))
        self.ln_2 = nn.LayerNorm(dim)
        self.causal = causal

    def forward(self, x: Float[Tensor, "length batch dim"]) -> Float[Tensor, "length batch dim"]:
        """The block's tokens."""
        mask = None
        if self.causal:
            mask = torch.full((len(x), len(x)), -torch.inf, dtype=x.dtype, device=x.device).triu(1)
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
        return x + self.mlp(self.ln_2(x))


class ClipBlocks(nn.Module):
    """A stack of blocks, which CLIP calls a transformer."""

    def __init__(self, dim: int, heads: int, depth: int, *, causal: bool) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(*(ClipBlock(dim, heads, causal=causal) for _ in range(depth)))

    def forward(self, x: Float[Tensor, "length batch dim"]) -> Float[Tensor, "length batch dim"]:
        """The last block's tokens."""
        return self.resblocks(x)


class ClipImage(nn.Module):
    """The image side: parameters that a text encoder carries along and nobody runs."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(_IMAGE_DIM))
        self.positional_embedding = nn.Parameter(torch.zeros(_PATCHES + 1, _IMAGE_DIM))
        self.proj = nn.Parameter(torch.zeros(_IMAGE_DIM, dim))
        self.conv1 = nn.Conv2d(3, _IMAGE_DIM, _PATCH, _PATCH, bias=False)
        self.ln_pre = nn.LayerNorm(_IMAGE_DIM)
        self.transformer = ClipBlocks(_IMAGE_DIM, _IMAGE_HEADS, _IMAGE_LAYERS, causal=False)
        self.ln_post = nn.LayerNorm(_IMAGE_DIM)


class Clip(nn.Module):
    """CLIP, as far as its text side runs; frozen.

    Args:
        vocabulary: Words that it knows.
        words: Words of a text.
        dim: Channels.
        depth: Blocks of the text side.
        heads: Attention heads of the text side.
        image: Hold the image side's parameters too, as the published network does.
    """

    def __init__(
        self,
        vocabulary: int = 49408,
        words: int = 77,
        dim: int = 512,
        depth: int = 12,
        heads: int = 8,
        *,
        image: bool = True,
    ) -> None:
        super().__init__()
        self.positional_embedding = nn.Parameter(0.01 * torch.randn(words, dim))
        self.text_projection = nn.Parameter(dim**-0.5 * torch.randn(dim, dim))
        self.logit_scale = nn.Parameter(torch.zeros(()))
        if image:
            self.visual = ClipImage(dim)
        self.transformer = ClipBlocks(dim, heads, depth, causal=True)
        self.token_embedding = nn.Embedding(vocabulary, dim)
        self.ln_final = nn.LayerNorm(dim)
        self.requires_grad_(False)

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.positional_embedding.dtype
