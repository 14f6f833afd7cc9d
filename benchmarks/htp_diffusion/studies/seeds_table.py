"""What several seeds of each model give: the JSON and the table."""

import statistics
from dataclasses import dataclass

from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.weights import Weights
from htp_diffusion.scoring.clip_scores import Errors


@dataclass(frozen=True, kw_only=True)
class Run:
    """One checkpoint.

    Attributes:
        model: Its kind, and n of an HTP.
        denoiser: What it is.
        seed: Of its training.
        steps: Training steps done.
        motions: Motions that it was trained on.
        sha256: Hash of its weights.
    """

    model: str
    denoiser: DenoiserConfig
    seed: int
    steps: int
    motions: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class SeedErrors:
    """The errors of one checkpoint, sampled one way.

    Attributes:
        run: The checkpoint.
        hypotheses: H.
        denoising_steps: K.
        errors: Of the mean of the hypotheses, over all scored frames.
    """

    run: Run
    hypotheses: int
    denoising_steps: int
    errors: Errors


@dataclass(frozen=True, kw_only=True)
class SeedStudy:
    """A study.

    Attributes:
        data: What was scored.
        weights: The running average over training steps, or those of the last step.
        every: N, where every N-th window of each clip was scored.
        frames: Frames scored.
        eta: Noise put back at each denoising step.
        flip: Whether predictions were averaged with those of the mirrored input.
        device: Where.
        rows: Every checkpoint, sampled every way.
        provenance: Where the result comes from.
    """

    data: str
    weights: Weights
    every: int
    frames: int
    eta: float
    flip: bool
    device: str
    rows: list[SeedErrors]
    provenance: Provenance


def mean_and_deviation(values: list[float]) -> str:
    """Mean ± sample standard deviation (n - 1); of one value, the value alone."""
    mean = f"{statistics.fmean(values):.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def seeds_table(study: SeedStudy) -> Table:
    """One row for each way to sample and each model."""
    ways = list(dict.fromkeys((row.hypotheses, row.denoising_steps) for row in study.rows))
    models = list(dict.fromkeys(row.run.model for row in study.rows))
    cells = []
    for way in ways:
        for model in models:
            rows = sorted(
                (
                    row
                    for row in study.rows
                    if row.run.model == model and (row.hypotheses, row.denoising_steps) == way
                ),
                key=lambda row: row.run.seed,
            )
            moving = [row.errors.mpjve for row in rows if row.errors.mpjve is not None]
            cells.append(
                (
                    f"H={way[0]}, K={way[1]}",
                    model,
                    mean_and_deviation([row.errors.mpjpe for row in rows]),
                    ", ".join(f"{row.errors.mpjpe:.1f}" for row in rows),
                    mean_and_deviation([row.errors.p_mpjpe for row in rows]),
                    mean_and_deviation(moving) if moving else None,
                )
            )
    return Table(
        title="Seeds: mean ± standard deviation",
        columns=(
            Column("sampling"),
            Column("model"),
            Column("MPJPE, mm"),
            Column("of each seed"),
            Column("P-MPJPE, mm"),
            Column("velocity error, mm/frame"),
        ),
        rows=tuple(cells),
        notes=(
            f"Data: {study.data}; one window in {study.every}, {study.frames:,} frames scored.",
            *(_told(study, model) for model in models),
            f"{study.weights.capitalize()} weights; eta {study.eta:g}, "
            f"{'flip' if study.flip else 'no flip'}, mean of the hypotheses.",
        ),
    )


def _told(study: SeedStudy, model: str) -> str:
    """What the runs of a model were, in words."""
    runs = {row.run.seed: row.run for row in study.rows if row.run.model == model}
    steps = sorted({run.steps for run in runs.values()})
    budget = " or ".join(f"{count:,}" for count in steps)
    sizes = next(iter(runs.values())).denoiser
    return (
        f"{model}: T={sizes.num_frames}, D={sizes.dim}, depth {sizes.depth}; "
        f"seeds {', '.join(map(str, sorted(runs)))}; {budget} training steps."
    )
