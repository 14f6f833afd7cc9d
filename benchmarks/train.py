"""Train a D3DP or HTP denoiser, or MixSTE as it is or with HTP.

    python benchmarks/train.py htp --preset small --data ../shared/data/cmu/data_3d_cmu.npz --out runs/htp

Ctrl-C saves, and then ends the run. A run that was stopped or killed resumes where it was when the same
command is given again, and a finished one is trained on when the command asks for more --epochs. Several
processes share each batch:

    torchrun --nproc-per-node 8 benchmarks/train.py htp --preset paper --batch-size 32 --data ...
"""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
import dataclasses
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console

from htp_diffusion.base.command import at_least, by_default, run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.data.motion import Clip
from htp_diffusion.data.options import EXTRA
from htp_diffusion.data.source import SYNTHETIC_CLIPS, Source, training_clips, training_motions
from htp_diffusion.data.virtual_views import virtual_views
from htp_diffusion.diffusion.sampling import check_seed
from htp_diffusion.models.config import DenoiserConfig, Kind
from htp_diffusion.models.contender import NAMES, Pruning
from htp_diffusion.models.preset import PRESETS, Preset, PresetName
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training.batches import BatchSource, ClipBatches
from htp_diffusion.training.curve import draw_loss_curve
from htp_diffusion.training.scalars import tensorboard_scalars
from htp_diffusion.training.trainer import Trainer
from htp_diffusion.training.validation import VALIDATION_SEED, Validation, held_out, one_view_each
from htp_diffusion.training.variety import VARIETIES, VarietyName
from htp_diffusion.training.virtual import VirtualBatches


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train a denoiser on procedural motion, on the training clips of a file beside it, or on a data set."""

    kind: tyro.conf.Positional[Kind]
    """Which denoiser."""
    preset: PresetName = "small"
    """Size and schedule: tiny (a minute), small (an hour of a core), base (three hours), large (minutes of a
    GPU), paper."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """The motion; its training split, where it has one."""
    extra: Annotated[tuple[Path, ...], EXTRA, by_default("none", "FILE...")] = ()
    variety: VarietyName = "scored"
    """How windows differ: scored (cameras and noise like those of the test clips) or wide (bodies, phones and
    webcams, and what real detectors get wrong); for motion without cameras of its own."""
    out: Annotated[Path | None, by_default("runs/KIND-PRESET", "FOLDER")] = None
    """Folder of the run. A run found there is resumed."""
    epochs: Annotated[int | None, by_default("the preset's", "N")] = None
    """Passes over the motion; asking for more than a finished run had continues it."""
    batch_size: Annotated[int | None, by_default("the preset's", "N")] = None
    """Windows in a step."""
    learning_rate: Annotated[float | None, by_default("the preset's", "RATE")] = None
    """The highest, after the warm-up."""
    decay: Annotated[float | None, by_default("the preset's", "FACTOR")] = None
    """Factor of the learning rate per epoch."""
    tilt: Annotated[float | None, by_default("1: all times alike", "TILT")] = None
    """Above 1, diffusion times near pure noise are drawn more often, which helps short runs
    (docs/ablations.md)."""
    synthetic_clips: Annotated[
        int | None, by_default(f"{SYNTHETIC_CLIPS}; none beside h36m, 3dhp and motionbert", "N")
    ] = None
    """Procedural clips (486 frames each), alone or beside those of an npz file."""
    seed: int = 0
    """Seed of the initial weights and of every draw."""
    save_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 100
    """Steps between checkpoints."""
    accumulate: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Micro-batches (in each process) that make a step, one after the other: less memory, the same batch."""
    evaluate_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 0
    """Steps between evaluations (H=1, K=1) on recordings then held out of the training motion; 0 for none."""
    tensorboard: bool = False
    """Write scalars for TensorBoard (package tensorboard) into the run's folder."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass."""
    compiled: bool = False
    """Compile the denoiser's parts, which takes a minute or more before it pays."""
    pruning: Annotated[Pruning, tyro.conf.arg(name="")] = field(default_factory=Pruning)
    """How hard HTP prunes."""
    device: Literal["auto", "cpu"] = "auto"
    """auto takes an accelerator if there is one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """What a run trains on and what it is checked with.

    Attributes:
        batches: Draws its batches.
        validation: Measures the error on the clips held out; None if none are.
        left_out: Recordings that are shorter than a window.
    """

    batches: BatchSource
    validation: Validation | None
    left_out: list[str]


def training_data(options: Options, preset: Preset) -> TrainingData:
    """The motion asked for; recordings are held out of it only if they are evaluated on.

    Raises:
        BenchmarkError: Options that do not go together, or motion that cannot be trained on.
    """
    if options.source.has_cameras:
        return _seen_training_data(options, preset)
    motions = training_motions(
        options.source,
        SYNTHETIC_CLIPS if options.synthetic_clips is None else options.synthetic_clips,
        options.extra,
    )
    fitting = [motion for motion in motions if len(motion.positions) >= preset.num_frames]
    held = held_out([motion.name for motion in fitting]) if options.evaluate_every else set()
    views = virtual_views([motion for motion in fitting if motion.name in held], seed=VALIDATION_SEED)
    trained = [motion for motion in fitting if motion.name not in held]
    return TrainingData(
        batches=VirtualBatches(
            trained or motions, preset.num_frames, preset.batch_size, VARIETIES[options.variety]
        ),
        validation=_validation(views, preset),
        left_out=[motion.name for motion in motions if len(motion.positions) < preset.num_frames],
    )


def _seen_training_data(options: Options, preset: Preset) -> TrainingData:
    """The same of a data set with cameras: what is held out is held out through each of them."""
    if options.extra:
        raise BenchmarkError(f"dataset {options.source.kind} has cameras of its own: --extra does not fit it")
    if options.variety != "scored":
        raise BenchmarkError(
            f"dataset {options.source.kind} has cameras of its own: --variety does not fit it"
        )
    if options.synthetic_clips:
        raise BenchmarkError(f"dataset {options.source.kind} has no --synthetic-clips beside its own")
    found = training_clips(options.source)
    if options.kind.startswith("htp") and found.space.layout != H36M_17:
        raise BenchmarkError(
            f"HTP links joints along the bones of {H36M_17.name}, these poses are {found.space.layout.name}: "
            "give --conversion by-place"
        )
    fitting = [item for item in found.clips if len(item.clip.pose_3d) >= preset.num_frames]
    held = held_out(list(dict.fromkeys(item.motion for item in fitting))) if options.evaluate_every else set()
    trained = [item.clip for item in fitting if item.motion not in held]
    clips = trained or [item.clip for item in found.clips]
    return TrainingData(
        batches=ClipBatches(clips, preset.num_frames, preset.batch_size, found.space, found.description),
        validation=_validation([item.clip for item in fitting if item.motion in held], preset),
        left_out=[item.clip.name for item in found.clips if len(item.clip.pose_3d) < preset.num_frames],
    )


def _validation(views: Sequence[Clip], preset: Preset) -> Validation | None:
    return Validation(one_view_each(views), preset.num_frames) if views else None


def chosen_preset(options: Options) -> Preset:
    """The preset with what is given in its place.

    Raises:
        BenchmarkError: A number out of range.
    """
    at_least(options, 1, "epochs", "batch_size", "save_every")
    at_least(options, 0, "evaluate_every", "synthetic_clips")
    check_seed(options.seed)
    options.source.check()
    for name in ("learning_rate", "decay", "tilt"):
        value = getattr(options, name)
        if value is not None and not 0 < value < math.inf:
            raise BenchmarkError(f"{name.replace('_', '-')} expects a number above 0, got {value:g}")
    if options.decay is not None and options.decay > 1:
        raise BenchmarkError(f"decay expects a factor of at most 1, got {options.decay:g}")
    overrides = {name: getattr(options, name) for name in ("batch_size", "learning_rate", "decay", "tilt")}
    given = {name: value for name, value in overrides.items() if value is not None}
    return dataclasses.replace(PRESETS[options.preset], **given)


def chosen_denoiser(options: Options, preset: Preset) -> DenoiserConfig:
    """The preset's denoiser with the pruning asked for."""
    denoiser = preset.denoiser(options.kind)
    if options.pruning == Pruning():
        return denoiser
    if denoiser.htp is None:
        asked = ", ".join(options.pruning.options)
        raise BenchmarkError(f"{asked}: an option of HTP; {NAMES[options.kind]} prunes nothing")
    return options.pruning.applied_to(denoiser).check_layers()


