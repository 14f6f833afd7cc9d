"""The sheet: 2D beside 3D at a few frames, and the motion along time with what is known about each frame."""

from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from htp_diffusion.base.picture import save_png
from htp_diffusion.comparison.kept_frames import joint_speed
from htp_diffusion.data.keypoints.gaps import runs
from htp_diffusion.lifting.video import LiftedVideo
from htp_diffusion.pose.view import draw_bones, seen_from

_SHOWN = 7
_ROWS = (("2D, as detected", None), ("3D, from the camera", 0.0), ("3D, from the side", 90.0))
_CURVE, _KEPT, _SPREAD = "#4c6a92", "#d1495b", "#8f9bb3"
_GAPS = {1: "#f3e2b3", 2: "#e9b872"}


def draw_sheet(path: Path, video: LiftedVideo) -> None:
    """Draw the sheet.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    poses, count = video.lifted.poses, len(video.lifted.poses)
    chosen = torch.linspace(0, count - 1, min(_SHOWN, count)).round().long().unique().tolist()
    figure = Figure(figsize=(max(9.0, 2.0 * len(chosen) + 1), 11), dpi=110, layout="constrained")
    grid = figure.add_gridspec(len(_ROWS) + 1, len(chosen), height_ratios=[1.0] * len(_ROWS) + [0.9])
    reach = float(poses.abs().amax()) * 1.1 or 1.0
    for row, (name, azimuth) in enumerate(_ROWS):
        for column, frame in enumerate(chosen):
            axes = figure.add_subplot(grid[row, column])
            if azimuth is None:
                _draw_2d(axes, video, frame)
                axes.set_title(f"frame {int(video.watched.frames[frame])}", fontsize=9)
            else:
                draw_bones(axes, seen_from(poses[frame], azimuth))
                axes.set(xlim=(-reach, reach), ylim=(-reach, reach))
            axes.set_aspect("equal")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_color("#cdd1d8")
            if column == 0:
                axes.set_ylabel(name, fontsize=9)
    _draw_time(figure.add_subplot(grid[-1, :]), video, chosen)
    figure.suptitle(video.title, fontsize=11, parse_math=False)
    save_png(figure, path)


def _draw_2d(axes: Axes, video: LiftedVideo, frame: int) -> None:
    """The 2D joints in the image's outline, hollow where they are filled in."""
    width, height = video.detections.image_size
    places = video.watched.pose_2d[frame] * torch.tensor([1.0, -1.0])
    draw_bones(axes, places)
    filled = places[video.watched.filled[frame]]
    axes.scatter(filled[:, 0], filled[:, 1], s=16, facecolors="white", edgecolors="#333333", zorder=3)
    axes.set(xlim=(-1, 1), ylim=(-height / width, height / width))


def _draw_time(axes: Axes, video: LiftedVideo, chosen: list[int]) -> None:
    """Speed, uncertainty, gaps and kept frames along the video."""
    frames, lifted = video.watched.frames, video.lifted
    speed = joint_speed(lifted.poses, video.fps or 1.0)
    axes.plot(frames, speed, color=_CURVE, linewidth=1.4, label="speed of the joints about the root")
    for kind, label in ((1, "gap"), (2, "long gap")):
        spans = [(float(frames[start]) - 0.5, end - start) for start, end in runs(video.watched.gap == kind)]
        if spans:
            transform = axes.get_xaxis_transform()
            axes.broken_barh(spans, (0, 1), transform=transform, color=_GAPS[kind], label=label, zorder=0)
    if lifted.kept is not None:
        kept = lifted.kept.nonzero().flatten()
        label = f"kept frames ({len(kept)} of {len(frames)})"
        axes.vlines(frames[kept], 0, speed[kept], color=_KEPT, linewidth=0.7, alpha=0.5)
        axes.scatter(frames[kept], speed[kept], s=10, color=_KEPT, label=label, zorder=3)
    for frame in chosen:
        axes.axvline(float(frames[frame]), color="#cdd1d8", linewidth=0.8, zorder=0)
    axes.set(xlabel="frame", ylabel="m/s" if video.fps else "m a frame", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    if lifted.spread.any():  # a single hypothesis has none
        spread, mean = axes.twinx(), 1000 * lifted.spread.mean(dim=1)
        spread.plot(frames, mean, color=_SPREAD, linewidth=1.0, linestyle=(0, (4, 2)))
        spread.set_ylabel("spread of the hypotheses, mm (dashed)", color=_SPREAD, fontsize=9)
        spread.set_ylim(0, None)
        spread.spines[["top"]].set_visible(False)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4, frameon=False, fontsize=9)
