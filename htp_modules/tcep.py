"""TCEP: Temporal Correlation-Enhanced Pruning (paper, Section III-B).

Notation:
    tokens        X_j, the sequence of joint j     (B, J, T, D)
    correlation   S_j = X_j X_jᵀ / sqrt(D)         (B, J, T, T)
    neighbors     N_k(i), the k highest of row i
    keep          M_j, symmetric, with self-loops
    x'_j = x_j + G_2(G_1(x_j)),  G_l over P_j,l = softmax(S_j under M_j) ⊙ Â_l, each layer with its own Â_l
"""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from htp_modules.attention import additive_mask
from htp_modules.checks import can_read, check_tokens
from htp_modules.config import check_count, check_frames, resolve_frames
from htp_modules.graph import GraphConvolution, chain_graph
from htp_modules.mask import TemporalMask
from htp_modules.precision import own_precision, product_dtype
from htp_modules.selection import scale_tokens, select_highest

DEFAULT_NEIGHBORS = 2 / 3  # 162 of 243 frames
_MOST_WIDE = 2**24  # numbers in float64 at a time, twice the memory of the tokens that they stand for
_COMPILED_PARTS = 4  # of the joints: half the memory of the tokens in float64 at a time
_ALIGNED = 16  # numbers: CUDA's fused attention copies a mask whose rows do not begin at a multiple


