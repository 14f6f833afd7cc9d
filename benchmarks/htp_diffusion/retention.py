"""Retention: the frames that HTP keeps while it samples."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Int64
from torch import Tensor

from htp_diffusion.data.motion import Windows
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.sampling import Sampling
from htp_modules import record


@dataclass(frozen=True, kw_only=True, eq=False)
class Retention:
    """Which frames of a clip's windows stay.

    Attributes:
        kept: Kept frames of each window, counted from its beginning, ascending.
        start: The clip's frame that each window begins with.
        num_frames: T, frames of a window.
    """

    kept: Int64[Tensor, "windows kept"]
    start: Int64[Tensor, " windows"]
    num_frames: int

    @property
    def share(self) -> str:
        """Kept frames of a window, in words."""
        return f"{self.kept.shape[1]} of {self.num_frames} frames"


def observe_retention(denoiser: HTPDenoiser, windows: Windows, sampling: Sampling) -> Retention:
    """Sample a clip's windows and see which frames are kept at the last denoising step.

    One hypothesis is sampled, however many ``sampling`` asks for; the mirrored copy is not shown.
    """
    device = next(denoiser.parameters()).device
    one = replace(sampling, hypotheses=1, batch_size=len(windows.start))
    with record(denoiser) as seen:
        one.draw(denoiser, windows.pose_2d.to(device))
    sequences = len(windows.start) * (2 if sampling.flip else 1)
    last_step = _last_rows([kept.index for kept in seen.kept], sequences)
    return Retention(
        kept=last_step[: len(windows.start)].cpu(), start=windows.start, num_frames=windows.pose_2d.shape[1]
    )


def _last_rows(calls: Sequence[Int64[Tensor, "_ kept"]], count: int) -> Int64[Tensor, "count kept"]:
    """The rows of the last calls that make up ``count`` sequences: one step, in calls of any size."""
    return torch.cat(list(calls))[-count:]
