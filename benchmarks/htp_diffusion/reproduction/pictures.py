"""Pictures of the run: errors against cost, poses beside the truth, sensitivity to k and k'."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from htp_diffusion.base.picture import save_png
from htp_diffusion.pose.layout import H36M_17

_TRUTH, _FIRST, _SECOND = "#9aa0a8", "#4c6a92", "#d1495b"
_PAPER = {"D3DP": (228.8, 35.4), "HTP n=1": (99.8, 29.9)}
"""GMACs a frame at H=20, K=10 and MPJPE in mm of the paper: HTP's error is that of its table of results."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedFrame:
    """A frame to draw.

    Attributes:
        title: Which, in words.
        truth: The true pose, metres, root-relative, camera frame.
        predicted: By model.
        errors: MPJPE of the frame by model, mm.
    """

    title: str
    truth: Float[Tensor, "joints 3"]
    predicted: dict[str, Float[Tensor, "joints 3"]]
    errors: dict[str, float]


def draw_poses(path: Path, frames: Sequence[PosedFrame], title: str) -> None:
    """Draw frames as rows: each model from the front and from the side, the truth behind it in grey.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    models = list(frames[0].predicted)
    views = (("front", 0), ("side", 2))
    figure = Figure(figsize=(2.2 * 2 * len(models), 2.4 * len(frames)), dpi=130, layout="constrained")
    panels = figure.subplots(len(frames), 2 * len(models), squeeze=False)
    for frame, row in zip(frames, panels, strict=True):
        places = [(model, view) for model in models for view in views]
        for (model, (view, axis)), panel in zip(places, row, strict=True):
            colour = (_FIRST, _SECOND)[models.index(model) % 2]
            _bones(panel, frame.truth, axis, _TRUTH)
            _bones(panel, frame.predicted[model], axis, colour)
            panel.set_title(f"{model}, {view}, {frame.errors[model]:.0f} mm", fontsize=8)
            panel.set_aspect("equal")
            panel.set_xticks([])
            panel.set_yticks([])
        row[0].set_ylabel(frame.title, fontsize=7)
    figure.suptitle(title, fontsize=10)
    save_png(figure, path)


def _bones(axes: Axes, pose: Float[Tensor, "joints 3"], axis: int, colour: str) -> None:
    across, down = pose[:, axis].tolist(), pose[:, 1].tolist()
    for joint, parent in enumerate(H36M_17.parents):
        if parent >= 0:
            axes.plot(
                [across[parent], across[joint]], [-down[parent], -down[joint]], color=colour, linewidth=1.6
            )


def draw_error_cost(path: Path, points: Sequence[tuple[str, float, float]], condition: str) -> None:
    """Draw errors against multiply-accumulates: what is measured here, and beside it what the paper says.

    Args:
        path: The PNG to write.
        points: Model, GMACs a frame and MPJPE in mm, measured here.
        condition: How it was measured.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    figure = Figure(figsize=(9.6, 3.8), dpi=130, layout="constrained")
    measured, quoted = figure.subplots(1, 2)
    paper = [(name, gmacs, error) for name, (gmacs, error) in _PAPER.items()]
    for axes, shown, title in (
        (measured, points, f"measured here: {condition}"),
        (quoted, paper, "quoted from the paper: Human3.6M, H=20, K=10"),
    ):
        for name, gmacs, error in shown:
            colour = _FIRST if name == "D3DP" else _SECOND
            axes.plot(gmacs, error, "o" if axes is measured else "s", color=colour)
            axes.annotate(name, (gmacs, error), textcoords="offset points", xytext=(6, 4), fontsize=8)
        axes.set(xlabel="GMACs a frame (THOP)", ylabel="MPJPE, mm")
        axes.set_title(title, fontsize=8)
        axes.margins(0.25)
        axes.spines[["top", "right"]].set_visible(False)
    save_png(figure, path)


def draw_sensitivity(
    path: Path, panels: Sequence[tuple[str, Sequence[tuple[float, float]], float]], condition: str
) -> None:
    """Draw the error over k and over k'.

    Args:
        path: The PNG to write.
        panels: Name of the number, its values with the MPJPE of each in mm, and the value trained with.
        condition: How it was measured.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    figure = Figure(figsize=(9.6, 3.6), dpi=130, layout="constrained")
    for axes, (name, points, trained) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        axes.plot([value for value, _ in points], [error for _, error in points], "o-", color=_SECOND)
        axes.axvline(trained, color=_TRUTH, linewidth=0.9, linestyle=(0, (4, 3)), label="as trained")
        axes.set(xlabel=name, ylabel="MPJPE, mm")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(condition, fontsize=9)
    save_png(figure, path)
