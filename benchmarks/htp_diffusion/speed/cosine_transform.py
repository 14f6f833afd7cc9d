"""The discrete cosine transform, as a matrix product: what PoseFormerV2's code takes from torch_dct.

Type II and its inverse, without normalisation, as SciPy and FFTW define them.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def dct(x: Float[Tensor, "*axes length"]) -> Float[Tensor, "*axes length"]:
    """The transform along the last axis: X_k = 2 sum_n x_n cos(pi k (2 n + 1) / (2 N))."""
    return x @ _cosines(x).T


def idct(spectrum: Float[Tensor, "*axes length"]) -> Float[Tensor, "*axes length"]:
    """The signal whose transform it is."""
    length = spectrum.shape[-1]
    weights = torch.full((length,), 0.5 / length, dtype=spectrum.dtype, device=spectrum.device)
    weights[0] /= 2
    return (spectrum * weights) @ _cosines(spectrum)


def _cosines(x: Float[Tensor, "*axes length"]) -> Float[Tensor, "length length"]:
    number = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)
    return 2 * torch.cos(math.pi / (2 * x.shape[-1]) * number[:, None] * (2 * number + 1))
