"""Selecting the highest scores, deterministically.

Both selections of the paper (TCEP's neighbours, MGPTP's frames) rank frames; ties must fall the same way on
every run, batch and device, so they are broken by frame order. ``torch.topk`` leaves ties open, but the value
of its last pick is unambiguous: all above that threshold are in, and ties at it fill up from the first frame.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from htp_modules.checks import check_finite

# Sums of squares of tokens inside this range neither overflow nor vanish in float32 at any width in use.
_LEAST_AMPLITUDE, _MOST_AMPLITUDE = 2.0**-40, 2.0**40


def select_highest(scores: Float[Tensor, "*rows items"], count: int) -> Float[Tensor, "*rows items"]:
    """Mark the ``count`` highest scores of each row with 1, ties broken by order (the earlier item wins).

    In numbers throughout: on a CPU bools are several times as slow to make and to read, compiled above all.

    Args:
        scores: Free of NaN; infinities rank as usual.
        count: How many to mark, 1 to the row's length.

    Returns:
        Exactly ``count`` ones a row, zeros elsewhere; the ones stay as ``count`` grows.
    """
    scores = scores.detach().to(torch.promote_types(scores.dtype, torch.float32))  # counts to 2^24
    threshold = scores.topk(count, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
    above, tied = scores.clone().gt_(threshold), scores.clone().eq_(threshold)
    room = count - above.sum(dim=-1, keepdim=True)
    # In integers on CUDA, where a running sum of floats is not deterministic; a CPU is slower at it.
    turn = tied.cumsum(dim=-1, dtype=torch.int32 if tied.is_cuda else tied.dtype).to(tied.dtype)
    return torch.addcmul(above, tied, turn.le_(room))


class ScaledTokens(NamedTuple):
    """Tokens that may be multiplied with each other.

    Attributes:
        tokens: In float32 at least, divided by ``scale``.
        scale: 1, so that the formulas hold as printed, unless the magnitudes are extreme; then their power of
            two, so that dividing by it rounds nothing.
    """

    tokens: Tensor
    scale: Tensor


def scale_tokens(x: Float[Tensor, "*axes"], dims: tuple[int, ...], *, name: str) -> ScaledTokens:
    """Bring tokens into the range in which their products stay finite and distinct.

    Where nothing is checked (:func:`check_finite`), tokens that are not finite are left as they are, and so
    are those that share their scale.

    Args:
        x: Tokens that frames are about to be selected by.
        dims: The axes that share one scale.
        name: Who asks, for the message.

    Raises:
        NonFiniteError: The tokens hold NaN or infinity, on a CPU and outside of compiled graphs.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    values = wide.detach()
    largest = torch.maximum(values.amax(dim=dims, keepdim=True), -values.amin(dim=dims, keepdim=True))
    check_finite(largest, name=name)
    large = (largest > _MOST_AMPLITUDE) & (largest < torch.inf)
    extreme = large | ((largest < _LEAST_AMPLITUDE) & (largest > 0))
    one = torch.ones_like(largest)
    # By log2 and ldexp: frexp has no form in ONNX. Rounded up, the largest exponent would overflow.
    exponent = largest.log2().floor().clamp(max=math.frexp(torch.finfo(wide.dtype).max)[1] - 1)
    scale = torch.where(extreme, torch.ldexp(one, exponent), one)
    return ScaledTokens(wide / scale, scale)
