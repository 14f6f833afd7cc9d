"""Train a D3DP or HTP denoiser.

    python benchmarks/train.py htp --preset small --data ../shared/data/cmu/data_3d_cmu.npz --out runs/htp

A killed run resumes where it was when the same command is given again. Several processes share each batch:

    torchrun --nproc-per-node 8 benchmarks/train.py htp --preset paper --batch-size 32 --data ...
"""

import dataclasses
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from htp_diffusion.command import run_command
from htp_diffusion.data.cmu import CMU_FPS, cmu_split
from htp_diffusion.data.motion import Motion
from htp_diffusion.data.npz import read_npz
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.models.config import DenoiserConfig, Kind
from htp_diffusion.training.batches import Batches, BatchSource
from htp_diffusion.training.curve import draw_loss_curve
from htp_diffusion.training.preset import PRESETS, Preset, PresetName
from htp_diffusion.training.scalars import tensorboard_scalars
from htp_diffusion.training.trainer import Trainer
from htp_diffusion.training.validation import Validation, hold_out, validation_clips

SYNTHETIC_SEED = 1  # the main job scores on another


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train a denoiser on procedural motion and, if given, on the training clips of a file."""

    kind: tyro.conf.Positional[Kind]
    """Which denoiser."""
    preset: PresetName = "small"
    """Size and schedule: tiny (a minute), small (the shipped checkpoints), paper."""
    data: Path | None = None
    """An npz file with positions_3d; of the CMU clips, the training split is used."""
    out: Path | None = None
    """Folder of the run [default: runs/KIND-PRESET]. A run that is there is resumed."""
    epochs: int | None = None
    """Passes over the motion, in place of the preset's."""
    batch_size: int | None = None
    """Windows in a step, in place of the preset's."""
    learning_rate: float | None = None
    """In place of the preset's."""
    decay: float | None = None
    """Factor of the learning rate per epoch, in place of the preset's."""
    synthetic_clips: int = 12
    """Procedural clips (486 frames each) beside the file's."""
    seed: int = 0
    """Seed of the initial weights and of every draw."""
    save_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 100
    """Steps between checkpoints."""
    accumulate: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Micro-batches (in each process) that make a step, one after the other: less memory, the same batch."""
    evaluate_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 0
    """Steps between evaluations (H=1, K=1) on clips then held out of the training motion; 0 for none."""
    tensorboard: bool = False
    """Write scalars for TensorBoard (package tensorboard) into the run's folder."""
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass."""
    sft_layers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """n of HTP, in place of its default."""
    device: Literal["auto", "cpu"] = "auto"
    """auto takes an accelerator if there is one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainingData:
    """What a run trains on and what it is checked with.

    Attributes:
        source: Draws its batches.
        validation: Measures the error on the clips held out; None if none are.
        left_out: Recordings that are shorter than a window.
    """

    source: BatchSource
    validation: Validation | None
    left_out: list[str]


def training_motions(data: Path | None, synthetic_clips: int) -> list[Motion]:
    """The file's training clips (all of them if it is not the CMU file) and the procedural ones."""
    motions = synthetic_motions(seed=SYNTHETIC_SEED, count=synthetic_clips) if synthetic_clips else []
    if data is not None:
        read = read_npz(data, fps=CMU_FPS)
        is_cmu = all(motion.name.startswith(("S01/01_", "S02/02_", "S03/03_")) for motion in read)
        motions = (cmu_split(read)[0] if is_cmu else read) + motions
    return motions


def training_data(options: Options, preset: Preset) -> TrainingData:
    """The motion asked for; clips are held out of it only if they are evaluated on."""
    motions, held_out = training_motions(options.data, options.synthetic_clips), []
    if options.evaluate_every:
        motions, held_out = hold_out(motions)
    fitting = [motion for motion in motions if len(motion.positions) >= preset.num_frames]
    return TrainingData(
        source=Batches(fitting or motions, preset.num_frames, preset.batch_size),
        validation=Validation(validation_clips(held_out), preset.num_frames) if held_out else None,
        left_out=[motion.name for motion in motions if len(motion.positions) < preset.num_frames],
    )


def chosen_preset(options: Options) -> Preset:
    """The preset with what is given in its place."""
    overrides = {name: getattr(options, name) for name in ("batch_size", "learning_rate", "decay")}
    given = {name: value for name, value in overrides.items() if value is not None}
    return dataclasses.replace(PRESETS[options.preset], **given)


def chosen_denoiser(options: Options, preset: Preset) -> DenoiserConfig:
    """The preset's denoiser with the number of masked layers asked for."""
    denoiser = preset.denoiser(options.kind)
    if options.sft_layers is None:
        return denoiser
    if denoiser.htp is None:
        raise BenchmarkError("sft-layers is an option of HTP; D3DP has none")
    return dataclasses.replace(
        denoiser, htp=dataclasses.replace(denoiser.htp, num_sft_layers=options.sft_layers)
    )


def train(options: Options) -> None:
    """Run to the end with a progress bar; checkpoints and the curve are in the run's folder."""
    preset = chosen_preset(options)
    folder = options.out or Path("runs") / f"{options.kind}-{options.preset}"
    data = training_data(options, preset)
    trainer = Trainer(
        folder,
        chosen_denoiser(options, preset),
        preset,
        data.source,
        seed=options.seed,
        epochs=options.epochs,
        precision="no" if options.precision == "fp32" else options.precision,
        accumulate=options.accumulate,
        evaluate=data.validation,
        evaluate_every=options.evaluate_every,
        cpu=options.device == "cpu",
    )
    console = Console(stderr=True, quiet=not trainer.is_main)
    if data.left_out:
        console.print(f"left out, shorter than {preset.num_frames} frames: {', '.join(data.left_out)}")
    steps, done = trainer.checkpoint.steps, trainer.checkpoint.step
    if done:
        console.print(f"resuming {folder} at step {done} of {steps}")
    columns = (
        TextColumn(options.kind),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeRemainingColumn(),
    )
    log = options.tensorboard and trainer.is_main
    scalars = tensorboard_scalars(folder / "tensorboard", done + 1) if log else nullcontext()
    with scalars as add_scalar, Progress(*columns, console=console) as progress:
        bar = progress.add_task("training", total=steps, completed=done, loss="")
        for step, loss in trainer.run(options.save_every, add_scalar):
            progress.update(bar, completed=step, loss=f"{loss:.1f} mm")
    if trainer.is_main:
        draw_loss_curve(trainer.checkpoint, folder / "loss.png")
    console.print(f"trained {steps} steps: {trainer.path}, {folder / 'loss.png'}")
    console.print(trainer.pace.describe(), soft_wrap=True)


if __name__ == "__main__":
    run_command(train, Options)
