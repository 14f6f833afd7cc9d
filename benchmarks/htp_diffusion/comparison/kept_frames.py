"""Retention: the frames that HTP keeps while it samples."""

import os
from dataclasses import dataclass, replace
from typing import cast

import torch
from jaxtyping import Float, Int64
from matplotlib.figure import Figure
from torch import Tensor, nn

from htp_diffusion.base.picture import save_png
from htp_diffusion.data.motion import Clip, Windows
from htp_diffusion.diffusion.observed import observe
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.pose.layout import H36M_17, Layout

_CURVE, _KEPT, _WINDOW = "#4c6a92", "#d1495b", "#9aa0a8"


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


def observe_retention(
    denoiser: nn.Module, windows: Windows, sampling: Sampling, layout: Layout = H36M_17
) -> Retention:
    """Sample a clip's windows and see which frames are kept at the last denoising step.

    One hypothesis is sampled, however many ``sampling`` asks for; the mirrored copy is not shown.

    Args:
        denoiser: A model that prunes, called as a denoiser is.
        windows: The clip's windows.
        sampling: How to sample.
        layout: Which joints change places in the mirrored input.
    """
    device = next(denoiser.parameters()).device
    one = replace(sampling, hypotheses=1, batch_size=len(windows.start))
    seen = observe(denoiser, windows.pose_2d.to(device), one, layout=layout)
    kept = cast(Tensor, seen.kept)  # a model that prunes
    return Retention(kept=kept.cpu(), start=windows.start, num_frames=windows.pose_2d.shape[1])


def motion_speed(clip: Clip) -> Float[Tensor, " frames"]:
    """Mean speed of the joints at each frame, the root's travel included, in the clip's unit a second."""
    return joint_speed(clip.pose_3d + clip.root[:, None], clip.fps)


def joint_speed(positions: Float[Tensor, "frames joints 3"], fps: float) -> Float[Tensor, " frames"]:
    """Mean speed of joints at each frame, in the positions' unit a second.

    By central differences, one-sided at both ends; 0 for a single frame.
    """
    if len(positions) < 2:
        return positions.new_zeros(len(positions))
    (velocity,) = torch.gradient(positions, dim=0)
    return velocity.norm(dim=-1).mean(dim=-1) * fps


def draw_frames(
    path: str | os.PathLike[str], clip: Clip, retention: Retention, source: str, unit: str = "metre"
) -> None:
    """Draw a clip's motion speed over time, and the kept frames on it.

    Args:
        path: The PNG to write.
        clip: The clip.
        retention: The frames kept in its first windows; the picture ends with the last of them.
        source: Which model kept them, for the title.
        unit: Of the clip's poses.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    speed = motion_speed(clip)[: int(retention.start.max()) + retention.num_frames]
    seconds = torch.arange(len(speed)) / clip.fps
    kept = (retention.start[:, None] + retention.kept).flatten().unique()
    kept = kept[kept < len(speed)]  # what fills up a clip shorter than a window is no frame of it
    figure = Figure(figsize=(10, 3.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.plot(seconds, speed, color=_CURVE, linewidth=1.4, label="motion speed (mean over joints)", zorder=2)
    axes.vlines(seconds[kept], 0, speed[kept], color=_KEPT, linewidth=0.8, alpha=0.45, zorder=1)
    axes.scatter(seconds[kept], speed[kept], s=16, color=_KEPT, label="kept frames", zorder=3)
    for index, first in enumerate(retention.start.tolist()):
        label = f"window of {retention.num_frames} frames" if index == 0 else None
        axes.axvline(
            first / clip.fps, color=_WINDOW, linewidth=0.9, linestyle=(0, (4, 3)), label=label, zorder=0
        )
    # Names of models and clips are no mathematics, whatever signs they have.
    axes.set_title(f"{source} keeps {retention.share}: {clip.name}", parse_math=False)
    axes.set(
        xlabel="time, s",
        ylabel="speed, m/s" if unit == "metre" else f"speed, {unit}s/s",
        xlim=(-0.01 * float(seconds[-1]), 1.01 * float(seconds[-1]) or 1.0),
        ylim=(0, 1.12 * float(speed.max()) or 1.0),
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, frameon=False)
    save_png(figure, path)
