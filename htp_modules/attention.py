"""Masked multi-head self-attention over one axis.

Notation (paper, Section III-C):
    query, key, value   Q, K, V   (..., heads, length, d)
    keep                M         True where a query may attend to a key
    d ** -0.5                     the usual scale, d = dim / heads
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float
from torch import Tensor, nn

from htp_modules.config import check_heads

Heads = Float[Tensor, "batch heads queries width"]
Keys = Float[Tensor, "batch heads keys width"]
Keep = Bool[Tensor, "batch #heads queries keys"]


def fused_attention(query: Heads, key: Keys, value: Keys, keep: Keep | None = None) -> Heads:
    """softmax(Q Kᵀ / sqrt(d) + M⁺) V by the device's fused kernel, M⁺ = 0 where ``keep``, -inf elsewhere."""
    return F.scaled_dot_product_attention(query, key, value, attn_mask=keep)


def explicit_attention(query: Heads, key: Keys, value: Keys, keep: Keep | None = None) -> Heads:
    """The same product written out, for counting operations and as the fused path's oracle."""
    scale = query.shape[-1] ** -0.5
    if keep is None:
        scores = (query * scale) @ key.transpose(-2, -1)
    else:
        # The matmul adds its product to M⁺: no pass over the scores of its own, in a compiled graph neither.
        additive = torch.zeros_like(keep, dtype=query.dtype).masked_fill(~keep, -torch.inf)
        additive = additive.expand(*query.shape[:-1], key.shape[-2]).flatten(0, 1)
        keys = key.flatten(0, 1).transpose(-2, -1)
        scores = torch.baddbmm(additive, query.flatten(0, 1), keys, alpha=scale).unflatten(0, query.shape[:2])
    return scores.softmax(dim=-1) @ value


def fused_is_faster(query: Heads) -> bool:
    """Whether the fused kernel is the faster path: all but bfloat16 on a CPU (docs/performance.md)."""
    return not (query.device.type == "cpu" and query.dtype == torch.bfloat16)


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
        keep: Bool[Tensor, "batch length length"] | None = None,
    ) -> Float[Tensor, "batch length dim"]:
        """Attend along ``length``; ``keep`` is shared by all heads."""
        query, key, value = rearrange(self.qkv(x), "b l (qkv h d) -> qkv b h l d", qkv=3, h=self.num_heads)
        attend = fused_attention if self.fused and fused_is_faster(query) else explicit_attention
        mixed = attend(query, key, value, None if keep is None else keep.unsqueeze(1))
        return self.proj(rearrange(mixed, "b h l d -> b l (h d)"))
