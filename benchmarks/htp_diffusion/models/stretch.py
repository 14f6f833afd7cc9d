"""Weights of a model of short windows as the beginning of one of longer windows."""

from collections.abc import Mapping

import torch
from einops import rearrange
from torch import Tensor, nn

from htp_diffusion.base.errors import BenchmarkError

_POSITIONS = "Temporal_pos_embed"  # (1, frames, channels), in every denoiser


def stretched(weights: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Weights in the shapes of a model whose windows have another number of frames.

    What differs is a table with a row for each frame (position embedding, recovery queries, modulation) or
    for each pair of frames (adjacency). It is interpolated linearly; the first frame stays the first and the
    last the last. Other weights are returned as they are.

    Raises:
        BenchmarkError: The two models differ in more than their frames.
    """
    shapes = {key: value.shape for key, value in model.state_dict().items()}
    if different := sorted(shapes.keys() ^ weights.keys()):
        raise BenchmarkError(f"{len(different)} weights are in one of the models alone, as {different[0]}")
    lengths = (weights[_POSITIONS].shape[1], shapes[_POSITIONS][1])
    return {key: _resized(weights[key], shape, lengths, key) for key, shape in shapes.items()}


def _resized(table: Tensor, shape: torch.Size, lengths: tuple[int, int], key: str) -> Tensor:
    given = table.shape
    for axis, sizes in enumerate(zip(given, shape, strict=False)):
        if sizes == lengths:
            table = _interpolated(table, axis, sizes[1])
    if table.shape != shape:
        raise BenchmarkError(f"{key} has shape {list(given)}, not {list(shape)}")
    return table


def _interpolated(table: Tensor, axis: int, size: int) -> Tensor:
    rows = rearrange(table.movedim(axis, -1), "... frames -> 1 (...) frames")
    longer = nn.functional.interpolate(rows, size, mode="linear", align_corners=True)
    return longer.view(*table.movedim(axis, -1).shape[:-1], size).movedim(-1, axis).contiguous()
