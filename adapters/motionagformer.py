"""MotionAGFormer: an attention stream and a graph stream, each along joints and then along frames.

Source of the host's attribute names: Mehraban et al., "MotionAGFormer", WACV 2024, and its public code. It
has no temporal position. Its graph over frames joins each to its most similar ones, and normalises by
statistics that each frame has of its own: behind the pruner the statistics are those of the kept frames.
"""

from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from adapters.adapter import Adapter, Facts, FrameState
from adapters.blocks import call_part, from_tracks, masked_attention, to_tracks, unchanged
from adapters.probe import Probe
from htp_modules import HTPConfig, KeptFrames, Pair, TemporalMask

STREAMS = ("att_spatial", "att_temporal", "graph_spatial", "graph_temporal")
BLOCK_PARTS = {"norm1", "mixer", "norm2", "mlp", "drop_path", "layer_scale_1", "layer_scale_2"}
GRAPH_PARTS = {"relu", "U", "V", "batch_norm"}
NORM = "layers.*.graph_temporal.mixer.batch_norm"
CHECK_FRAMES = 16  # enough for the most similar frames that its graph looks for


def _probe_layer(probe: Probe, path: str) -> None:
    for stream in STREAMS:
        block, mixer = f"{path}.{stream}", f"{path}.{stream}.mixer"
        for part in ("norm1", "norm2", "mlp"):
            probe.module(f"{block}.{part}")
        probe.nothing_but(block, BLOCK_PARTS)
        if stream.startswith("att"):
            probe.attention(mixer)
        else:
            for part in ("U", "V"):
                probe.module(f"{mixer}.{part}")
            probe.module(f"{mixer}.batch_norm", nn.BatchNorm1d)
            probe.nothing_but(mixer, GRAPH_PARTS)
    graph = probe.module(f"{path}.graph_temporal.mixer")
    similar = getattr(graph, "use_temporal_similarity", False) is True
    probe.require(similar, f"{path}.graph_temporal.mixer.use_temporal_similarity true")
    probe.require(
        getattr(graph, "dim_in", 0) == getattr(graph, "dim_out", 1), f"{path}.graph_temporal of one width"
    )
    probe.nothing_but(path, {*STREAMS, "fusion"})


def probe_motionagformer(host: nn.Module) -> Facts:
    """Sizes of a MotionAGFormer.

    Raises:
        UnrecognisedHostError: It is none; the error lists what it lacks.
    """
    probe = Probe(host, "MotionAGFormer")
    for part in ("joints_embed", "norm", "rep_logit", "head"):
        probe.module(part)
    layers = probe.module("layers", nn.Sequential)
    depth = len(layers) if isinstance(layers, nn.Sequential) else 0
    probe.require(depth > 0, "at least one layer")
    for number in range(depth):
        _probe_layer(probe, f"layers.{number}")
    channels = probe.number("joints_embed.in_features")
    _, joints, dim = probe.table("pos_embed", 3)
    frames = probe.number("layers.0.graph_temporal.mixer.num_nodes")
    heads = probe.number("layers.0.att_temporal.mixer.num_heads")
    probe.nothing_but("", {"joints_embed", "pos_embed", "norm", "layers", "rep_logit", "head"})
    probe.finish()
    return Facts(
        num_frames=frames, num_joints=joints, in_channels=channels, dim=dim, num_heads=heads, depth=depth
    )


def frame_norm(
    norm: nn.BatchNorm1d,
    x: Float[Tensor, "batch joints kept dim"],
    index: Int64[Tensor, "batch kept"],
) -> Float[Tensor, "batch joints kept dim"]:
    """A batch norm with a channel for each frame, on the frames that each sample has left.

    In training, the statistics of a frame are those of the samples that have it; a frame that none has keeps
    its running ones.
    """
    shape = (len(index), 1, index.shape[1], 1)
    if norm.training or norm.running_mean is None or norm.running_var is None:
        mean, var = _statistics(norm, x, index)
    else:
        mean, var = norm.running_mean[index], norm.running_var[index]
    y = (x - mean.view(shape)) * (var + norm.eps).rsqrt().view(shape)
    return (y * norm.weight[index].view(shape) + norm.bias[index].view(shape)).to(x.dtype)


def _statistics(norm: nn.BatchNorm1d, x: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each sample's frames in the batch; running ones follow where there are any."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    shape = (len(index), 1, index.shape[1], 1)
    numbers = wide.new_full(index.shape, x.shape[1] * x.shape[3])

    def by_frame(values: Tensor) -> Tensor:
        return wide.new_zeros(norm.num_features).scatter_add(0, index.flatten(), values.flatten())

    count = by_frame(numbers)
    mean = by_frame(wide.sum(dim=(1, 3))) / count.clamp(min=1)
    var = by_frame((wide - mean[index].view(shape)).square().sum(dim=(1, 3))) / count.clamp(min=1)
    if norm.training and norm.running_mean is not None and norm.running_var is not None:
        with torch.no_grad():
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked.add_(1)
            share = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked or 1)
            unbiased = var * count / (count - 1).clamp(min=1)
            share = share * (count > 0).to(norm.running_mean.dtype)
            norm.running_mean.lerp_(mean.to(share.dtype), share)
            norm.running_var.lerp_(unbiased.to(share.dtype), share)
    return mean[index], var[index]


