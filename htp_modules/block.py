"""The pre-norm transformer block that MixSTE, D3DP and MotionBERT are made of."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_modules.attention import MultiHeadAttention
from htp_modules.errors import ConfigError

NORM_EPS = 1e-6  # of every LayerNorm inside a block of the public models


class DropPath(nn.Module):
    """Stochastic depth: drops the whole residual branch of a sample with probability ``rate`` in training."""

    def __init__(self, rate: float = 0.0) -> None:
        super().__init__()
        if not 0.0 <= rate < 1.0:
            raise ConfigError(f"drop_path expects a probability in [0, 1), got {rate}")
        self.rate = rate

    def forward(self, x: Float[Tensor, " batch *rest"]) -> Float[Tensor, " batch *rest"]:
        if not self.training or self.rate == 0.0:
            return x
        keep = x.new_empty((x.shape[0],) + (1,) * (x.ndim - 1)).bernoulli_(1.0 - self.rate)
        return x * keep / (1.0 - self.rate)


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, dim)

    def forward(self, x: Float[Tensor, "*axes dim"]) -> Float[Tensor, "*axes dim"]:
        return self.fc2(torch.nn.functional.gelu(self.fc1(x)))


class TransformerBlock(nn.Module):
    """y = x + Attention(LN(x)); z = y + MLP(LN(y)), along the middle axis of (batch, length, dim)."""

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
        qkv_bias: bool = True,
        drop_path: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.attn = MultiHeadAttention(dim, num_heads, qkv_bias)
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(dim, eps=NORM_EPS)
        self.mlp = MLP(dim, int(dim * mlp_ratio))

    def forward(
        self,
        x: Float[Tensor, "batch length dim"],
        additive: Float[Tensor, "batch length length"] | None = None,
    ) -> Float[Tensor, "batch length dim"]:
        """Attend under M⁺ (0: may attend; -inf: may not; None: everything) and transform each token."""
        x = x + self.drop_path(self.attn(self.norm1(x), additive))
        return x + self.drop_path(self.mlp(self.norm2(x)))
