"""The picture of kept frames along the motion-speed curve (as the paper's figure of frame retention)."""

import os

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from htp_diffusion.data.motion import Clip
from htp_diffusion.report.picture import save_png
from htp_diffusion.retention import Retention

_CURVE, _KEPT, _WINDOW = "#4c6a92", "#d1495b", "#9aa0a8"


def motion_speed(clip: Clip) -> Float[Tensor, " frames"]:
    """Mean speed of the joints at each frame, the root's travel included, m/s.

    By central differences, one-sided at both ends; 0 for a single frame.
    """
    position = clip.pose_3d + clip.root[:, None]
    if len(position) < 2:
        return position.new_zeros(len(position))
    (velocity,) = torch.gradient(position, dim=0)
    return velocity.norm(dim=-1).mean(dim=-1) * clip.fps


def draw_frames(path: str | os.PathLike[str], clip: Clip, retention: Retention, source: str) -> None:
    """Draw a clip's motion speed over time, and the kept frames on it.

    Args:
        path: The PNG to write.
        clip: The clip.
        retention: The frames kept in its first windows; the picture ends with the last of them.
        source: Which model kept them, for the title.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    speed = motion_speed(clip)[: int(retention.start.max()) + retention.num_frames]
    seconds = torch.arange(len(speed)) / clip.fps
    kept = (retention.start[:, None] + retention.kept).flatten().unique()
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
    axes.set(
        title=f"{source} keeps {retention.share}: {clip.name}",
        xlabel="time, s",
        ylabel="speed, m/s",
        xlim=(-0.01 * float(seconds[-1]), 1.01 * float(seconds[-1]) or 1.0),
        ylim=(0, 1.12 * float(speed.max()) or 1.0),
    )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=3, frameon=False)
    save_png(figure, path)
