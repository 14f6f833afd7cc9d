"""Picture of the run: errors against cost."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from htp_diffusion.base.picture import save_png
from htp_diffusion.speed.paper_tables import printed

_FIRST, _SECOND = "#4c6a92", "#d1495b"
_PAPER = {
    name: (
        printed("Table V", name, "GMACs a frame, H=20, K=10"),
        printed("Table I", name.partition(" ")[0], "MPJPE, mm, CPN 2D"),
    )
    for name in ("D3DP", "HTP n=1")
}
"""GMACs a frame and MPJPE in mm of the paper: HTP's error is that of its table of results."""


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
