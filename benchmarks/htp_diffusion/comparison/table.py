"""The table of a comparison: a row per figure, a column per model."""

from adapters.clock import speed_up_notes
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.base.units import GIGA, MEBIBYTE, MEGA
from htp_diffusion.comparison.result import ComparisonResult, ModelResult
from htp_diffusion.data.protocol import EVERY_FRAME
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.scoring.aggregation import AGGREGATIONS, NEEDS
from htp_modules.config import resolve_frames

_FLUSH_RIGHT = ">"  # the cells are written here, since each row has its own format
_ETA = {0.0: "deterministic", 1.0: "fresh noise at each step"}


def comparison_table(result: ComparisonResult) -> Table:
    """The table: a row per figure, a column per model; notes say what each figure needs and means."""
    sampling, models = result.sampling, result.models
    rows: list[tuple[str, list[str]]] = []
    for label, name in (("MPJPE, mm", "mpjpe"), ("P-MPJPE, mm", "p_mpjpe")):
        for way in AGGREGATIONS:
            rows.append((f"{label}: {way.label}", [_error(model, way.name, name) for model in models]))
    default = AGGREGATIONS[0].name
    if models[0].scores.over_frames[default].pck is not None:
        for label, name in (("PCK, %", "pck"), ("AUC, %", "auc")):
            rows.append((f"{label}: {default}", [_error(model, default, name) for model in models]))
    rows += [
        (f"velocity error, mm/frame: {default}", [_error(model, default, "mpjve") for model in models]),
        ("frames/s", [_shown(model.frames_per_second, ",.1f") for model in models]),
        (f"times as fast as {models[0].name}", ["1", *(_speed_up(model) for model in models[1:])]),
        ("GMACs/frame, THOP", [_shown(model.thop_macs_per_frame, ".4g", GIGA) for model in models]),
        ("GMACs/frame, in full", [_shown(model.true_macs_per_frame, ".4g", GIGA) for model in models]),
        ("parameters, M", [_shown(model.params, ".3f", MEGA) for model in models]),
        ("peak memory, MiB", [_shown(model.peak_memory, ",.0f", MEBIBYTE) for model in models]),
    ]
    return Table(
        title=", ".join(
            (
                f"T={result.window_frames}, {sampling.label}",
                result.precision,
                *((result.run,) if result.run != "eager" else ()),
                result.device,
            )
        ),
        columns=(Column("figure"), *(Column(model.name, _FLUSH_RIGHT) for model in models)),
        rows=tuple((name, *cells) for name, cells in rows),
        notes=tuple(_notes(result)),
    )


def _notes(result: ComparisonResult) -> list[str]:
    sampling, models = result.sampling, result.models
    notes = [f"Data: {result.data}; {result.windows} windows, {result.frames:,} frames scored."]
    if result.protocol != EVERY_FRAME:
        notes.append(f"Protocol {result.protocol.name}: {result.protocol.description}.")
    notes += special_notes(result)
    if any(model.checkpoint is None for model in models):
        notes.append("untrained: errors mean nothing (random weights); speed and MACs hold.")
    if result.trained_on:
        notes.append(f"Not a test: {len(result.trained_on)} of the motions were trained on.")
    notes += [
        describe_model(
            model.name, model.checkpoint, model.trained_steps, model.denoiser, result.window_frames
        )
        for model in models
    ]
    notes += [
        f"{model.name}: f={model.early_keep} at every step but the last: approximate; "
        f"{sampling.early_passes} of the {sampling.passes} passes."
        for model in models
        if model.early_keep is not None
    ]
    notes += [
        NEEDS,
        eta_note(sampling.eta),
        f"Speed: sampling alone, models in turn on each of {len(models[0].seconds)} batches of "
        f"{sampling.batch_size} windows; medians [quartiles].",
        *speed_up_notes(
            [model.speed_up for model in models if model.speed_up is not None], len(models[0].seconds)
        ),
        f"MACs: {sampling.passes} passes a window / {result.window_frames} frames; in full: attention and "
        "bare products too, which THOP does not see.",
        "Peak memory: of sampling one batch, weights left out.",
    ]
    return notes


def special_notes(result: ComparisonResult) -> list[str]:
    """What is special about the data and what was scored of it; nothing if nothing is."""
    notes = []
    if result.every > 1:
        notes.append(f"A sample, not the whole set: one window in {result.every} of each clip.")
    if result.padded:
        notes.append(f"{result.padded} clips are shorter than a window: padded, the padding not scored.")
    if result.models[0].scores.over_frames[AGGREGATIONS[0].name].pck is not None:
        notes.append(
            "PCK at 150 mm, AUC over 0, 5, ..., 150 mm, in which a perfect pose has 96.77: of 14 joints "
            "(pelvis, spine and head left out), as the data set's own script; MPJPE of all 17."
        )
    return [*notes, *result.notes]


def describe_model(
    name: str, checkpoint: str | None, trained_steps: int | None, denoiser: DenoiserConfig, num_frames: int
) -> str:
    """A model in one sentence: its weights, and how it prunes windows of so many frames."""
    if checkpoint is None:
        weights = "random weights"
    else:
        training = "published by others" if trained_steps is None else f"{trained_steps:,} training steps"
        weights = f"{checkpoint}, {training}"
    htp = denoiser.htp
    if htp is None:
        return f"{name}: {weights}."
    keep, neighbors = (resolve_frames(value, num_frames) for value in (htp.num_keep, htp.num_neighbors))
    return f"{name}: {weights}; n={htp.num_sft_layers}, f={keep}, k={neighbors}."


def eta_note(eta: float) -> str:
    """What an eta means."""
    return f"eta {eta:g}: {_ETA.get(eta, 'between the two')} (D3DP's code 1, the paper 0)."


def _error(model: ModelResult, way: str, name: str) -> str:
    return _shown(getattr(model.scores.over_frames[way], name), ".2f")


def _speed_up(model: ModelResult) -> str:
    return "-" if model.speed_up is None else model.speed_up.told(len(model.seconds))


def _shown(value: float | None, spec: str, unit: float = 1) -> str:
    return "-" if value is None else format(value / unit, spec)
