"""STCFormer: blocks that attend along joints and along frames at once, on two halves of the channels.

Source of the host's attribute names: Tang et al., "3D Human Pose Estimation with Spatio-Temporal Criss-cross
Attention", CVPR 2023, and its public code. It has no temporal position: a depthwise convolution over
neighbouring frames and joints tells the order. Behind the pruner the kept frames are neighbours to it.
"""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from adapters.adapter import Adapter, Facts
from adapters.blocks import from_tracks, to_tracks, unchanged
from adapters.probe import Probe
from htp_modules import HTPConfig, Pair, TemporalMask

ATTENTION_PARTS = {"qkv", "layer_norm", "proj", "emb", "sep2_t", "sep2_s", "drop"}
SHARE_SPATIAL, SHARE_TEMPORAL = 0.0001, 1e-9  # of the body part's embedding, as in the public code


def probe_stcformer(host: nn.Module) -> Facts:
    """Sizes of an STCFormer.

    Raises:
        UnrecognisedHostError: It is none; the error lists what it lacks.
    """
    probe = Probe(host, "STCFormer")
    for part in ("pose_emb", "gelu", "regress_head"):
        probe.module(part)
    blocks = probe.module("stcformer.stc_block", nn.ModuleList)
    depth = len(blocks) if isinstance(blocks, nn.ModuleList) else 0
    probe.require(depth > 0, "at least one stcformer.stc_block")
    for number in range(depth):
        block = f"stcformer.stc_block.{number}"
        for part in ("layer_norm", "mlp", *(f"stc_att.{name}" for name in sorted(ATTENTION_PARTS))):
            probe.module(f"{block}.{part}")
        probe.nothing_but(block, {"layer_norm", "mlp", "stc_att", "drop"})
        probe.nothing_but(f"{block}.stc_att", ATTENTION_PARTS)
    frames, joints = probe.number("stcformer.d_time"), probe.number("stcformer.d_joint")
    heads = probe.number("stcformer.stc_block.0.stc_att.head")
    channels, dim = probe.number("pose_emb.in_features"), probe.number("pose_emb.out_features")
    probe.nothing_but("", {"pose_emb", "gelu", "stcformer", "regress_head"})
    probe.finish()
    return Facts(
        num_frames=frames, num_joints=joints, in_channels=channels, dim=dim, num_heads=heads, depth=depth
    )


def _attend(
    query: Float[Tensor, "n heads length dim"],
    key: Float[Tensor, "n heads length dim"],
    value: Float[Tensor, "n heads length dim"],
    keep: Bool[Tensor, "n length length"] | None,
    *,
    scale: float,
    fused: bool,
) -> Float[Tensor, "n heads length dim"]:
    keep = None if keep is None else keep[:, None]
    if fused:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=keep, scale=scale)
    scores = query @ key.mT * scale
    scores = scores if keep is None else scores.masked_fill(~keep, -torch.inf)
    return scores.softmax(dim=-1) @ value


def criss_cross(
    attention: Any, x: Float[Tensor, "batch frames joints dim"], mask: TemporalMask, *, fused: bool
) -> Float[Tensor, "batch frames joints dim"]:
    """The host's attention with its half along frames under ``mask``."""
    heads, joints = attention.head, x.shape[2]
    # The channels of query, key and value lie side by side; the first half of them is the spatial one.
    halves = attention.qkv(attention.layer_norm(x)).unflatten(-1, (-1, 3)).chunk(2, dim=-2)
    spatial, temporal = (half.unbind(-1) for half in halves)
    parts = attention.emb(attention.part.to(x.device))

    query, key, value = (part.flatten(0, 1).unflatten(-1, (heads, -1)).transpose(1, 2) for part in spatial)
    along_joints = _attend(query, key, value, None, scale=attention.scale, fused=fused)
    along_joints = along_joints.transpose(1, 2).unflatten(0, x.shape[:2])
    query, key, value = (to_tracks(part).unflatten(-1, (heads, -1)).transpose(1, 2) for part in temporal)
    along_frames = _attend(query, key, value, mask.folded(), scale=attention.scale, fused=fused)
    along_frames = from_tracks(along_frames.transpose(1, 2), joints)

    along_joints = along_joints + _convolve(attention.sep2_s, spatial[2], heads)
    along_frames = along_frames + _convolve(attention.sep2_t, temporal[2], heads)
    along_joints = along_joints + SHARE_SPATIAL * attention.drop(parts[None]).unsqueeze(2)
    shared = attention.drop(parts[None, None, None])[0, 0]
    along_frames = along_frames + SHARE_TEMPORAL * shared.unsqueeze(2)
    mixed = torch.cat((along_joints, along_frames), dim=-1)
    return x + attention.proj(mixed.flatten(-2))


def _convolve(convolution: nn.Module, value: Tensor, heads: int) -> Tensor:
    """A depthwise convolution over frames and joints."""
    near = convolution(value.permute(0, 3, 1, 2))
    return near.permute(0, 2, 3, 1).unflatten(-1, (heads, -1))


def _block(host: Any, block: Any, x: Tensor, mask: TemporalMask | None) -> Tensor:
    if mask is None:
        return block(x)
    x = criss_cross(block.stc_att, x, mask, fused=host.htp.fused)
    return x + block.drop(block.mlp(block.layer_norm(x)))


def run_stcformer(
    host: Any, pose: Float[Tensor, "batch frames joints channels"]
) -> Float[Tensor, "batch frames joints 3"]:
    """STCFormer's forward pass, pruned."""
    first, *rest = (Pair(unchanged, partial(_block, host, block)) for block in host.stcformer.stc_block)
    first = first.after(lambda pose: host.gelu(host.htp.embed(pose, host.pose_emb)))
    return host.regress_head(host.htp(pose, [first, *rest]))


def stcformer_places(config: HTPConfig, injected: str) -> tuple[str, ...]:
    """Where the modules go in a stack of criss-cross blocks."""
    n = config.num_sft_layers
    masked = "block 0" if n == 0 else f"blocks 0 to {n}"
    return (
        "TCEP on the embedded joints",
        f"SFT MHSA: the half of {masked} that attends along frames, under the mask",
        f"MGPTP before block {n + 1}; the blocks from there on see the kept frames as neighbours",
        f"recovery ({config.recovery}) before the head",
    )


STCFORMER = Adapter(
    name="STCFormer",
    probe=probe_stcformer,
    run=run_stcformer,
    places=stcformer_places,
    embedding="pose_emb",
    injected="",
    defaults=HTPConfig(num_sft_layers=2, spatial_gcn=False),
)
