"""Windows over a clip of any length: overlapping by half, blended where they overlap."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def window_starts(length: int, num_frames: int) -> Int64[Tensor, " windows"]:
    """First frames of windows half a window apart; the last one is aligned to the clip's end.

    A clip shorter than a window has one.
    """
    last = max(0, length - num_frames)
    starts = torch.arange(0, last + 1, max(1, num_frames // 2))
    return starts if starts[-1] == last else torch.cat([starts, torch.tensor([last])])


def cut_windows(
    values: Float[Tensor, " frames *rest"], starts: Int64[Tensor, " windows"], num_frames: int
) -> Float[Tensor, "windows num_frames *rest"]:
    """The windows; after a short clip's end its last frame is held."""
    index = starts[:, None] + torch.arange(num_frames)
    return values[index.clamp(max=len(values) - 1)]


def blend(
    windows: Float[Tensor, "windows num_frames *rest"], starts: Int64[Tensor, " windows"], length: int
) -> Float[Tensor, " length *rest"]:
    """A clip from its windows: a mean, in which a window counts most in its middle.

    The weight falls evenly from the middle to both ends, so that no window begins or ends with a jump.
    """
    num_frames = windows.shape[1]
    weight = _weight(num_frames)
    total, weights = windows.new_zeros(length, *windows.shape[2:]), windows.new_zeros(length)
    for window, start in zip(windows, starts.tolist(), strict=True):
        held = min(num_frames, length - start)
        shaped = weight[:held].view(-1, *[1] * (window.ndim - 1))
        total[start : start + held] += shaped * window[:held]
        weights[start : start + held] += weight[:held]
    return total / weights.view(-1, *[1] * (total.ndim - 1))


def leading_window(
    starts: Int64[Tensor, " windows"], length: int, num_frames: int
) -> tuple[Int64[Tensor, " length"], Int64[Tensor, " length"]]:
    """For each frame of the clip, the window that counts most there, and the frame's place in it."""
    weight = _weight(num_frames)
    best, leading = torch.zeros(length), torch.zeros(length, dtype=torch.int64)
    for window, start in enumerate(starts.tolist()):
        held = min(num_frames, length - start)
        ahead = weight[:held] > best[start : start + held]
        leading[start : start + held][ahead] = window
        best[start : start + held] = torch.maximum(best[start : start + held], weight[:held])
    return leading, torch.arange(length) - starts[leading]


def _weight(num_frames: int) -> Float[Tensor, " num_frames"]:
    rising = torch.arange(1.0, num_frames + 1)
    return torch.minimum(rising, rising.flip(0))
