"""MotionBERT: where HTP goes in the dual-stream DSTformer (Section IV of the paper).

Source of the host's attribute names: Zhu et al., "MotionBERT", ICCV 2023, and its public code; HoT carries a
variant.
"""

from functools import partial
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapters.adapter import Adapter, Facts, FrameState
from adapters.blocks import call_part, from_tracks, masked_attention, to_tracks, unchanged
from adapters.probe import Probe
from htp_modules import SFTMHSA, HTPConfig, Pair, TemporalMask

PARTS = {
    "joints_embed",
    "pos_drop",
    "blocks_st",
    "blocks_ts",
    "norm",
    "pre_logits",
    "head",
    "temp_embed",
    "pos_embed",
    "ts_attn",
}
BLOCK_LAYERS = ("norm1_s", "norm1_t", "norm2_s", "norm2_t", "mlp_s", "mlp_t")
BLOCK_PARTS = {*BLOCK_LAYERS, "attn_s", "attn_t", "drop_path"}


def _order(block: nn.Module) -> str | None:
    """``"st"`` for a block that attends across joints first, ``"ts"`` across frames first."""
    mode = getattr(block, "st_mode", None)
    if mode is None and isinstance(getattr(block, "spatial_first", None), bool):
        return "st" if block.spatial_first else "ts"
    return {"stage_st": "st", "stage_ts": "ts"}.get(cast(str, mode))


def _probe_block(probe: Probe, path: str, order: str) -> None:
    block = probe.module(path)
    for part in BLOCK_LAYERS:
        probe.module(f"{path}.{part}")
    for axis, mode in (("s", "spatial"), ("t", "temporal")):
        probe.attention(f"{path}.attn_{axis}")
        found = getattr(getattr(block, f"attn_{axis}", None), "mode", mode)
        probe.require(found == mode, f"{path}.attn_{axis}.mode {mode!r}")
    probe.require(block is not None and _order(block) == order, f"{path} as a stage_{order} block")
    probe.nothing_but(path, BLOCK_PARTS)


def probe_motionbert(host: nn.Module) -> Facts:
    """Sizes of a DSTformer.

    Raises:
        UnrecognisedHostError: It is none; the error lists what it lacks.
    """
    probe = Probe(host, "MotionBERT DSTformer")
    for part in ("joints_embed", "norm", "pre_logits", "head"):
        probe.module(part)
    channels = probe.number("joints_embed.in_features")
    _, frames, _, dim = probe.table("temp_embed", 4)
    _, joints, _ = probe.table("pos_embed", 3)
    depths = []
    for order in ("st", "ts"):
        blocks = probe.module(f"blocks_{order}", nn.ModuleList)
        depths.append(len(blocks) if isinstance(blocks, nn.ModuleList) else 0)
        for number in range(depths[-1]):
            _probe_block(probe, f"blocks_{order}.{number}", order)
    probe.require(depths[0] == depths[1] and depths[0] > 0, "as many blocks_st as blocks_ts, at least one")
    if getattr(host, "att_fuse", False) or getattr(host, "ts_attn", None) is not None:
        fusion = probe.module("ts_attn", nn.ModuleList)
        enough = isinstance(fusion, nn.ModuleList) and len(fusion) == depths[0]
        probe.require(enough, "one ts_attn for each pair of blocks")
    probe.nothing_but("", PARTS)
    heads = probe.number("blocks_st.0.attn_t.num_heads")
    probe.finish()
    return Facts(
        num_frames=frames, num_joints=joints, in_channels=channels, dim=dim, num_heads=heads, depth=depths[0]
    )


def initial_block(facts: Facts) -> dict[str, nn.Module]:
    """The initial SFT MHSA block. Both its branches start at zero: it is the identity."""
    block = SFTMHSA(facts.dim, facts.num_heads)
    for layer in (block.attn.proj, block.mlp.fc2):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return {"initial": block}


def _embed(host: Any, clip: Tensor) -> Tensor:
    x = host.htp.embed(clip, host.joints_embed) + host.pos_embed + host.temp_embed[:, : clip.shape[1]]
    return call_part(host, "pos_drop", x)


