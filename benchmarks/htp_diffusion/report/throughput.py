"""What timing one denoiser pass found: its JSON and its table."""

from dataclasses import dataclass

from htp_diffusion.report.measure import SpeedUp
from htp_diffusion.report.provenance import Provenance
from htp_diffusion.report.tables import Column, Table

BASELINE = "D3DP"
PUBLIC = "D3DP, public code"
_MEBIBYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class PassResult:
    """One model.

    Attributes:
        model: The model.
        seconds: Wall-clock of each pass.
        median: Of them, seconds.
        iqr: Their interquartile range, seconds.
        speed_up: Over D3DP, from the same rounds.
        true_gmacs: Every matrix product of a pass over the batch counted, G.
        peak_memory: Most bytes in use during a pass, over what was in use before (the weights); None where
            the system does not tell.
        fused_difference: Largest difference between the fused and the written-out attention, in float64, as a
            share of the largest output; None for the public code, which has one path and is compared with
            D3DP instead.
    """

    model: str
    seconds: list[float]
    median: float
    iqr: float
    speed_up: SpeedUp
    true_gmacs: float
    peak_memory: int | None
    fused_difference: float | None


@dataclass(frozen=True, kw_only=True)
class ThroughputResult:
    """A run.

    Attributes:
        frames, dim, depth, heads, batch: Sizes.
        device: Where.
        precision: fp32, tf32 or bf16.
        models: The models, D3DP first.
        provenance: Where the result comes from.
    """

    frames: int
    dim: int
    depth: int
    heads: int
    batch: int
    device: str
    precision: str
    models: list[PassResult]
    provenance: Provenance


def throughput_table(result: ThroughputResult) -> Table:
    """One row a model, with its time over D3DP's in the same rounds beside what the MACs allow."""
    baseline = result.models[0]
    frames = result.batch * result.frames
    rows = [
        (
            model.model,
            model.median,
            model.iqr,
            frames / model.median,
            model.speed_up.paired,
            f"{model.speed_up.paired_low:.2f} to {model.speed_up.paired_high:.2f}",
            baseline.true_gmacs / model.true_gmacs,
            model.true_gmacs,
            None if model.peak_memory is None else model.peak_memory / _MEBIBYTE,
        )
        for model in result.models
    ]
    worst = max(model.fused_difference or 0.0 for model in result.models)
    return Table(
        title=f"One denoiser pass: T={result.frames}, D={result.dim}, batch {result.batch}, "
        f"{result.precision}, {result.device}, {result.provenance.threads} threads",
        columns=(
            Column("model"),
            Column("median, s", ".3f"),
            Column("IQR, s", ".3f"),
            Column("frames/s", ".1f"),
            Column(f"times as fast as {BASELINE}", ".2f"),
            Column("quartiles"),
            Column("MACs allow", ".2f"),
            Column("true GMACs", ".2f"),
            Column("peak memory, MiB", ",.0f"),
        ),
        rows=tuple(rows),
        notes=(
            f"{len(baseline.seconds)} rounds, the models in turn in each; ratios are medians over rounds.",
            "Random weights. MACs: every matrix product, attention included. Peak memory: weights left out.",
            f"Checked before: fused and written-out attention agree in float64 (to {worst:.0e}).",
        ),
    )