def temporal_graph(
    graph: Any, x: Float[Tensor, "batch frames joints dim"], index: Int64[Tensor, "batch frames"]
) -> Float[Tensor, "batch frames joints dim"]:
    """The host's graph over the frames of each joint.

    Args:
        graph: The host's.
        x: Normalised tokens.
        index: Which frames of the host's they are.
    """
    frames, joints = x.shape[1:3]
    tracks = to_tracks(x)
    similarity = tracks @ tracks.mT
    most = similarity.topk(min(graph.neighbour_num, frames))[0][..., -1:]
    edges = (similarity >= most).to(tracks.dtype)
    scale = edges.sum(dim=-1) ** -0.5
    edges = scale[:, :, None] * edges * scale[:, None, :]
    y = edges @ graph.V(tracks) + graph.U(tracks)
    if frames == graph.batch_norm.num_features:
        y = graph.batch_norm(y)
    else:
        y = frame_norm(graph.batch_norm, y.unflatten(0, (-1, joints)), index).flatten(0, 1)
    return from_tracks(graph.relu(tracks + y), joints)


def _mixed(block: Any, x: Tensor, mixer: Any) -> Tensor:
    """A block of the host with ``mixer`` in its mixer's place."""
    for number, norm, part in ((1, block.norm1, mixer), (2, block.norm2, block.mlp)):
        y = part(norm(x))
        if block.use_layer_scale:
            y = getattr(block, f"layer_scale_{number}") * y
        x = x + call_part(block, "drop_path", y)
    return x


def _attend(attention: Any, mask: TemporalMask, fused: bool, x: Tensor) -> Tensor:
    tracks = to_tracks(x)
    attended = masked_attention(attention, tracks, mask.folded(), fused=fused)
    return from_tracks(attended, x.shape[2])


def _dual(host: Any, layer: Any, x: Tensor, mask: TemporalMask | None, index: Tensor) -> Tensor:
    """A layer of the host: both streams, and their fusion."""
    attended = layer.att_spatial(x)
    if mask is None:
        attended = layer.att_temporal(attended)
    else:
        mixer = partial(_attend, layer.att_temporal.mixer, mask, host.htp.fused)
        attended = _mixed(layer.att_temporal, attended, mixer)
    graph = partial(temporal_graph, layer.graph_temporal.mixer, index=index)
    related = _mixed(layer.graph_temporal, layer.graph_spatial(x), graph)
    if not layer.use_adaptive_fusion:
        return (attended + related) * 0.5
    share = layer.fusion(torch.cat((attended, related), dim=-1)).softmax(dim=-1)
    return attended * share[..., :1] + related * share[..., 1:]


def _whole(host: Any, layer: Any, x: Tensor, mask: TemporalMask | None) -> Tensor:
    return _dual(host, layer, x, mask, KeptFrames.all(*x.shape[:2], device=x.device).index)


def _pruned(host: Any, layer: Any, x: Tensor, kept: KeptFrames) -> Tensor:
    return _dual(host, layer, x, None, kept.index)


def run_motionagformer(
    host: Any, clip: Float[Tensor, "batch frames joints channels"], return_rep: bool
) -> Float[Tensor, "batch frames joints features"]:
    """MotionAGFormer's forward pass, pruned."""
    first, *rest = (
        Pair(unchanged, partial(_whole, host, layer), partial(_pruned, host, layer)) for layer in host.layers
    )
    first = first.after(lambda clip: host.htp.embed(clip, host.joints_embed) + host.pos_embed)
    x = host.rep_logit(host.norm(host.htp(clip, [first, *rest])))
    return x if return_rep else host.head(x)


def motionagformer_places(config: HTPConfig, injected: str) -> tuple[str, ...]:
    """Where the modules go in a stack of layers of two streams."""
    n = config.num_sft_layers
    masked = "layer 0" if n == 0 else f"layers 0 to {n}"
    return (
        "TCEP on the embedded joints",
        f"SFT MHSA: the attention along frames of {masked}, under the mask, with the host's weights",
        f"MGPTP before layer {n + 1}; from there on, the graph's statistics are those of the kept frames",
        f"recovery ({config.recovery}) before norm, rep_logit and head",
    )


MOTIONAGFORMER = Adapter(
    name="MotionAGFormer",
    probe=probe_motionagformer,
    run=run_motionagformer,
    places=motionagformer_places,
    embedding="joints_embed",
    by_frame=tuple(
        FrameState(f"{NORM}.{name}", (0,)) for name in ("weight", "bias", "running_mean", "running_var")
    ),
    injected="",
    check_frames=CHECK_FRAMES,
    defaults=HTPConfig(spatial_gcn=False),
)