def _spatial_part(block: Any, x: Tensor) -> Tensor:
    poses, clips = x.flatten(0, 1), x.shape[:2]
    del x  # of a temporal part before this one nobody else holds it
    poses = poses + call_part(block, "drop_path", block.attn_s(block.norm1_s(poses)))
    poses = poses + call_part(block, "drop_path", block.mlp_s(block.norm2_s(poses)))
    return poses.unflatten(0, clips)


def _temporal_part(block: Any, x: Tensor, mask: TemporalMask, *, fused: bool) -> Tensor:
    # Of one clip the tracks are a view, to whose projection the bias would be added in a pass of its own.
    tracks = to_tracks(block.norm1_t(x)).contiguous()
    tracks = masked_attention(block.attn_t, tracks, mask.folded(), fused=fused)
    # Stochastic depth drops a frame of a clip, as in the host: frames are folded into the batch there.
    poses = from_tracks(tracks, x.shape[2]).flatten(0, 1)
    del tracks  # the MLP needs the room
    poses = x.flatten(0, 1) + call_part(block, "drop_path", poses)
    poses = poses + call_part(block, "drop_path", block.mlp_t(block.norm2_t(poses)))
    return poses.unflatten(0, x.shape[:2])


def _stream(block: Any, x: Tensor, mask: TemporalMask | None, *, fused: bool) -> Tensor:
    if mask is not None:
        if _order(block) == "st":
            return _temporal_part(block, _spatial_part(block, x), mask, fused=fused)
        return _spatial_part(block, _temporal_part(block, x, mask, fused=fused))
    if hasattr(block, "st_mode"):  # the public block folds frames into the batch and is told their number
        return block(x.flatten(0, 1), x.shape[1]).unflatten(0, x.shape[:2])
    return block(x)


def _dual(host: Any, layer: int, x: Tensor, mask: TemporalMask | None) -> Tensor:
    fused = host.htp.fused
    x_st = _stream(host.blocks_st[layer], x, mask, fused=fused)
    x_ts = _stream(host.blocks_ts[layer], x, mask, fused=fused)
    gates = getattr(host, "ts_attn", None)
    if gates is None:
        return (x_st + x_ts) * 0.5
    share = gates[layer](torch.cat((x_st, x_ts), dim=-1)).softmax(dim=-1)
    return x_st * share[..., :1] + x_ts * share[..., 1:]


def run_motionbert(
    host: Any, clip: Float[Tensor, "batch frames joints channels"], return_rep: bool = False
) -> Float[Tensor, "batch frames joints features"]:
    """DSTformer's forward pass, pruned."""
    layers = [Pair(unchanged, partial(_dual, host, layer)) for layer in range(len(host.blocks_st))]
    x = host.htp(clip, [Pair(partial(_embed, host), host.htp.initial), *layers])
    x = host.pre_logits(host.norm(x))
    return x if return_rep else host.head(x)


def motionbert_places(config: HTPConfig, injected: str) -> tuple[str, ...]:
    """Where the modules go in a DSTformer."""
    n = config.num_sft_layers
    masked = f"; dual blocks 1 to {n} attend along time under the mask, in both streams" if n else ""
    return (
        "TCEP on the embedded joints",
        f"SFT MHSA: a new {injected} before the backbone{masked}",
        f"MGPTP before dual block {n + 1}; the blocks from there on see the kept frames",
        f"recovery ({config.recovery}) before norm, pre_logits and head",
    )


def motionbert_pairs(facts: Facts) -> int:
    """The initial block and the dual blocks."""
    return facts.depth + 1


MOTIONBERT = Adapter(
    name="MotionBERT DSTformer",
    probe=probe_motionbert,
    run=run_motionbert,
    places=motionbert_places,
    embedding="joints_embed",
    by_frame=(FrameState("temp_embed"),),
    injected="initial block",
    modules=initial_block,
    num_pairs=motionbert_pairs,
    # n = 2 and the linear joint embedding, as in the paper's plug-in.
    defaults=HTPConfig(num_sft_layers=2, spatial_gcn=False),
)