def train(options: Options) -> None:
    """Run to the end with a progress bar; checkpoints and the curve are in the run's folder."""
    preset = chosen_preset(options)
    denoiser = chosen_denoiser(options, preset)
    folder = options.out or Path("runs") / f"{options.kind}-{options.preset}"
    data = training_data(options, preset)
    trainer = Trainer(
        folder,
        denoiser,
        preset,
        data.batches,
        seed=options.seed,
        epochs=options.epochs,
        precision="no" if options.precision == "fp32" else options.precision,
        accumulate=options.accumulate,
        evaluate=data.validation,
        evaluate_every=options.evaluate_every,
        cpu=options.device == "cpu",
        compiled=options.compiled,
    )
    console = Console(stderr=True, quiet=not trainer.is_main, markup=False)
    if data.left_out:
        count = len(data.left_out)
        console.print(
            f"note: {count} clips are shorter than a window of {preset.num_frames} frames: left out, as "
            f"padding would teach that people stand still: {', '.join(data.left_out)}",
            soft_wrap=True,
        )
    steps, done = trainer.checkpoint.steps, trainer.checkpoint.step
    unit = trainer.checkpoint.pose_space.error_unit
    if done:
        console.print(f"resuming {folder} at step {done} of {steps}")
    make_folder(folder)  # or a wrong one would be told at the first checkpoint
    log = options.tensorboard and trainer.is_main
    scalars = tensorboard_scalars(folder / "tensorboard", done + 1) if log else nullcontext()
    with scalars as add_scalar, progress_bar(console) as progress:
        bar = progress.add_task(options.kind, total=steps, completed=done)
        for step, loss in trainer.run(options.save_every, add_scalar):
            progress.update(bar, completed=step, description=f"{options.kind}, {loss:.1f} {unit}")
    if trainer.is_main:
        draw_loss_curve(trainer.checkpoint, folder / "loss.png")
    console.print(f"trained {steps} steps: {trainer.path}, {folder / 'loss.png'}")
    console.print(trainer.pace.describe(), soft_wrap=True)


if __name__ == "__main__":
    run_command(train, Options)
