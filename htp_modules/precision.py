"""Precision: in how many bits products are taken, under autocast and without it."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def _device(tokens: Tensor) -> str:
    return "cpu" if tokens.is_meta else tokens.device.type  # autocast knows no meta device


def autocast_is_on(tokens: Tensor) -> bool:
    """Whether layers multiply ``tokens`` in fewer bits than they have; autocast leaves float64 alone."""
    return tokens.dtype != torch.float64 and torch.is_autocast_enabled(_device(tokens))


def sixteen_bits_on_cuda(tokens: Tensor) -> bool:
    """Whether their products go to CUDA's kernels for 16 bits, slow at sizes that do not fit them."""
    return tokens.is_cuda and tokens.dtype.itemsize == 2


def product_dtype(tokens: Tensor) -> torch.dtype:
    """The dtype in which layers multiply ``tokens``: autocast's, or the tokens' own without autocast."""
    return torch.get_autocast_dtype(_device(tokens)) if autocast_is_on(tokens) else tokens.dtype


def own_precision(tokens: Tensor) -> AbstractContextManager[object]:
    """A block in which products of ``tokens`` are taken in their own precision, whatever the autocast.

    Where there is no autocast to switch off, an exported graph stays free of it.
    """
    return torch.autocast(_device(tokens), enabled=False) if autocast_is_on(tokens) else nullcontext()
