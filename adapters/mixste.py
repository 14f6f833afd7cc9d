"""MixSTE: where HTP goes in a stack of alternating spatial and temporal blocks (method of the paper, Section
IV).

Source of the host's attribute names: Zhang et al., "MixSTE", CVPR 2022, and its public code; HoT carries a
variant.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from adapters.adapter import Adapter, Facts, FrameState
from adapters.blocks import call_part, spatial_block, temporal_block
from adapters.probe import Probe
from htp_modules import Pair, TemporalMask

TRUNK_PARTS = {
    "Spatial_patch_to_embedding",
    "Spatial_pos_embed",
    "Temporal_pos_embed",
    "pos_drop",
    "STEblocks",
    "TTEblocks",
    "Spatial_norm",
    "Temporal_norm",
    "head",
}


def probe_blocks(probe: Probe) -> int:
    """The number of pairs of blocks of a stack; what is missing of it is noted in ``probe``."""
    spatial = probe.module("STEblocks", nn.ModuleList)
    temporal = probe.module("TTEblocks", nn.ModuleList)
    depth = len(temporal) if isinstance(temporal, nn.ModuleList) else 0
    spatial_depth = len(spatial) if isinstance(spatial, nn.ModuleList) else 0
    probe.require(depth == spatial_depth and depth > 0, "as many STEblocks as TTEblocks, at least one")
    for number in range(depth):
        probe.block(f"STEblocks.{number}")
        probe.block(f"TTEblocks.{number}")
    for part in ("Spatial_norm", "Temporal_norm", "head"):
        probe.module(part)
    return depth


def probe_trunk(probe: Probe) -> Facts:
    """Sizes of the trunk that MixSTE and D3DP share; what is missing is noted in ``probe``."""
    probe.module("Spatial_patch_to_embedding")
    channels = probe.number("Spatial_patch_to_embedding.in_features")
    _, joints, _ = probe.table("Spatial_pos_embed", 3)
    _, frames, dim = probe.table("Temporal_pos_embed", 3)
    depth = probe_blocks(probe)
    return Facts(
        num_frames=frames,
        num_joints=joints,
        in_channels=channels,
        dim=dim,
        num_heads=probe.number("TTEblocks.0.attn.num_heads"),
        depth=depth,
    )


def probe_mixste(host: nn.Module) -> Facts:
    """Sizes of a MixSTE.

    Raises:
        UnrecognisedHostError: It is none; the error lists what it lacks.
    """
    probe = Probe(host, "MixSTE")
    facts = probe_trunk(probe)
    probe.nothing_but("", TRUNK_PARTS)
    probe.finish()
    return facts


def _spatial(host: Any, block: nn.Module, x: Tensor) -> Tensor:
    return host.Spatial_norm(spatial_block(block, x))


def _temporal(host: Any, block: nn.Module, x: Tensor, mask: TemporalMask | None) -> Tensor:
    return host.Temporal_norm(temporal_block(block, x, mask, fused=host.htp.fused))


def add_position(
    host: Any, x: Float[Tensor, "batch frames joints dim"]
) -> Float[Tensor, "batch frames joints dim"]:
    """Tokens with the host's temporal position, of a clip that may be shorter than its table."""
    return call_part(host, "pos_drop", x + host.Temporal_pos_embed[:, : x.shape[1], None])


def trunk_pairs(host: Any) -> list[Pair]:
    """The host's blocks in their order."""
    return [
        Pair(partial(_spatial, host, spatial), partial(_temporal, host, temporal))
        for spatial, temporal in zip(host.STEblocks, host.TTEblocks, strict=True)
    ]


def run_trunk(
    host: Any,
    poses: Float[Tensor, "batch frames joints channels"],
    told: Float[Tensor, "batch 1 1 dim"] | None = None,
    inject: Callable[[Any, Tensor], Tensor] = add_position,
) -> Float[Tensor, "batch frames joints 3"]:
    """Poses through the host's embedding, HTP, and the host's blocks and head.

    Args:
        host: The model.
        poses: What the host embeds.
        told: What joins every token before the first block.
        inject: What joins them once TCEP has read them.
    """

    def embed(poses: Tensor) -> Tensor:
        x = host.htp.embed(poses, host.Spatial_patch_to_embedding) + host.Spatial_pos_embed
        return call_part(host, "pos_drop", x if told is None else x + told)

    first, *rest = trunk_pairs(host)
    return host.head(host.htp(poses, [first.after(embed), *rest], partial(inject, host)))


def run_mixste(
    host: Any, pose: Float[Tensor, "batch frames joints channels"]
) -> Float[Tensor, "batch frames joints 3"]:
    """MixSTE's forward pass, pruned."""
    return run_trunk(host, pose)


MIXSTE = Adapter(
    name="MixSTE",
    probe=probe_mixste,
    run=run_mixste,
    embedding="Spatial_patch_to_embedding",
    by_frame=(FrameState("Temporal_pos_embed"),),
)
