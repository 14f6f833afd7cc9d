"""What a sampling benchmark found: its JSON, and the one table that it prints."""

from dataclasses import dataclass, field

from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.scoring.aggregation import AGGREGATIONS, NEEDS
from htp_diffusion.scoring.clip_scores import Scores
from htp_diffusion.speed.measure import SpeedUp, speed_up_notes
from htp_modules.config import resolve_frames

_GIGA, _MEGA, _MEBIBYTE = 1e9, 1e6, 2**20
_FLUSH_RIGHT = ">"  # the cells are written here, since each row has its own format
_ETA = {0.0: "deterministic", 1.0: "fresh noise at each step"}


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model.

    Attributes:
        name: For tables.
        denoiser: What it is.
        checkpoint: File name of its weights; None for random ones.
        trained_steps: Steps that it was trained for; None for random weights.
        scores: Its errors.
        seconds: Wall-clock of each batch.
        frames_per_second: Frames of a batch over the median of ``seconds``.
        speed_up: Over the first model, from the same rounds.
        thop_macs_per_frame: Multiply-accumulates of all passes, by THOP.
        true_macs_per_frame: The same, every matrix product counted.
        params: Parameters.
        peak_memory: Most bytes in use while a batch was sampled, over what was in use before (the weights);
            None where the system does not tell.
        early_keep: f at every denoising step but the last; None where it is that of the last.
    """

    name: str
    denoiser: DenoiserConfig
    checkpoint: str | None
    trained_steps: int | None
    scores: Scores
    seconds: list[float]
    frames_per_second: float
    speed_up: SpeedUp
    thop_macs_per_frame: float
    true_macs_per_frame: float
    params: int
    peak_memory: int | None
    early_keep: int | None = field(default=None, metadata=ADDED_LATER)


@dataclass(frozen=True, kw_only=True)
class InferenceResult:
    """A run: several models on the same windows with the same noise.

    Attributes:
        data: What was scored, in words.
        trained_on: Motions among them that a model was trained on.
        clips: Number of clips (motions times cameras).
        windows: Number of windows.
        frames: Number of scored frames.
        window_frames: T.
        device: Where.
        precision: fp32, tf32 or bf16.
        compiled: Whether the models were compiled.
        sampling: How.
        models: The models, the baseline first.
        provenance: Where the result comes from.
        padded: Clips shorter than a window.
    """

    data: str
    trained_on: list[str]
    clips: int
    windows: int
    frames: int
    window_frames: int
    device: str
    precision: str
    compiled: bool
    sampling: Sampling
    models: list[ModelResult]
    provenance: Provenance
    padded: int = field(default=0, metadata=ADDED_LATER)


def inference_table(result: InferenceResult) -> Table:
    """The table: figures down, models across, below it what each figure needs and means."""
    sampling, models = result.sampling, result.models
    rows: list[tuple[str, list[str]]] = []
    for label, name in (("MPJPE, mm", "mpjpe"), ("P-MPJPE, mm", "p_mpjpe")):
        for way in AGGREGATIONS:
            rows.append((f"{label}: {way.label}", [_error(model, way.name, name) for model in models]))
    default = AGGREGATIONS[0].name
    rows += [
        (f"velocity error, mm/frame: {default}", [_error(model, default, "mpjve") for model in models]),
        ("frames/s", [f"{model.frames_per_second:,.1f}" for model in models]),
        (f"times as fast as {models[0].name}", ["1", *(m.speed_up.told(len(m.seconds)) for m in models[1:])]),
        ("GMACs/frame, THOP", [_giga(model.thop_macs_per_frame) for model in models]),
        ("GMACs/frame, in full", [_giga(model.true_macs_per_frame) for model in models]),
        ("parameters, M", [f"{model.params / _MEGA:.3f}" for model in models]),
        ("peak memory, MiB", [_memory(model.peak_memory) for model in models]),
    ]
    return Table(
        title=", ".join(
            (
                f"T={result.window_frames}, {sampling.label}",
                result.precision,
                *(("compiled",) if result.compiled else ()),
                result.device,
            )
        ),
        columns=(Column("figure"), *(Column(model.name, _FLUSH_RIGHT) for model in models)),
        rows=tuple((name, *cells) for name, cells in rows),
        notes=tuple(_notes(result)),
    )


def _notes(result: InferenceResult) -> list[str]:
    sampling, models = result.sampling, result.models
    notes = [f"Data: {result.data}; {result.windows} windows, {result.frames:,} frames scored."]
    if any(model.checkpoint is None for model in models):
        notes.append("untrained: errors mean nothing (random weights); speed and MACs hold.")
    if result.padded:
        notes.append(padding_note(result.padded))
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
        *speed_up_notes([model.speed_up for model in models], len(models[0].seconds)),
        f"MACs: {sampling.passes} passes a window / {result.window_frames} frames; in full: attention and "
        "bare products too, which THOP does not see.",
        "Peak memory: of sampling one batch, weights left out.",
    ]
    return notes


def describe_model(
    name: str, checkpoint: str | None, trained_steps: int | None, denoiser: DenoiserConfig, num_frames: int
) -> str:
    """A model in one sentence: its weights, and how it prunes windows of so many frames."""
    weights = "random weights" if checkpoint is None else f"{checkpoint}, {trained_steps:,} training steps"
    htp = denoiser.htp
    if htp is None:
        return f"{name}: {weights}."
    keep, neighbors = (resolve_frames(value, num_frames) for value in (htp.num_keep, htp.num_neighbors))
    return f"{name}: {weights}; n={htp.num_sft_layers}, f={keep}, k={neighbors}."


def padding_note(clips: int) -> str:
    """What was done with clips shorter than a window."""
    return f"{clips} clips are shorter than a window: padded, the padding not scored."


def eta_note(eta: float) -> str:
    """What an eta means."""
    return f"eta {eta:g}: {_ETA.get(eta, 'between the two')} (D3DP's code 1, the paper 0)."


def _error(model: ModelResult, way: str, name: str) -> str:
    value = getattr(model.scores.over_frames[way], name)
    return "-" if value is None else f"{value:.2f}"


def _giga(macs: float) -> str:
    return f"{macs / _GIGA:.4g}"


def _memory(bytes_in_use: int | None) -> str:
    return "-" if bytes_in_use is None else f"{bytes_in_use / _MEBIBYTE:,.0f}"
