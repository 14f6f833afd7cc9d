"""What the study of the paper's claim found: its JSON and its table."""

from dataclasses import dataclass, field

from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.preset import Preset
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.studies.claims import MODELS, TIMES, Prediction
from htp_diffusion.studies.seeds_table import mean_and_deviation


@dataclass(frozen=True, kw_only=True)
class ClaimRow:
    """One trained model.

    Attributes:
        model: Key of ``MODELS``.
        seed: Of its weights and draws.
        denoiser: What it is.
        loss: Mean training loss over the last twentieth of the steps, mm.
        errors: Errors by H and K.
        prediction: Single predictions by diffusion time.
        steps: Its training steps, where they are not the study's: as many as fit into another model's time.
    """

    model: str
    seed: int
    denoiser: DenoiserConfig
    loss: float
    errors: dict[str, Errors]
    prediction: Prediction
    steps: int | None = field(default=None, metadata=ADDED_LATER)

    @property
    def name(self) -> str:
        """For tables."""
        return MODELS[self.model] + ("" if self.steps is None else f", {self.steps:,} steps")


@dataclass(frozen=True, kw_only=True)
class ClaimsResult:
    """A study.

    Attributes:
        preset: Name of the preset.
        sizes: The preset, with what was given in its place.
        motions: Recordings that were trained on.
        training_frames: Frames of them.
        scored: What was scored.
        every: N, where every N-th window of each clip was scored.
        frames: Frames scored.
        steps: Training steps.
        precision: Of training.
        seconds_per_step: Of all models together.
        device: Where.
        rows: The models.
        provenance: Where the result comes from.
        averaged: Whether weights averaged over the steps were scored, or those of the last step.
    """

    preset: str
    sizes: Preset
    motions: int
    training_frames: int
    scored: str
    every: int
    frames: int
    steps: int
    precision: str
    seconds_per_step: float
    device: str
    rows: list[ClaimRow]
    provenance: Provenance
    averaged: bool = field(default=True, metadata=ADDED_LATER)


def claims_table(result: ClaimsResult) -> Table:
    """A row for each model and each way to sample; several seeds as mean ± standard deviation."""
    cells = []
    for name in dict.fromkeys(row.name for row in result.rows):
        rows = [row for row in result.rows if row.name == name]
        for number, way in enumerate(rows[0].errors):
            errors = [row.errors[way] for row in rows]
            moving = [one.mpjve for one in errors if one.mpjve is not None]
            single = [row.prediction for row in rows] if number == 0 else []
            cells.append(
                (
                    name,
                    ", ".join(str(row.seed) for row in rows),
                    way,
                    mean_and_deviation([one.mpjpe for one in errors]),
                    mean_and_deviation([one.p_mpjpe for one in errors]),
                    mean_and_deviation(moving) if moving else None,
                    mean_and_deviation([row.loss for row in rows]) if single else None,
                    mean_and_deviation([one.mpjpe[0] for one in single]) if single else None,
                    mean_and_deviation([one.mpjpe[-1] for one in single]) if single else None,
                    mean_and_deviation([one.shuffled for one in single]) if single else None,
                )
            )
    sizes = result.sizes
    return Table(
        title=f"Trained alike: preset {result.preset}, {result.steps:,} steps, "
        f"{'averaged weights' if result.averaged else 'weights of the last step'}, {result.device}",
        columns=(
            Column("model"),
            Column("seeds"),
            Column("H x K"),
            Column("MPJPE, mm", source="measured"),
            Column("P-MPJPE, mm", source="measured"),
            Column("velocity error, mm/frame", source="measured"),
            Column("training loss, mm", source="measured"),
            Column(f"error at t={TIMES[0]}", source="measured"),
            Column(f"at t={TIMES[-1]}", source="measured"),
            Column("the same, 2D poses shuffled", source="measured"),
        ),
        rows=tuple(cells),
        notes=(
            f"T={sizes.num_frames}, D={sizes.dim}, depth {sizes.depth}; {sizes.batch_size} windows a step, "
            f"learning rate {sizes.learning_rate:g} falling by half a cosine; "
            f"{result.motions} recordings, {result.training_frames:,} frames; models of one seed on the same "
            "batches.",
            f"Scored: {result.scored}; one window in {result.every}, {result.frames:,} frames; eta 1, flip, "
            "mean of the hypotheses.",
            "Errors at t: of one prediction from the true pose noised to that diffusion time.",
        ),
    )
