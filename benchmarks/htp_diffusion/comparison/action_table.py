"""What an evaluation found: its JSON, a table action by action, and the table of all rows."""

from dataclasses import dataclass

from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Cell, Column, Table
from htp_diffusion.comparison.table import describe_model, eta_note, padding_note
from htp_diffusion.data.protocol import EvaluationProtocol
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.pose.space import PoseSpace
from htp_diffusion.scoring.action_scores import Evaluation, PoseErrors
from htp_diffusion.scoring.aggregation import AGGREGATIONS, NEEDS, Aggregation

_ERRORS = (("MPJPE, mm", "mpjpe", ".2f"), ("P-MPJPE, mm", "p_mpjpe", ".2f"))
_CORRECT = (("PCK, %", "pck", ".2f"), ("AUC, %", "auc", ".2f"))
_OVER_ACTIONS, _OVER_FRAMES = "average over actions", "average over frames"


@dataclass(frozen=True, kw_only=True)
class EvaluationRow:
    """One model, sampled in one way.

    Attributes:
        name: For tables.
        denoiser: What it is, as it samples.
        checkpoint: File name of its weights.
        trained_steps: Steps that it was trained for.
        trained_on: Scored motions that it was trained on.
        evaluation: What it scored.
    """

    name: str
    denoiser: DenoiserConfig
    checkpoint: str | None
    trained_steps: int | None
    trained_on: list[str]
    evaluation: Evaluation


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """A run: one data set, one protocol, models times ways to sample.

    Attributes:
        data: What was scored, in words.
        camera: Whose cameras saw it, in words.
        space: Layout, unit and frame of reference of the poses.
        notes: What else to know of the data.
        protocol: How it was scored.
        every: Every so many windows of each clip were sampled.
        device: Where.
        precision: fp32, tf32 or bf16.
        rows: What came out.
        provenance: Where the result comes from.
    """

    data: str
    camera: str
    space: dict[str, str]
    notes: list[str]
    protocol: EvaluationProtocol
    every: int
    device: str
    precision: str
    rows: list[EvaluationRow]
    provenance: Provenance


def action_table(row: EvaluationRow) -> Table:
    """One row of a result: actions down, ways to aggregate across."""
    scores, ways = row.evaluation, _ways(row.evaluation)
    metrics = _metrics(scores.over_frames)
    body: list[tuple[Cell, ...]] = [
        (score.action, score.frames, *_cells(score.errors, ways, metrics)) for score in scores.actions
    ]
    body.append((_OVER_ACTIONS, scores.frames, *_cells(scores.over_actions, ways, metrics)))
    body.append((_OVER_FRAMES, scores.frames, *_cells(scores.over_frames, ways, metrics)))
    heads = [Column(f"{head}: {_label(way, scores)}", spec) for way in ways for head, _, spec in metrics]
    return Table(
        title=f"{row.name}: T={row.denoiser.num_frames}, {scores.sampling.label}",
        columns=(Column("action"), Column("frames", ",d"), *heads),
        rows=tuple(body),
    )


def evaluation_table(result: EvaluationResult) -> Table:
    """All rows: the average over actions, as the field takes it, and the one over frames beside."""
    metrics = _metrics(result.rows[0].evaluation.over_frames)
    body = []
    for row in result.rows:
        scores = row.evaluation
        for way in _ways(scores):
            body.append(
                (
                    row.name,
                    scores.sampling.hypotheses,
                    scores.sampling.steps,
                    _label(way, scores),
                    *_cells(scores.over_actions, [way], metrics),
                    *_cells(scores.over_frames, [way], metrics),
                )
            )
    averages = [
        Column(f"{head}: {over}", spec) for over in ("actions", "frames") for head, _, spec in metrics
    ]
    return Table(
        title=f"Protocol {result.protocol.name}, {result.precision}, {result.device}",
        columns=(Column("model"), Column("H", "d"), Column("K", "d"), Column("aggregation"), *averages),
        rows=tuple(body),
        notes=tuple(_notes(result)),
    )


def _ways(scores: Evaluation) -> tuple[Aggregation, ...]:
    """The ways that differ: with one hypothesis, all are the same."""
    return AGGREGATIONS if scores.sampling.hypotheses > 1 else AGGREGATIONS[:1]


def _label(way: Aggregation, scores: Evaluation) -> str:
    return way.label if scores.sampling.hypotheses > 1 else "one hypothesis"


def _metrics(errors: dict[str, PoseErrors]) -> tuple[tuple[str, str, str], ...]:
    has_pck = all(one.pck is not None for one in errors.values())
    return _ERRORS + _CORRECT if has_pck else _ERRORS


def _cells(
    errors: dict[str, PoseErrors], ways: tuple[Aggregation, ...] | list[Aggregation], metrics: tuple
) -> list[Cell]:
    return [getattr(errors[way.name], name) for way in ways for _, name, _ in metrics]


def _notes(result: EvaluationResult) -> list[str]:
    first = result.rows[0].evaluation
    layout = PoseSpace.from_json(result.space, "the result").layout
    notes = [
        f"Data: {result.data}; {first.windows:,} windows, {first.frames:,} frames scored.",
        f"Cameras: {result.camera}. Root: {layout.joints[layout.root]}; "
        f"the predicted root: {result.protocol.root}.",
        f"Protocol {result.protocol.name}: {result.protocol.description}.",
        f"Over actions: each of the {len(first.actions)} actions counts the same, and each frame within one.",
    ]
    if result.every > 1:
        notes.append(f"A sample, not the whole set: one window in {result.every} of each clip.")
    if first.padded:
        notes.append(padding_note(first.padded))
    for row in {row.name: row for row in result.rows}.values():
        described = describe_model(
            row.name, row.checkpoint, row.trained_steps, row.denoiser, row.denoiser.num_frames
        )
        trained = (
            f" Not a test: {len(row.trained_on)} of the motions were trained on." if row.trained_on else ""
        )
        notes.append(described + trained)
    if len(_metrics(first.over_frames)) > len(_ERRORS):
        notes.append(
            "PCK at 150 mm, AUC over 0, 5, ..., 150 mm, in which a perfect pose has 96.77: of 14 joints "
            "(pelvis, spine and head left out), as the data set's own script; MPJPE of all 17."
        )
    if any(row.evaluation.sampling.hypotheses > 1 for row in result.rows):
        notes.append(f"{NEEDS} P-Best picks frame by frame (D3DP's code: once a batch).")
    return [*notes, eta_note(first.sampling.eta), *result.notes]
