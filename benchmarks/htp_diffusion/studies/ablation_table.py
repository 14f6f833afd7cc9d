"""What the ablations found: their JSON, a table for each of the paper's, and a picture."""

import os
import statistics
from dataclasses import dataclass, replace

from matplotlib.figure import Figure

from adapters.clock import told_speed_up
from htp_diffusion.base.picture import save_png
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.base.units import GIGA, MEGA
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.variants import VariantConfig
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.studies.paper_rows import TABLES, Recipe, TableName
from htp_diffusion.studies.seeds_table import mean_and_deviation

_MARKERS = "os^Dvp*XPh"
_PANELS_IN_A_ROW = 3


@dataclass(frozen=True, kw_only=True)
class AblationRow:
    """One row of one table.

    Attributes:
        table: The paper's table.
        setting: The row.
        sampled: The model as it samples.
        training: Name of the training whose weights it has; rows of one name differ at inference alone.
        errors: Mean errors of the test windows, one for each seed.
        final_losses: Mean training loss over the last twentieth of the steps, mm, one for each seed.
        thop_gmacs: Multiply-accumulates of a pass over a window by THOP, in the paper's convention, G.
        true_gmacs: Every matrix product counted, attention included, G.
        params_m: Parameters, M.
        speed_up: Frames a second over those of D3DP in the same rounds: median.
        speed_up_low, speed_up_high: Quartiles.
        paper_mpjpe: The paper's error, mm; None if it has none.
        paper_gmacs: The paper's multiply-accumulates, G; None if it has none.
    """

    table: TableName
    setting: str
    sampled: VariantConfig
    training: str
    errors: list[Errors]
    final_losses: list[float]
    thop_gmacs: float
    true_gmacs: float
    params_m: float
    speed_up: float
    speed_up_low: float
    speed_up_high: float
    paper_mpjpe: float | None
    paper_gmacs: float | None

    @property
    def mpjpe(self) -> float:
        """Mean over the seeds, mm."""
        return statistics.fmean(errors.mpjpe for errors in self.errors)

    @property
    def true_mmacs_per_frame(self) -> float:
        """Multiply-accumulates of a pass by frame of the window, M."""
        return (GIGA / MEGA) * self.true_gmacs / self.sampled.denoiser.num_frames


@dataclass(frozen=True, kw_only=True)
class AblationResult:
    """A sweep.

    Attributes:
        preset: Sizes.
        whole: HTP with everything on, which the other rows are compared with.
        recipe: How every row was trained.
        seeds: Seeds of the trainings.
        scored: What was scored.
        every: N, where every N-th window of each clip was scored.
        frames: Frames scored.
        sampling: How it was sampled.
        device: Where.
        rows: The rows, table by table.
        provenance: Where the result comes from.
    """

    preset: str
    whole: VariantConfig
    recipe: Recipe
    seeds: tuple[int, ...]
    scored: str
    every: int
    frames: int
    sampling: Sampling
    device: str
    rows: list[AblationRow]
    provenance: Provenance


def ablation_tables(result: AblationResult) -> list[Table]:
    """A table for each of the paper's that was run; below the last what holds for all of them."""
    *others, last = (_table(result, name) for name in _tables_in(result))
    return [*others, replace(last, notes=_notes(result))]


