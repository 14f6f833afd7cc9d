"""Masked multi-head self-attention over one axis.

Notation (paper, Section III-C):
    query, key, value   Q, K, V   (..., heads, length, d)
    additive            M⁺        0 where a query may attend to a key, -inf elsewhere
    d ** -0.5                     the usual scale, d = dim / heads
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from htp_modules.checks import can_read
from htp_modules.config import check_heads
from htp_modules.precision import sixteen_bits_on_cuda

Heads = Float[Tensor, "batch heads queries width"]
Keys = Float[Tensor, "batch heads keys width"]
Additive = Float[Tensor, "batch #heads queries keys"]

_FEW = 2**20  # numbers in the keys
_FEW_SCORES = 2**21
_SHORT = 64  # queries and keys
_ALIGNED = 8  # numbers of a head, which the kernel for short sequences needs


def additive_mask(keep: Shaped[Tensor, "*axes"], dtype: torch.dtype) -> Float[Tensor, "*axes"]:
    """M⁺ of Section III-C: 0 where ``keep`` (True or 1), -inf elsewhere (False or 0).

    As (keep - 1) / keep, which is exact: a choice by a bool tensor is several times as slow on a CPU.
    """
    keep = keep.to(dtype)
    return (keep - 1.0).div_(keep)


def _mostly_padded(query: Tensor, key: Tensor) -> bool:
    """Whether CUDA's default kernel in 16 bits, which takes keys in blocks of 128, is the slower one here."""
    short = max(query.shape[-2], key.shape[-2]) <= _SHORT and key.shape[-1] % _ALIGNED == 0
    return short and sixteen_bits_on_cuda(key)


def fused_attention(query: Heads, key: Keys, value: Keys, additive: Additive | None = None) -> Heads:
    """softmax(Q Kᵀ / sqrt(d) + M⁺) V by the device's fused kernel."""
    if additive is None and _mostly_padded(query, key):
        # By its own name: torch.nn.attention.sdpa_kernel changes settings that threads share.
        grad = torch.is_grad_enabled()
        return torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, None, grad)[0]
    return F.scaled_dot_product_attention(query, key, value, attn_mask=additive)


def explicit_attention(query: Heads, key: Keys, value: Keys, additive: Additive | None = None) -> Heads:
    """The same product written out, for counting operations and as the fused path's oracle."""
    batch_heads = query.shape[:2]
    query, key, value = (part.flatten(0, 1) for part in (query, key, value))
    # The matmul scales its product: no pass over scores or queries of its own.
    scale = query.shape[-1] ** -0.5
    if additive is None and query.dtype == torch.float32 and can_read(query):
        # A row of scores for each key: a CPU takes the softmax of many queries at once, not of few keys.
        scores = torch.baddbmm(query.new_zeros(1, 1, 1), key, query.transpose(-2, -1), beta=0.0, alpha=scale)
        return (scores.softmax(dim=-2).transpose(-2, -1) @ value).unflatten(0, batch_heads)
    key = key.transpose(-2, -1)
    if additive is not None and torch.compiler.is_compiling():
        # A compiler's softmax of a sum takes longer than M⁺ copied for each head, onto which the matmul adds.
        copies = additive.expand(*batch_heads, *additive.shape[-2:]).flatten(0, 1)
        scores = torch.baddbmm(copies, query, key, alpha=scale)
    else:
        scores = torch.baddbmm(query.new_zeros(1, 1, 1), query, key, beta=0.0, alpha=scale)
        if additive is not None:  # to all heads of a sample at once
            scores = (scores.unflatten(0, batch_heads) + additive).flatten(0, 1)
    return (scores.softmax(dim=-1) @ value).unflatten(0, batch_heads)


def _written_out_is_faster(query: Heads, key: Keys) -> bool:
    """Whether the fused kernel is the slower path (docs/performance.md): in two cases, both on a CPU.

    In bfloat16; and, eager and in no_grad, in float32 where keys and scores are few and sequences of keys
    short.
    """
    if key.dtype == torch.float32 and can_read(key):
        scores = key.shape[0] * key.shape[1] * query.shape[-2] * key.shape[-2]
        few = key.numel() <= _FEW and scores <= _FEW_SCORES
        return few and key.shape[-2] <= _SHORT and not torch.is_grad_enabled()
    return key.dtype == torch.bfloat16 and key.device.type == "cpu"


def attend(
    query: Heads, key: Keys, value: Keys, additive: Additive | None = None, *, fused: bool = True
) -> Heads:
    """The faster path, or always the explicit product unless ``fused``."""
    if fused and not _written_out_is_faster(query, key):
        return fused_attention(query, key, value, additive)
    return explicit_attention(query, key, value, additive)


class MultiHeadAttention(nn.Module):
    """Self-attention with the parameter names of the public pose transformers (``qkv``, ``proj``).

    Attributes:
        fused: Run the fused kernel where it is the faster path (default), or always the explicit product.
    """

    def __init__(self, dim: int, num_heads: int = 8, qkv_bias: bool = True) -> None:
        super().__init__()
        self.num_heads = check_heads(dim, num_heads)
        self.fused = True
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        additive: Float[Tensor, "batch length length"] | None = None,
    ) -> Float[Tensor, "batch length dim"]:
        """Attend along ``length``; ``additive`` is M⁺, shared by all heads, in any floating dtype."""
        heads = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind()
        if additive is not None:
            additive = additive.to(query.dtype).unsqueeze(1)
        mixed = attend(query, key, value, additive, fused=self.fused)
        del heads, query, key, value  # three tensors less while the last layer makes its own
        return self.proj(mixed.transpose(1, 2).flatten(2))
