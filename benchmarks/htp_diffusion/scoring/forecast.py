"""How long sampling will take, told before it begins where that is more than a minute."""

import time
from collections.abc import Sequence

import torch
from rich.console import Console
from torch import Tensor, nn

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.data.motion import Windows
from htp_diffusion.diffusion.sampling import Sampling

_MINUTE = 60.0  # seconds
_FEW = 4  # sequences in the call that is timed
_SLOW = 1.0  # seconds; a call that lasts as long needs no second one, warm
_FEWEST = 1000  # passes; below, nothing is timed


def announce(
    denoisers: Sequence[nn.Module],
    clips: Sequence[Windows],
    sampling: Sampling,
    device: torch.device,
    precision: Precision = "fp32",
) -> None:
    """Tell on the error stream how many passes are to come and about how many minutes they take.

    Args:
        denoisers: Each of them samples all windows.
        clips: What is sampled, cut into windows.
        sampling: How.
        device: Where.
        precision: Of the denoisers.
    """
    windows = sum(len(clip.start) for clip in clips)
    passes = windows * sampling.passes
    if passes < _FEWEST:
        return
    count = min(_FEW, sampling.max_batch or _FEW)
    pose_2d = clips[0].pose_2d[:1].expand(count, -1, -1, -1).to(device)
    with precision_of(precision, device), torch.no_grad():
        seconds = sum(_seconds(denoiser.to(device), pose_2d) for denoiser in denoisers) / count * passes
    if seconds > _MINUTE:
        Console(stderr=True, soft_wrap=True).print(
            describe(windows, passes * len(denoisers), seconds), highlight=False
        )


def describe(windows: int, passes: int, seconds: float) -> str:
    """The line."""
    return f"{windows:,} windows take {passes:,} passes of a denoiser, about {seconds / _MINUTE:,.0f} minutes"


def _seconds(denoiser: nn.Module, pose_2d: Tensor) -> float:
    """The time of one call, warm if it is short."""
    noisy = pose_2d.new_zeros(*pose_2d.shape[:-1], 3)
    timestep = torch.zeros(len(pose_2d), dtype=torch.int64, device=pose_2d.device)
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        float(denoiser(pose_2d, noisy, timestep).sum())  # which waits for the device
        seconds = time.perf_counter() - start
        if seconds > _SLOW:
            break
    return seconds
