"""Selecting the highest scores, deterministically.

Both selections of the paper (TCEP's neighbours, MGPTP's frames) rank frames; ties must fall the same way on
every run, batch and device, so they are broken by frame order. ``torch.topk`` leaves ties open, but the value
of its last pick is unambiguous: all above that threshold are in, and ties at it fill up from the first frame.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int32
from torch import Tensor

from htp_modules.checks import can_read, check_finite

# Sums of squares of tokens inside this range neither overflow nor vanish in float32 at any width in use.
_LEAST_AMPLITUDE, _MOST_AMPLITUDE = 2.0**-40, 2.0**40
_SIGN, _MAGNITUDE = -(2**31), 2**31 - 1  # of a float32's bits, as an integer


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
    if scores.is_cuda and scores.dtype == torch.float32 and torch.compiler.is_dynamo_compiling():
        return highest_by_counting(scores, count)
    threshold = scores.topk(count, dim=-1, sorted=False).values.amin(dim=-1, keepdim=True)
    reached = scores.clone().ge_(threshold)
    surplus = reached.sum(dim=-1, keepdim=True) - count  # of those that equal the threshold
    if can_read(surplus) and not bool(surplus.any()):
        return reached
    tied = scores.clone().eq_(threshold)
    del scores  # a row of marks takes as much memory as a row of scores
    # In integers on CUDA, where a running sum of floats is not deterministic; a CPU is slower at it.
    turn = tied.cumsum(dim=-1, dtype=torch.int32 if tied.is_cuda else tied.dtype).to(tied.dtype)
    room = turn[..., -1:] - surplus
    return reached.addcmul_(tied, turn.gt_(room), value=-1.0)


def highest_by_counting(scores: Float[Tensor, "*rows items"], count: int) -> Float[Tensor, "*rows items"]:
    """The same marks for float32 scores by counts alone, which a compiler for GPUs fuses into three kernels.

    Two searches, bit by bit: for the highest value that at least ``count`` scores reach, and for the place up
    to which those that equal it are taken. Elsewhere this is slow.
    """

    def number(marks: Tensor) -> Tensor:
        return marks.sum(dim=-1, keepdim=True, dtype=torch.int32)

    order = _ranked_bits(scores.view(torch.int32))
    least = torch.where(number(order >= 0) >= count, 0, _SIGN).to(torch.int32)
    reached = _highest_that_holds(lambda value: number(order >= value) >= count, least, 31)
    threshold = _ranked_bits(reached).view(torch.float32)
    above, tied = scores > threshold, scores == threshold
    room = count - number(above)
    place = torch.arange(scores.shape[-1], device=scores.device, dtype=torch.int32)
    first = torch.zeros_like(room)
    end = _highest_that_holds(
        lambda end: number(tied & (place < end)) <= room, first, scores.shape[-1].bit_length()
    )
    return (above | (tied & (place < end))).to(scores.dtype)


def _ranked_bits(bits: Int32[Tensor, "*axes"]) -> Int32[Tensor, "*axes"]:
    """A float32's bits as an integer that ranks as the float does, and back."""
    return bits ^ ((bits >> 31) & _MAGNITUDE)


def _highest_that_holds(
    holds: Callable[[Tensor], Tensor], least: Int32[Tensor, "*rows 1"], bits: int
) -> Int32[Tensor, "*rows 1"]:
    """The highest of 2^bits integers from ``least`` on for which ``holds``, as it does for all below it."""
    for bit in reversed(range(bits)):
        higher = least + 2**bit
        least = torch.where(holds(higher), higher, least)
    return least


class ScaledTokens(NamedTuple):
    """Tokens that may be multiplied with each other.

    Attributes:
        tokens: In float32 at least, divided by ``scale``; the caller's own where nothing is to be divided.
        scale: 1, so that the formulas hold as printed, unless the magnitudes are extreme; then their power of
            two, so that dividing by it rounds nothing.
    """

    tokens: Tensor
    scale: Tensor


def scale_tokens(x: Float[Tensor, "*axes"], dims: tuple[int, ...], *, name: str) -> ScaledTokens:
    """Bring tokens into the range in which their products stay finite and distinct.

    Where nothing is checked (:func:`check_finite`), a group with NaN or infinity is returned unscaled.

    Args:
        x: Tokens that frames are about to be selected by.
        dims: The axes that share one scale.
        name: Who asks, for the message.

    Raises:
        NonFiniteError: The tokens hold NaN or infinity, on a CPU and outside of compiled and traced graphs.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    values = wide.detach()
    largest = torch.maximum(values.amax(dim=dims, keepdim=True), -values.amin(dim=dims, keepdim=True))
    check_finite(largest, name=name)
    large = (largest > _MOST_AMPLITUDE) & (largest < torch.inf)
    extreme = large | ((largest < _LEAST_AMPLITUDE) & (largest > 0))
    one = torch.ones_like(largest)
    if can_read(extreme) and not bool(extreme.any()):
        return ScaledTokens(wide, one)
    # By log2 and ldexp: frexp has no form in ONNX. Rounded up, the largest exponent would overflow.
    exponent = largest.log2().floor().clamp(max=math.frexp(torch.finfo(wide.dtype).max)[1] - 1)
    scale = torch.where(extreme, torch.ldexp(one, exponent), one)
    return ScaledTokens(wide / scale, scale)
