"""Tables of an evaluation: action by action, and all its rows."""

from collections.abc import Sequence

from htp_diffusion.base.tables import Cell, Column, Table
from htp_diffusion.comparison.result import ComparisonResult, EvaluationResult
from htp_diffusion.comparison.table import describe_model, eta_note, special_notes
from htp_diffusion.pose.space import PoseSpace
from htp_diffusion.scoring.aggregation import AGGREGATIONS, NEEDS, Aggregation
from htp_diffusion.scoring.clip_scores import Errors

_ERRORS = (("MPJPE, mm", "mpjpe", ".2f"), ("P-MPJPE, mm", "p_mpjpe", ".2f"))
_CORRECT = (("PCK, %", "pck", ".2f"), ("AUC, %", "auc", ".2f"))
_OVER_ACTIONS, _OVER_FRAMES = "average over actions", "average over frames"


def action_tables(result: ComparisonResult) -> list[Table]:
    """A table for each model: a row per action, a column per way to aggregate."""
    ways = _ways(result)
    tables = []
    for model in result.models:
        scores = model.scores
        metrics = _metrics(scores.over_frames)
        body: list[tuple[Cell, ...]] = [
            (score.action, score.frames, *_cells(score.errors, ways, metrics)) for score in scores.actions
        ]
        frames = sum(score.frames for score in scores.actions)
        body.append((_OVER_ACTIONS, frames, *_cells(scores.over_actions, ways, metrics)))
        body.append((_OVER_FRAMES, frames, *_cells(scores.over_frames, ways, metrics)))
        heads = [Column(f"{head}: {_label(way, result)}", spec) for way in ways for head, _, spec in metrics]
        tables.append(
            Table(
                title=f"{model.name}: T={model.denoiser.num_frames}, {result.sampling.label}",
                columns=(Column("action"), Column("frames", ",d"), *heads),
                rows=tuple(body),
            )
        )
    return tables


def evaluation_table(evaluation: EvaluationResult) -> Table:
    """All models and ways to sample: the average over actions, as the field has it, and that over frames."""
    results = evaluation.rows
    first = results[0]
    metrics = _metrics(first.models[0].scores.over_frames)
    body = []
    for result in results:
        for model in result.models:
            for way in _ways(result):
                body.append(
                    (
                        model.name,
                        result.sampling.hypotheses,
                        result.sampling.steps,
                        _label(way, result),
                        *_cells(model.scores.over_actions, [way], metrics),
                        *_cells(model.scores.over_frames, [way], metrics),
                    )
                )
    averages = [
        Column(f"{head}: {over}", spec) for over in ("actions", "frames") for head, _, spec in metrics
    ]
    return Table(
        title=f"Protocol {first.protocol.name}, {first.precision}, {first.device}",
        columns=(Column("model"), Column("H", "d"), Column("K", "d"), Column("aggregation"), *averages),
        rows=tuple(body),
        notes=tuple(_notes(results)),
    )


def _ways(result: ComparisonResult) -> tuple[Aggregation, ...]:
    """The ways to show: with one hypothesis all agree, and one is enough."""
    return AGGREGATIONS if result.sampling.hypotheses > 1 else AGGREGATIONS[:1]


def _label(way: Aggregation, result: ComparisonResult) -> str:
    return way.label if result.sampling.hypotheses > 1 else "one hypothesis"


def _metrics(errors: dict[str, Errors]) -> tuple[tuple[str, str, str], ...]:
    has_pck = all(one.pck is not None for one in errors.values())
    return _ERRORS + _CORRECT if has_pck else _ERRORS


def _cells(
    errors: dict[str, Errors], ways: Sequence[Aggregation], metrics: Sequence[tuple[str, str, str]]
) -> list[Cell]:
    return [getattr(errors[way.name], name) for way in ways for _, name, _ in metrics]


def _notes(results: Sequence[ComparisonResult]) -> list[str]:
    first = results[0]
    layout = PoseSpace.from_json(first.space, "the result").layout
    actions = len(first.models[0].scores.actions)
    notes = [
        f"Data: {first.data}; {first.windows:,} windows, {first.frames:,} frames scored.",
        f"Cameras: {first.camera}. Root: {layout.joints[layout.root]}; "
        f"the predicted root: {first.protocol.root}.",
        f"Over actions: each of the {actions} actions counts the same, and each frame within one.",
        f"Protocol {first.protocol.name}: {first.protocol.description}.",
        *special_notes(first),
    ]
    described = {model.name: (model, result) for result in results for model in result.models}
    for model, result in described.values():
        told = describe_model(
            model.name, model.checkpoint, model.trained_steps, model.denoiser, model.denoiser.num_frames
        )
        count = len(result.trained_on)
        notes.append(told + (f" Not a test: {count} of the motions were trained on." if count else ""))
    if any(result.sampling.hypotheses > 1 for result in results):
        notes.append(f"{NEEDS} P-Best picks frame by frame (D3DP's code: once a batch).")
    return [*notes, eta_note(first.sampling.eta)]
