"""Poses of models beside the truth, as the paper's Figure 6 (chosen frames) and Figure 7 (the worst)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from htp_diffusion.base.picture import save_png
from htp_diffusion.data.motion import Windows
from htp_diffusion.data.protocol import Root, place_root
from htp_diffusion.pose.layout import H36M_17, Layout
from htp_diffusion.pose.view import draw_bones, seen_from
from htp_diffusion.scoring.metrics import mpjpe

SHOWN = 6
_TRUTH = "#b9bec8"

View = Literal["front", "side"]
_AZIMUTHS: dict[View, float] = {"front": 0.0, "side": 90.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class ScoredFrames:
    """The scored frames of all clips, one after the other.

    Attributes:
        names: Of each frame: its clip and its number there.
        truth: The true poses in metres, camera frame, relative to the root.
        predicted: By model: the mean of the hypotheses, as it is scored.
        errors: By model: MPJPE of each frame, mm.
        layout: Which joints they are.
    """

    names: tuple[str, ...]
    truth: Float[Tensor, "frames joints 3"]
    predicted: dict[str, Float[Tensor, "frames joints 3"]]
    errors: dict[str, Float[Tensor, " frames"]]
    layout: Layout = H36M_17

    def spread_out(self, count: int = SHOWN) -> list[int]:
        """Frames at even distances."""
        inner = torch.linspace(0, len(self.names) - 1, count + 2)[1:-1]
        return inner.round().long().unique().tolist()

    def worst(self, model: str, apart: int, count: int = SHOWN) -> list[int]:
        """The frames of a model's largest errors, the worst first.

        Args:
            model: Whose.
            apart: Frames that lie nearer to one that is taken than this are passed over: they show the same.
            count: Most frames.
        """
        taken: list[int] = []
        for frame in self.errors[model].argsort(descending=True, stable=True).tolist():
            if all(abs(frame - other) >= apart for other in taken):
                taken.append(frame)
            if len(taken) == count:
                break
        return taken


def scored_frames(
    clips: Sequence[Windows],
    means: dict[str, Float[Tensor, "windows frames joints 3"]],
    root: Root = "as predicted",
    layout: Layout = H36M_17,
) -> ScoredFrames:
    """Put the scored frames of clips together.

    Args:
        clips: What was sampled, cut into windows.
        means: By model: the mean of the hypotheses of every window, in the clips' order.
        root: How the protocol has the predicted root.
        layout: Which joints they are.
    """

    def scored(windows: Sequence[Tensor]) -> Tensor:
        pairs = zip(clips, windows, strict=True)
        return torch.cat([clip.to_metres(poses)[clip.scored] for clip, poses in pairs])

    sizes = [len(clip.start) for clip in clips]
    truth = scored([clip.pose_3d for clip in clips])
    predicted = {
        name: scored(place_root(poses[: sum(sizes)].cpu(), root, layout).split(sizes))
        for name, poses in means.items()
    }
    names = [
        f"{clip.name}, {int(start) + frame}"
        for clip in clips
        for start, marks in zip(clip.start, clip.scored, strict=True)
        for frame in marks.nonzero().flatten().tolist()
    ]
    errors = {name: mpjpe(poses, truth) for name, poses in predicted.items()}
    return ScoredFrames(names=tuple(names), truth=truth, predicted=predicted, errors=errors, layout=layout)


def draw_poses(
    path: Path,
    frames: ScoredFrames,
    chosen: Sequence[int],
    title: str,
    views: Sequence[View] = ("front",),
) -> None:
    """Draw chosen frames: the truth, and each model over it with its error.

    Args:
        path: The PNG to write.
        frames: The frames there are.
        chosen: Which.
        title: What they are chosen for.
        views: A row each, for the truth and for every model; the camera sees the person from the front.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    rows: list[tuple[str, Tensor, View]] = [
        (name, poses, view)
        for name, poses in {"truth": frames.truth, **frames.predicted}.items()
        for view in views
    ]
    figure = Figure(figsize=(2.1 * len(chosen) + 0.6, 2.4 * len(rows) + 0.6), dpi=120, layout="constrained")
    grid = figure.subplots(len(rows), len(chosen), squeeze=False)
    reach = 1.1 * float(frames.truth[list(chosen)].abs().amax()) or 1.0
    for axes, frame in zip(grid[0], chosen, strict=True):
        axes.set_title(frames.names[frame], fontsize=7, parse_math=False)
    for (name, poses, view), cells in zip(rows, grid, strict=True):
        for frame, axes in zip(chosen, cells, strict=True):
            azimuth = _AZIMUTHS[view]
            if name != "truth":
                behind = seen_from(frames.truth[frame], azimuth)
                draw_bones(axes, behind, layout=frames.layout, width=3.0, colour=_TRUTH)
                text = f"{frames.errors[name][frame]:.0f} mm"
                axes.text(0.97, 0.03, text, transform=axes.transAxes, ha="right", fontsize=8)
            draw_bones(axes, seen_from(poses[frame], azimuth), layout=frames.layout)
            axes.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[], aspect="equal")
            axes.spines[:].set_color("#cdd1d8")
        label = name if len(views) == 1 else f"{name}, {view}"
        cells[0].set_ylabel(label, fontsize=9, parse_math=False)
    figure.suptitle(title, fontsize=10, parse_math=False)
    save_png(figure, path)
