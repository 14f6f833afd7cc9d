"""Train a D3DP or HTP denoiser.

    python benchmarks/train.py htp --preset small --data ../shared/data/cmu/data_3d_cmu.npz --out runs/htp

A killed run resumes where it was when the same command is given again.
"""

import dataclasses
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
from htp_diffusion.models.config import Kind
from htp_diffusion.training.curve import draw_loss_curve
from htp_diffusion.training.preset import PRESETS, PresetName
from htp_diffusion.training.trainer import Trainer

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
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    """Arithmetic of the forward pass."""
    sft_layers: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """n of HTP, in place of its default."""
    device: Literal["auto", "cpu"] = "auto"
    """auto takes an accelerator if there is one."""


def training_motions(data: Path | None, synthetic_clips: int) -> list[Motion]:
    """The file's training clips (all of them if it is not the CMU file) and the procedural ones."""
    motions = synthetic_motions(seed=SYNTHETIC_SEED, count=synthetic_clips) if synthetic_clips else []
    if data is not None:
        read = read_npz(data, fps=CMU_FPS)
        is_cmu = all(motion.name.startswith(("S01/01_", "S02/02_", "S03/03_")) for motion in read)
        motions = (cmu_split(read)[0] if is_cmu else read) + motions
    return motions


def train(options: Options) -> None:
    """Run to the end with a progress bar; checkpoints and the curve are in the run's folder."""
    console = Console(stderr=True)
    overrides = {name: getattr(options, name) for name in ("batch_size", "learning_rate", "decay")}
    given = {name: value for name, value in overrides.items() if value is not None}
    preset = dataclasses.replace(PRESETS[options.preset], **given)
    folder = options.out or Path("runs") / f"{options.kind}-{options.preset}"
    denoiser = preset.denoiser(options.kind)
    if options.sft_layers is not None:
        if denoiser.htp is None:
            raise BenchmarkError("sft-layers is an option of HTP; D3DP has none")
        denoiser = dataclasses.replace(
            denoiser, htp=dataclasses.replace(denoiser.htp, num_sft_layers=options.sft_layers)
        )
    trainer = Trainer(
        folder,
        denoiser,
        preset,
        training_motions(options.data, options.synthetic_clips),
        seed=options.seed,
        epochs=options.epochs,
        precision="no" if options.precision == "fp32" else options.precision,
        cpu=options.device == "cpu",
    )
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
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("training", total=steps, completed=done, loss="")
        for step, loss in trainer.run(options.save_every):
            progress.update(bar, completed=step, loss=f"{loss:.1f} mm")
    draw_loss_curve(trainer.checkpoint, folder / "loss.png")
    console.print(f"trained {steps} steps: {trainer.path}, {folder / 'loss.png'}")


if __name__ == "__main__":
    run_command(train, Options)
