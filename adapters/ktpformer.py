"""KTPFormer: a MixSTE whose first pair of blocks is told of the skeleton and of trajectories.

Source of the host's attribute names: Peng et al., "KTPFormer", CVPR 2024, and its public code. A graph
convolution over the skeleton embeds the joints inside the first spatial block; one over the frames, the
trajectory prior, stands inside the first temporal block, before its temporal position. TCEP reads the tokens
between the two.
"""

from functools import partial
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor, eye, nn

from adapters.adapter import Adapter, Facts, FrameState
from adapters.blocks import call_part, from_tracks, masked_attention, to_tracks
from adapters.mixste import probe_blocks, trunk_pairs
from adapters.probe import Probe
from htp_modules import HTPConfig, Pair, TemporalMask

PARTS = {"pos_drop", "STEblocks", "TTEblocks", "Spatial_norm", "Temporal_norm", "kpattention", "tpattention"}
PRIOR_PARTS = {"qkv", "attn_drop", "proj", "proj_drop", "pos_drop", "norm1", "drop_path"}
TRAJECTORY = "tpattention.attn.tpa"


def probe_ktpformer(host: nn.Module) -> Facts:
    """Sizes of a KTPFormer.

    Raises:
        UnrecognisedHostError: It is none; the error lists what it lacks.
    """
    probe = Probe(host, "KTPFormer")
    depth = probe_blocks(probe)
    for block, prior, table in (
        ("kpattention", "kpa", "Spatial_pos_embed"),
        ("tpattention", "tpa", "Temporal_pos_embed"),
    ):
        for part in ("norm2", "mlp", f"attn.{prior}", "attn.qkv", "attn.proj", "attn.norm1"):
            probe.module(f"{block}.{part}")
        probe.nothing_but(block, {"attn", "drop_path", "norm2", "mlp"})
        probe.nothing_but(f"{block}.attn", PRIOR_PARTS | {prior, table})
    for layer in ("gconv1", "gconv2"):
        probe.module(f"{TRAJECTORY}.{layer}.gconv")
        probe.module(f"{TRAJECTORY}.{layer}.bn")
    probe.nothing_but(TRAJECTORY, {"gconv1", "gconv2"})
    channels = probe.number("kpattention.attn.kpa.gconv.in_features")
    _, joints, dim = probe.table("kpattention.attn.Spatial_pos_embed", 3)
    _, frames, _ = probe.table("tpattention.attn.Temporal_pos_embed", 3)
    heads = probe.number("tpattention.attn.num_heads")
    probe.nothing_but("", PARTS | {"head"})
    probe.finish()
    return Facts(
        num_frames=frames, num_joints=joints, in_channels=channels, dim=dim, num_heads=heads, depth=depth
    )


def trajectory_convolution(
    layer: Any, x: Float[Tensor, "batch frames dim"]
) -> Float[Tensor, "batch frames features"]:
    """The host's graph convolution over the first frames of its graph."""
    frames = x.shape[1]
    adjacency = (layer.adj.to(x.device) + layer.adj2)[:frames, :frames]
    adjacency = (adjacency + adjacency.mT) / 2
    itself = eye(frames, dtype=adjacency.dtype, device=x.device)
    weight, own, others = layer.M[:frames], x @ layer.W[0], x @ layer.W[1]
    y = (adjacency * itself) @ (weight * own) + (adjacency * (1 - itself)) @ (weight * others)
    return y if layer.bias is None else y + layer.bias


def _embed(host: Any, pose: Tensor) -> Tensor:
    """The kinematic prior's tokens, with the spatial position."""
    attention = host.kpattention.attn
    x = host.htp.embed(pose, lambda x: attention.kpa(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
    return call_part(attention, "pos_drop", x + attention.Spatial_pos_embed)


def _inject(host: Any, x: Tensor) -> Tensor:
    """The trajectory prior, and the temporal position."""
    attention = host.tpattention.attn
    tracks = y = to_tracks(x)
    for layer in (attention.tpa.gconv1, attention.tpa.gconv2):
        y = layer.bn(trajectory_convolution(layer.gconv, y).transpose(1, 2)).transpose(1, 2)
        if getattr(layer, "dropout", None) is not None:
            y = layer.dropout(layer.relu(y))
        y = layer.relu(y)
    tracks = call_part(attention, "pos_drop", tracks + y + attention.Temporal_pos_embed[:, : x.shape[1]])
    return from_tracks(tracks, x.shape[2])


def _prior_block(
    block: Any, x: Float[Tensor, "n length dim"], keep: Bool[Tensor, "n length length"] | None, *, fused: bool
) -> Float[Tensor, "n length dim"]:
    """A block with a prior, from behind the prior and its position on."""
    attended = masked_attention(block.attn, block.attn.norm1(x), keep, fused=fused)
    x = x + call_part(block.attn, "drop_path", attended)
    return x + call_part(block, "drop_path", block.mlp(block.norm2(x)))


def _spatial(host: Any, x: Tensor) -> Tensor:
    poses = _prior_block(host.kpattention, x.flatten(0, 1), None, fused=host.htp.fused)
    return host.Spatial_norm(poses.unflatten(0, x.shape[:2]))


def _temporal(host: Any, x: Tensor, mask: TemporalMask | None) -> Tensor:
    tracks = to_tracks(x)
    keep = None if mask is None else mask.folded()
    tracks = host.Temporal_norm(_prior_block(host.tpattention, tracks, keep, fused=host.htp.fused))
    return from_tracks(tracks, x.shape[2])


def run_ktpformer(
    host: Any, pose: Float[Tensor, "batch frames joints channels"]
) -> Float[Tensor, "batch frames joints 3"]:
    """KTPFormer's forward pass, pruned."""
    first = Pair(partial(_spatial, host), partial(_temporal, host)).after(partial(_embed, host))
    return host.head(host.htp(pose, [first, *trunk_pairs(host)], partial(_inject, host)))


def ktpformer_places(config: HTPConfig, injected: str) -> tuple[str, ...]:
    """Where the modules go: the pair with the priors comes before the blocks that are counted."""
    n = config.num_sft_layers
    masked = ("the TPA block attends", "the TPA block and temporal block 0 attend")
    told = masked[n] if n < len(masked) else f"the TPA block and temporal blocks 0 to {n - 1} attend"
    return (
        f"TCEP after the KPA block and its norm, then the {injected}",
        f"SFT MHSA: {told} under the mask, with the host's weights",
        f"MGPTP before spatial block {n}; the blocks from there on see the kept frames",
        f"recovery ({config.recovery}) before the head",
    )


def ktpformer_pairs(facts: Facts) -> int:
    """The pair with the priors and those of the trunk."""
    return facts.depth + 1


KTPFORMER = Adapter(
    name="KTPFormer",
    probe=probe_ktpformer,
    run=run_ktpformer,
    embedding="kpattention.attn.kpa",
    by_frame=(
        FrameState("tpattention.attn.Temporal_pos_embed"),
        *(
            FrameState(f"{TRAJECTORY}.{layer}.gconv.{name}", axes)
            for layer in ("gconv1", "gconv2")
            for name, axes in (("M", (0,)), ("adj", (0, 1)), ("adj2", (0, 1)))
        ),
    ),
    injected="trajectory prior and temporal position",
    places=ktpformer_places,
    num_pairs=ktpformer_pairs,
    # Its own embedding is a graph convolution over the skeleton already.
    defaults=HTPConfig(spatial_gcn=False),
)
