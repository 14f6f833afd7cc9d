"""One line a trained model, from comparisons on the same clips: what a user chooses a size by."""

from collections.abc import Sequence

from htp_diffusion.base.tables import Cell, Column, Table
from htp_diffusion.base.units import KILO, MEGA
from htp_diffusion.comparison.result import ComparisonResult, ModelResult
from htp_diffusion.models.config import DenoiserConfig


def size_table(results: Sequence[ComparisonResult]) -> Table:
    """Parameters, operations, time and errors of each model.

    Args:
        results: One a size, all at the same H and K; the mean of the hypotheses is told.
    """
    made = [result.provenance for result in results]
    machines = {f"{one.cpu}, {one.told_threads}" for one in made}
    return Table(
        title=f"Sizes: {results[0].sampling.label}, {results[0].precision}, {results[0].device}",
        columns=(
            Column("checkpoint"),
            Column("model"),
            Column("T", "d"),
            Column("D", "d"),
            Column("pairs", "d"),
            Column("parameters, M", ".3f"),
            Column("MMACs/frame, in full", ",.1f"),
            Column("ms a second of video", ",.1f", "measured"),
            Column("MPJPE, mm", ".1f", "measured"),
            Column("P-MPJPE, mm", ".1f", "measured"),
        ),
        rows=tuple(_row(model) for result in results for model in result.models),
        notes=(
            f"Scored: {results[0].data}.",
            f"A second of video: 60 frames. {'; '.join(sorted(machines))}; models of a size in turn, one "
            "size after another.",
        ),
    )


def _row(model: ModelResult) -> tuple[Cell, ...]:
    config, errors = model.denoiser, model.scores.over_frames["mean"]
    assert isinstance(config, DenoiserConfig)  # noqa: S101
    pruning = "" if config.htp is None else f" n={config.htp.num_sft_layers}"
    return (
        (model.checkpoint or "-").removesuffix(".json"),
        f"{model.name}{pruning}",
        config.num_frames,
        config.dim,
        config.depth,
        (model.params or 0) / MEGA,
        (model.true_macs_per_frame or 0.0) / MEGA,
        None if model.frames_per_second is None else 60 * KILO / model.frames_per_second,
        errors.mpjpe,
        errors.p_mpjpe,
    )