def draw_ablation(path: str | os.PathLike[str], result: AblationResult) -> None:
    """Draw error against multiply-accumulates, a panel a table; bars from the lowest to the highest seed.

    Args:
        path: The PNG to write.
        result: What was found.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    tables = _tables_in(result)
    columns = min(_PANELS_IN_A_ROW, len(tables))
    lines = -(-len(tables) // columns)
    figure = Figure(figsize=(5.0 * columns, 5.2 * lines), dpi=130, layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False).flatten()
    for axes in panels[len(tables) :]:
        axes.set_visible(False)
    for table, axes in zip(tables, panels, strict=False):
        for number, row in enumerate(row for row in result.rows if row.table == table):
            seeds = [errors.mpjpe for errors in row.errors]
            axes.errorbar(
                row.true_mmacs_per_frame,
                row.mpjpe,
                yerr=[[row.mpjpe - min(seeds)], [max(seeds) - row.mpjpe]],
                fmt=_MARKERS[number % len(_MARKERS)],
                color=f"C{number % 10}",
                markersize=8,
                alpha=0.85,  # one may lie on another
                capsize=3,
                label=row.setting,
            )
        axes.margins(0.15)
        axes.set_title(TABLES[table], fontsize="medium", wrap=True)
        axes.set(xlabel="multiply-accumulates of a pass, M/frame", ylabel="MPJPE, mm")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize="small", frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
    save_png(figure, path)


def _tables_in(result: AblationResult) -> list[TableName]:
    return list(dict.fromkeys(row.table for row in result.rows))


def _table(result: AblationResult, name: TableName) -> Table:
    rows = [row for row in result.rows if row.table == name]
    [whole, *_] = [row for row in rows if row.sampled == result.whole]
    cells = []
    for row in rows:
        moving = [errors.mpjve for errors in row.errors if errors.mpjve is not None]
        paper = None
        if row.paper_mpjpe is not None and whole.paper_mpjpe is not None:
            paper = row.paper_mpjpe - whole.paper_mpjpe
        cells.append(
            (
                row.setting,
                mean_and_deviation([errors.mpjpe for errors in row.errors]),
                row.paper_mpjpe,
                row.mpjpe - whole.mpjpe,
                paper,
                mean_and_deviation([errors.p_mpjpe for errors in row.errors]),
                mean_and_deviation(moving) if moving else None,
                row.thop_gmacs,
                row.paper_gmacs,
                row.true_gmacs,
                row.true_mmacs_per_frame,
                told_speed_up(row.speed_up, row.speed_up_low, row.speed_up_high),
                mean_and_deviation(row.final_losses),
            )
        )
    here = f"preset {result.preset}, {result.recipe.training_steps:,} training steps"
    return Table(
        title=f"{TABLES[name]}; here: {here}",
        columns=(
            Column("setting"),
            Column("MPJPE, mm", ".1f", "measured"),
            Column("paper, mm", ".1f", "quoted"),
            Column("difference from HTP", "+.1f", "measured"),
            Column("paper, difference from HTP", "+.1f", "quoted"),
            Column("P-MPJPE, mm", ".1f", "measured"),
            Column("velocity error, mm/frame", ".1f", "measured"),
            Column("GMACs a pass, THOP", ".3f", "measured"),
            Column("paper, THOP", "g", "quoted"),
            Column("true", ".3f", "measured"),
            Column("true, M/frame", ".1f", "measured"),
            Column("times as fast as D3DP", source="measured"),
            Column("training loss, mm", ".1f", "measured"),
        ),
        rows=tuple(cells),
    )


def _notes(result: AblationResult) -> tuple[str, ...]:
    whole, sampling, recipe = result.whole.denoiser, result.sampling, result.recipe
    trained_on = "procedural motion" if recipe.data is None else f"{recipe.data} and procedural motion"
    several = (
        f"{len(result.seeds)} seeds (mean ± standard deviation)" if len(result.seeds) > 1 else "one seed"
    )
    return (
        f"T={whole.num_frames}, D={whole.dim}, depth {whole.depth} unless the row says otherwise; "
        f"each row trained on {trained_on}, {recipe.batch_size} windows a step, {several}.",
        f"Scored: {result.scored}; one window in {result.every}, {result.frames:,} frames; "
        f"H={sampling.hypotheses}, K={sampling.steps}, eta {sampling.eta:g}, "
        f"{'flip' if sampling.flip else 'no flip'}, mean of the hypotheses.",
        "The paper: Human3.6M, CPN 2D poses, T=243, D=512. Difference from HTP: the row's error less that of "
        "HTP with all its modules.",
        f"Speed: frames a second of one pass on {result.device}, all rows in turn; medians [quartiles].",
    )
