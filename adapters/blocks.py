"""A host's own attention blocks under a temporal mask.

The public blocks take no mask. Under one, their submodules are called here in the block's own order; without
one the block itself is called. Forward hooks on a masked block or its attention do not fire, those on its
layers do.

Notation (paper, Section III-C):
    y = x + proj(softmax(Q Kᵀ scale + M⁺) V)
    z = y + MLP(LN(y))
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Shaped
from torch import Tensor, nn

from htp_modules import SFTMHSA, TemporalMask

_DROPS = (nn.Dropout, nn.Identity, type(None))  # of attention, as the fused kernel knows it


def call_part(owner: nn.Module, name: str, x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """``owner``'s optional layer ``name`` (dropout, stochastic depth), the identity where it has none."""
    part = getattr(owner, name, None)
    return x if part is None else part(x)


def unchanged(x: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """The spatial block of a pair whose layer mixes joints and frames in one."""
    return x


def to_tracks(x: Shaped[Tensor, "batch frames joints *axes"]) -> Shaped[Tensor, "batch_joints frames *axes"]:
    """Joints folded into the batch, as attention along the frames takes them."""
    # Not by einops: torch.compile traces its reading of a pattern, which takes longer than all else.
    return x.transpose(1, 2).flatten(0, 1)


def from_tracks(
    tracks: Shaped[Tensor, "batch_joints frames *axes"], joints: int
) -> Shaped[Tensor, "batch frames joints *axes"]:
    """``to_tracks`` undone."""
    return tracks.unflatten(0, (-1, joints)).transpose(1, 2)


def masked_attention(
    attention: Any,
    x: Float[Tensor, "batch length dim"],
    keep: Bool[Tensor, "batch length length"] | None,
    *,
    fused: bool,
) -> Float[Tensor, "batch length dim"]:
    """A host's self-attention, its layers, scale and dropout, under ``keep``.

    Args:
        attention: Has ``qkv``, ``proj`` and ``num_heads``; may have ``scale``, ``attn_drop`` and
            ``proj_drop``.
        x: Normalised tokens.
        keep: True where a query may attend to a key; None if everywhere.
        fused: Run the fused kernel, or the explicit product (for counting operations).
    """
    heads = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1))
    query, key, value = heads.permute(2, 0, 3, 1, 4).unbind()
    scale = getattr(attention, "scale", None) or query.shape[-1] ** -0.5
    keep = None if keep is None else keep.unsqueeze(1)
    drop = getattr(attention, "attn_drop", None)
    if fused and isinstance(drop, _DROPS):
        rate = drop.p if isinstance(drop, nn.Dropout) and drop.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=keep, dropout_p=rate, scale=scale)
    else:
        scores = query @ key.transpose(-2, -1) * scale
        scores = scores if keep is None else scores.masked_fill(~keep, -torch.inf)
        mixed = call_part(attention, "attn_drop", scores.softmax(dim=-1)) @ value
    mixed = attention.proj(mixed.transpose(1, 2).flatten(2))
    return call_part(attention, "proj_drop", mixed)


def spatial_block(
    block: nn.Module, x: Float[Tensor, "batch frames joints dim"]
) -> Float[Tensor, "batch frames joints dim"]:
    """A host's block along the joints of each frame."""
    return block(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def temporal_block(
    block: Any, x: Float[Tensor, "batch frames joints dim"], mask: TemporalMask | None, *, fused: bool
) -> Float[Tensor, "batch frames joints dim"]:
    """A host's block along the frames of each joint, under the joint's mask if one is given."""
    if isinstance(block, SFTMHSA):
        return block(x, mask)
    tracks = to_tracks(x)
    if mask is None:
        tracks = block(tracks)
    else:
        attended = masked_attention(block.attn, block.norm1(tracks), mask.folded(), fused=fused)
        tracks = tracks + call_part(block, "drop_path", attended)
        tracks = tracks + call_part(block, "drop_path", block.mlp(block.norm2(tracks)))
    return from_tracks(tracks, x.shape[2])
