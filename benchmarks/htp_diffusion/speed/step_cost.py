"""What measuring training steps found: its JSON and its table."""

from dataclasses import dataclass

from adapters.clock import SpeedUp, speed_up_notes
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.base.units import MEBIBYTE
from htp_modules.config import resolve_frames


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """One model.

    Attributes:
        model: The model.
        seconds: Wall-clock of each step: forward, backward, clipping, AdamW.
        median: Of them, seconds.
        iqr: Their interquartile range, seconds.
        speed_up: Over the baseline, from the same rounds.
        true_gmacs: Every matrix product of a forward pass over the batch, G.
        resident: Bytes of the weights, the buffers and AdamW's moments.
        peak_memory: Most bytes in use during a step, over what was in use before: activations and gradients;
            None where the system does not tell.
    """

    model: str
    seconds: list[float]
    median: float
    iqr: float
    speed_up: SpeedUp
    true_gmacs: float
    resident: int
    peak_memory: int | None


@dataclass(frozen=True, kw_only=True)
class TrainingCost:
    """A run.

    Attributes:
        frames, dim, depth, heads, batch: Sizes.
        num_keep: f of HTP, frames or share.
        device: Where.
        precision: fp32, tf32, bf16 or fp16.
        models: The models, the baseline first.
        provenance: Where the result comes from.
    """

    frames: int
    num_keep: int | float
    dim: int
    depth: int
    heads: int
    batch: int
    device: str
    precision: str
    models: list[StepResult]
    provenance: Provenance


def step_table(result: TrainingCost) -> Table:
    """One row a model: its time and memory, and both over the baseline's."""
    baseline = result.models[0]
    rows = [
        (
            model.model,
            model.median,
            model.iqr,
            model.speed_up.cell(len(model.seconds)),
            f"{model.speed_up.paired_low:.2f} to {model.speed_up.paired_high:.2f}",
            baseline.true_gmacs / model.true_gmacs,
            None if model.peak_memory is None else model.peak_memory / MEBIBYTE,
            model.resident / MEBIBYTE,
            _ratio(model, baseline),
        )
        for model in result.models
    ]
    return Table(
        title=f"One training step: T={result.frames}, f={resolve_frames(result.num_keep, result.frames)}, "
        f"D={result.dim}, batch {result.batch}, {result.precision}, {result.device}, "
        f"{result.provenance.told_threads}",
        columns=(
            Column("model"),
            Column("median, s", ".3f"),
            Column("IQR, s", ".3f"),
            Column(f"times as fast as {baseline.model}", ".2f"),
            Column("quartiles"),
            Column("MAC ratio", ".2f"),
            Column("step's peak, MiB", ",.0f"),
            Column("weights and moments, MiB", ",.0f"),
            Column("memory ratio to first", ".2f"),
        ),
        rows=tuple(rows),
        notes=(
            *speed_up_notes([model.speed_up for model in result.models], len(baseline.seconds)),
            f"{len(baseline.seconds)} rounds, the models in turn in each; ratios are medians over rounds.",
            "A step: forward, backward, clipping, AdamW, on a batch that is there. MACs: of a forward pass, "
            "every matrix product, attention included.",
            "Peak: activations and gradients, over what was in use before. The last column adds both.",
        ),
    )


def _ratio(model: StepResult, baseline: StepResult) -> float | None:
    if model.peak_memory is None or baseline.peak_memory is None:
        return None
    return (model.peak_memory + model.resident) / (baseline.peak_memory + baseline.resident)
