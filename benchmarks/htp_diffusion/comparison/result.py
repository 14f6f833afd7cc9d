"""What scoring models side by side found: one type for the main job and for evaluations."""

from dataclasses import dataclass, field

from adapters.clock import SpeedUp
from htp_diffusion.base.execution import Mode
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.data.protocol import EVERY_FRAME, EvaluationProtocol
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.public_config import PublicConfig
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.scoring.action_scores import Scores


@dataclass(frozen=True, kw_only=True)
class ModelResult:
    """One model.

    Attributes:
        name: For tables.
        denoiser: What it is.
        checkpoint: File name of its weights; None for random ones.
        trained_steps: Steps that it was trained for; None for random weights.
        scores: Its errors.
        seconds: Wall-clock of each batch; empty without a clock, and what follows is None then.
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
    denoiser: DenoiserConfig | PublicConfig
    checkpoint: str | None
    trained_steps: int | None
    scores: Scores
    seconds: list[float]
    frames_per_second: float | None
    speed_up: SpeedUp | None
    thop_macs_per_frame: float | None
    true_macs_per_frame: float | None
    params: int | None
    peak_memory: int | None
    early_keep: int | None = field(default=None, metadata=ADDED_LATER)


@dataclass(frozen=True, kw_only=True)
class ComparisonResult:
    """A run: several models on the same windows with the same noise.

    Attributes:
        data: What was scored, in words.
        trained_on: Motions among them that a model was trained on.
        clips: Number of clips (motions times cameras).
        windows: Number of windows.
        frames: Number of scored frames; one that counts twice is two.
        window_frames: T.
        device: Where.
        precision: fp32, tf32, bf16 or fp16.
        compiled: Whether the models were compiled.
        sampling: How.
        models: The models, the baseline first.
        provenance: Where the result comes from.
        camera: Whose cameras saw it, in words; empty in files from before it was told.
        space: Layout, unit and frame of reference of the poses.
        notes: What else to know of the data.
        protocol: How it was scored.
        every: N, where every N-th window of each clip was sampled.
        padded: Clips shorter than a window.
        mode: How the models were run; None in files from before there were others than eager and compiled.
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
    camera: str = field(default="", metadata=ADDED_LATER)
    space: dict[str, str] = field(default_factory=CAMERA_METRES.to_json, metadata=ADDED_LATER)
    notes: list[str] = field(default_factory=list, metadata=ADDED_LATER)
    protocol: EvaluationProtocol = field(default=EVERY_FRAME, metadata=ADDED_LATER)
    every: int = field(default=1, metadata=ADDED_LATER)
    padded: int = field(default=0, metadata=ADDED_LATER)
    mode: Mode | None = field(default=None, metadata=ADDED_LATER)

    @property
    def run(self) -> str:
        """How the models were run."""
        return self.mode or ("compiled" if self.compiled else "eager")


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """An evaluation of one data set by one protocol.

    Attributes:
        rows: A comparison for each model and each way to sample.
    """

    rows: list[ComparisonResult]
