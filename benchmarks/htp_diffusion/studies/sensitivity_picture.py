"""The picture of a sensitivity: the error over k and over k'."""

from pathlib import Path

from matplotlib.figure import Figure

from htp_diffusion.base.picture import save_png
from htp_diffusion.studies.sensitivity import Sensitivity

_LINE, _AS_TRAINED = "#d1495b", "#9aa0a8"


def draw_sensitivity(path: Path, result: Sensitivity) -> None:
    """Draw the error over k and over k', and mark the values that the model was trained with.

    Args:
        path: The PNG to write.
        result: What to draw.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    figure = Figure(figsize=(9.6, 3.6), dpi=130, layout="constrained")
    for axes, (name, points, trained) in zip(figure.subplots(1, 2), result.panels, strict=True):
        axes.plot([value for value, _ in points], [error for _, error in points], "o-", color=_LINE)
        axes.axvline(trained, color=_AS_TRAINED, linewidth=0.9, linestyle=(0, (4, 3)), label="as trained")
        axes.set(xlabel=name, ylabel="MPJPE, mm")
        axes.legend(frameon=False, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(result.condition, fontsize=9)
    save_png(figure, path)