def _aligned(additive: Float[Tensor, "*rows frames"]) -> Float[Tensor, "*rows frames"]:
    """The same numbers, each row beginning at a multiple of ``_ALIGNED``."""
    frames = additive.shape[-1]
    room = additive.new_empty(*additive.shape[:-1], -(-frames // _ALIGNED) * _ALIGNED)
    return room[..., :frames].copy_(additive)


def _cpu_rounds_factors() -> bool:
    """Whether a CPU may multiply float32 in fewer bits; a compiler cannot ask."""
    if torch.compiler.is_compiling():
        return False
    precision = getattr(getattr(torch.backends.mkldnn, "matmul", None), "fp32_precision", None)
    if precision is None:  # PyTorch before 2.9; later, this raises where the newer settings were used
        return torch.get_float32_matmul_precision() == "medium"
    return precision not in ("none", "ieee")


def products_rounded_once(
    tokens: Float[Tensor, "batch joints frames dim"],
) -> Float[Tensor, "batch joints frames frames"]:
    """X_j X_jᵀ of float32 tokens by sums in float64, in which each product is exact."""

    def rounded(part: Tensor) -> Tensor:
        wide = part.double()
        return (wide @ wide.transpose(-2, -1)).to(part.dtype)

    if torch.compiler.is_compiling():  # parts whose number no batch decides, so that one graph serves any
        return torch.cat([rounded(part) for part in tokens.chunk(_COMPILED_PARTS, dim=1)], dim=1)
    samples = 1 + _MOST_WIDE // max(1, tokens[:1].numel())
    if len(tokens) <= samples:
        return rounded(tokens)
    return torch.cat([rounded(part) for part in tokens.split(samples)])


def temporal_correlation(
    tokens: Float[Tensor, "batch joints frames dim"],
) -> Float[Tensor, "batch joints frames frames"]:
    """S_j = X_j X_jᵀ / sqrt(D), in the tokens' own precision whatever the autocast and TensorFloat-32."""
    if tokens.is_cuda or _cpu_rounds_factors():
        # TensorFloat-32 would round tokens to 11 bits and mask other pairs, and float32 kernels differ from
        # batch to batch. Float64 knows neither: rounded once, a sum is the same in any order. On an H100 its
        # matrix units are as fast as float32's; a split into high and low parts would take two products and
        # still depend on the order.
        return products_rounded_once(tokens).mul_(tokens.shape[-1] ** -0.5)
    with own_precision(tokens):
        return (tokens @ tokens.transpose(-2, -1)).mul_(tokens.shape[-1] ** -0.5)


def correlated_frames(
    correlation: Float[Tensor, "batch joints frames frames"], num_neighbors: int
) -> Float[Tensor, "batch joints frames frames"]:
    """M_j: the self-loops, each frame's ``num_neighbors`` most correlated others, and the reverse of both.

    1 where a pair is kept, 0 elsewhere. Every row keeps at least min(num_neighbors, T - 1) + 1 frames. NaN
    and infinity, which only tokens with either can give, rank last.
    """
    frames = correlation.shape[-1]
    least = torch.finfo(correlation.dtype).min
    itself = torch.eye(frames, dtype=correlation.dtype, device=correlation.device)
    # Lifted above all others, a frame is always among its own neighbors. The scores have no name here, so
    # that the selection can give them back early.
    neighbors = select_highest(
        correlation.detach()
        .nan_to_num(nan=least, posinf=least, neginf=least)
        .sub_(additive_mask(1.0 - itself, correlation.dtype)),
        min(num_neighbors, frames - 1) + 1,
    )
    return (neighbors + neighbors.transpose(-2, -1)).clamp_(max=1.0)


def correlation_weights(
    masked: Float[Tensor, "batch joints frames frames"], scale: Float[Tensor, "batch joints 1 1"]
) -> Float[Tensor, "batch joints frames frames"]:
    """The row softmax of S_j under M_j, given ``masked``, which is S_j / ``scale``² + M⁺."""
    if can_read(scale) and bool((scale == 1.0).all()):
        return masked.softmax(dim=-1)
    # Below each row's highest, so that scaling back can overflow to -inf alone, which weighs nothing.
    weights = masked - masked.detach().amax(dim=-1, keepdim=True)
    for _ in range(2):
        weights = weights * scale
    return weights.softmax(dim=-1)


class TCEP(nn.Module):
    """Masks weakly correlated frame pairs and refines the tokens along the correlated ones.

    A fresh TCEP is the identity on tokens: its last batch norm starts with weight 0.

    Args:
        dim: D, channels of the tokens.
        num_frames: T, the longest sequence; shorter ones slice the tables.
        num_neighbors: k, an int (frames) or a float (share of T); two thirds of T if not given.
        num_layers: Stacked graph convolutions.
    """

    def __init__(
        self, dim: int, num_frames: int, num_neighbors: int | float | None = None, num_layers: int = 2
    ) -> None:
        super().__init__()
        self.dim = dim
        self.num_frames = check_count(num_frames, "num_frames")
        self.num_neighbors = DEFAULT_NEIGHBORS if num_neighbors is None else num_neighbors
        layers = [
            GraphConvolution(dim, dim, num_frames) for _ in range(check_count(num_layers, "num_layers"))
        ]
        nn.init.zeros_(layers[-1].norm.weight)
        self.layers = nn.ModuleList(layers)

    @property
    def num_neighbors(self) -> int | float:
        """k, which may be changed at any time (of an HTP by its ``config``); no weight depends on it."""
        return self._num_neighbors

    @num_neighbors.setter
    def num_neighbors(self, value: int | float) -> None:
        self._num_neighbors = check_frames(value, "num_neighbors")

    def forward(
        self, x: Float[Tensor, "batch frames joints dim"]
    ) -> tuple[Float[Tensor, "batch frames joints dim"], TemporalMask]:
        """Refine the tokens and tell which frames may attend to which.

        Args:
            x: Tokens after the first spatial block.

        Returns:
            The refined tokens, and the mask computed from ``x``.

        Raises:
            ShapeError: Another rank, other channels, or more frames than built for.
            DtypeError: Tokens that are not floating.
            NonFiniteError: Tokens with NaN or infinity, on a CPU and outside of compiled and traced graphs.
                Elsewhere the mask ranks their correlations last.
        """
        check_tokens(x, name="TCEP", dim=self.dim, max_frames=self.num_frames)
        refined = x.transpose(1, 2).contiguous()  # one copy, and faster matmuls ever after
        bias, weights = self._correlate(refined)
        refined = refined.to(product_dtype(refined))  # once for all products
        chain = chain_graph(x.shape[1], weights)
        for layer in self.layers:
            refined = F.gelu(layer(refined, chain, weights))
        # Under autocast the refinement may have another dtype than the tokens; they keep theirs.
        refined = x + refined.transpose(1, 2).to(x.dtype)
        return refined, TemporalMask(bias == 0, bias)  # here, and not beside what the layers need

    if TYPE_CHECKING:  # else a call of a module has no type

        def __call__(self, x: Tensor) -> tuple[Tensor, TemporalMask]: ...

    def _correlate(
        self, tokens: Float[Tensor, "batch joints frames dim"]
    ) -> tuple[Float[Tensor, "batch joints frames frames"], Float[Tensor, "batch joints frames frames"]]:
        """M⁺, and the softmax of S_j under it; what leads to them is given back before the layers run."""
        scaled, scale = scale_tokens(tokens, (-2, -1), name="TCEP")
        correlation = temporal_correlation(scaled)
        del scaled
        num_neighbors = resolve_frames(self.num_neighbors, tokens.shape[-2])
        additive = additive_mask(correlated_frames(correlation, num_neighbors), correlation.dtype)
        # M⁺ goes along: it is made here once for every layer that attends under it, in its dtype.
        bias = additive.to(product_dtype(tokens))
        if tokens.is_cuda and not torch.compiler.is_compiling():
            bias = _aligned(bias)
        return bias, correlation_weights(correlation.add_(additive), scale)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, num_frames={self.num_frames}, num_neighbors={self.num_neighbors}"
