"""How far a trained host gets on fewer frames: patched, untrained and after a short fine-tuning.

    python benchmarks/study_adapters.py --data ../shared/data/cmu/data_3d_cmu.npz

A study that was stopped goes on where it was when the same command is given again.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
from jaxtyping import Float
from rich.console import Console
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import adapters
from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import read_json, write_json
from htp_diffusion.base.tables import show
from htp_diffusion.data.motion import Motion, Windows, windows
from htp_diffusion.data.source import Source, training_motions
from htp_diffusion.data.virtual_views import EvaluationSet, embedded_set, file_set
from htp_diffusion.diffusion.sampling import Sampling, first_windows
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.checkpoint import load_denoiser
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.scoring.clip_scores import Errors, mean_scores, score_clip
from htp_diffusion.scoring.draw_and_score import score_clips
from htp_diffusion.speed.counting import true_macs
from htp_diffusion.speed.lineup import random_inputs
from htp_diffusion.speed.measure import SpeedUp, interleaved, speed_up
from htp_diffusion.studies.patched_table import (
    PatchedRow,
    PatchedStudy,
    Treatment,
    draw_patched,
    patched_table,
)
from htp_diffusion.training.batches import Batch, step_generator
from htp_diffusion.training.fit import fit
from htp_diffusion.training.trainer import diffusion_loss
from htp_diffusion.training.virtual import VirtualBatches
from htp_modules import HTPConfig
from htp_modules.config import Recovery, resolve_frames

console = Console(stderr=True)

KEEP = (1.0, 1 / 2, 1 / 3, 2 / 9)
_D3DP = Path(__file__).resolve().parent / "checkpoints" / "d3dp-small.json"
_FRAMES, _DIM, _HEADS = 27, 64, 4  # of the MixSTE
_TRAINING_FRAMES = 324  # in a batch, as in the small preset
_SCORED_AT_ONCE, _TIMED = 12, 4  # windows
_HOST_RATE, _TUNE_RATE = 2e-3, 5e-4
_TUNE_SEED = 1  # the hosts were trained with 0


@dataclass(frozen=True, kw_only=True)
class Options:
    """Patch a trained MixSTE and D3DP, keeping 1, 1/2, 1/3 and 2/9 of the frames: error against speed.

    Without training (interpolated), and after a short fine-tuning with either recovery. Half an hour.

    Attributes:
        data: An npz file with positions_3d: its training clips train, its test clips are scored.
        out: Folder for the result as JSON and the picture, and a folder in it for what is done so far.
        host_steps: Training steps of the MixSTE; the D3DP is the shipped one.
        tune_steps: Fine-tuning steps.
        repeats: Rounds of the timing.
        max_windows: Score only the first windows of each host.
    """

    data: Annotated[Path | None, by_default("procedural motion", "FILE")] = None
    out: Path = Path("runs/study-adapters")
    host_steps: int = 1200
    tune_steps: int = 100
    repeats: int = 15
    max_windows: Annotated[int | None, by_default("all", "INT")] = None

    @property
    def parts(self) -> Path:
        """Where finished parts are, another folder for every other study."""
        source = "synthetic" if self.data is None else self.data.stem
        return self.out / f"{source}-{self.host_steps}-{self.tune_steps}-{self.max_windows or 'all'}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Host:
    """A trained model that somebody wants faster.

    Attributes:
        name: What it is.
        story: How it came about and how it is scored.
        model: The model.
        num_frames: T.
        loss: Its training loss on a batch, metres.
        predict: Poses of windows (batch, frames, joints, 2), the second argument telling batches apart.
        inputs: What one pass takes for this many windows.
    """

    name: str
    story: str
    model: nn.Module
    num_frames: int
    loss: Callable[[nn.Module, Batch, torch.Generator], Float[Tensor, ""]]
    predict: Callable[[nn.Module, Tensor, int], Float[Tensor, "batch hyps frames joints 3"]]
    inputs: Callable[[int], tuple[Tensor, ...]]

    def tune(
        self, model: nn.Module, motions: Sequence[Motion], steps: int, rate: float, seed: int
    ) -> nn.Module:
        """Train a model of this kind on."""
        drawn = VirtualBatches(motions, self.num_frames, _TRAINING_FRAMES // self.num_frames)

        def loss(step: int) -> Float[Tensor, ""]:
            generator = step_generator(seed, step)
            return self.loss(model, drawn.draw(generator), generator)

        for step, value in enumerate(fit(model, loss, steps, rate), start=1):
            if step % 50 == 0:
                console.print(f"{self.name}: step {step} of {steps}, {value:.1f} mm")
        return model

    def score(self, model: nn.Module, clips: list[Windows]) -> Errors:
        """Mean errors over all frames of the clips."""
        with torch.inference_mode():
            scores = score_clips(
                clips,
                _SCORED_AT_ONCE,
                partial(self.predict, model.eval()),
                score_clip,
                device=torch.device("cpu"),
            )
        return mean_scores(scores).over_frames["mean"]


def lift(model: nn.Module, pose_2d: Tensor, _: int) -> Float[Tensor, "batch 1 frames joints 3"]:
    """One pass of a lifter, root-relative."""
    pose = model(pose_2d)
    return (pose - pose[:, :, :1]).unsqueeze(1)


def mixste_host(motions: Sequence[Motion], options: Options) -> Host:
    """A small MixSTE, trained here unless the folder holds it already."""
    path = options.parts / "MixSTE.safetensors"
    torch.manual_seed(0)
    host = Host(
        name="MixSTE",
        story=f"MixSTE: T={_FRAMES}, D={_DIM}, depth 8, {options.host_steps} training steps; one pass.",
        model=MixSTE(num_frames=_FRAMES, dim=_DIM, num_heads=_HEADS),
        num_frames=_FRAMES,
        loss=lambda model, batch, _: (model(batch.pose_2d) - batch.pose_3d).norm(dim=-1).mean(),
        predict=lift,
        inputs=lambda count: random_inputs("mixste", count, _FRAMES),
    )
    if path.exists():
        host.model.load_state_dict(load_file(path))
    else:
        host.tune(host.model, motions, options.host_steps, _HOST_RATE, seed=0)
        save_file(host.model.state_dict(), path)
    return host


def d3dp_host() -> Host:
    """The shipped D3DP."""
    checkpoint, model = load_denoiser(_D3DP)
    frames = checkpoint.denoiser.num_frames
    schedule = cosine_schedule()
    sampling = Sampling(
        hypotheses=1,
        steps=5,
        eta=1.0,
        flip=False,
        seed=0,
        batch_size=_SCORED_AT_ONCE,
        max_batch=_SCORED_AT_ONCE,
    )
    return Host(
        name="D3DP",
        story=f"D3DP: the shipped checkpoint, T={frames}, D={checkpoint.denoiser.dim}, "
        f"{checkpoint.step:,} training steps; H=1, K=5, no flip.",
        model=model,
        num_frames=frames,
        loss=lambda model, batch, generator: diffusion_loss(model, batch, schedule, generator),
        predict=sampling.draw,
        inputs=lambda count: random_inputs("d3dp", count, frames),
    )


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A host, treated one way: plain, or keeping a share of the frames; tuned or not."""

    keep: float | None
    recovery: Recovery | None
    tuned: bool

    @property
    def treatment(self) -> Treatment:
        """In words."""
        return f"{self.recovery or 'plain'}{', tuned' if self.tuned else ''}"  # pyright: ignore[reportReturnType]

    @property
    def file(self) -> str:
        """Name of the file for its errors."""
        share = "" if self.keep is None else f"-{self.keep:.3f}"
        return f"{self.treatment.replace(', ', '-')}{share}.json"

    def patch(self, model: nn.Module) -> nn.Module:
        """The untuned variant of a host; a copy."""
        torch.manual_seed(0)
        model = copy.deepcopy(model)
        if self.keep is None or self.recovery is None:
            return model
        return adapters.patch(model, HTPConfig(num_keep=self.keep, recovery=self.recovery))


PLAIN = Variant(keep=None, recovery=None, tuned=False)
VARIANTS = (
    PLAIN,
    Variant(keep=None, recovery=None, tuned=True),
    *(Variant(keep=keep, recovery="interpolate", tuned=False) for keep in KEEP),
    *(Variant(keep=keep, recovery="interpolate", tuned=True) for keep in KEEP),
    *(Variant(keep=keep, recovery="cross_attention", tuned=True) for keep in KEEP),
)


def errors_of(
    host: Host, variant: Variant, motions: Sequence[Motion], clips: list[Windows], options: Options
) -> Errors:
    """Make a variant and score it, unless the folder holds its errors."""
    path = options.parts / f"{host.name}-{variant.file}"
    if path.exists():
        return read_json(path, Errors)
    model = variant.patch(host.model)
    if variant.tuned:
        host.tune(model, motions, options.tune_steps, _TUNE_RATE, _TUNE_SEED)
    errors = host.score(model, clips)
    write_json(path, errors)
    console.print(f"{path.stem}: {errors.mpjpe:.1f} mm")
    return errors


def speeds_of(host: Host, repeats: int) -> list[SpeedUp]:
    """How many times as fast as the plain host each variant is, untuned: weights do not matter here."""
    inputs = host.inputs(_TIMED)
    models = [variant.patch(host.model).eval() for variant in VARIANTS]
    with torch.inference_mode():
        cases = {str(number): partial(model, *inputs) for number, model in enumerate(models)}
        timings = interleaved(cases, repeats=repeats, warmup=2)
    plain = timings[str(VARIANTS.index(PLAIN))]
    return [speed_up(plain, timing) for timing in timings.values()]


def study_host(
    host: Host, motions: Sequence[Motion], scored: EvaluationSet, options: Options
) -> list[PatchedRow]:
    """Every variant of one host: errors, cost, speed."""
    clips = [windows(clip, host.num_frames) for clip in scored.clips[::2]]  # two of the four cameras
    clips = first_windows(clips, options.max_windows)
    errors = [errors_of(host, variant, motions, clips, options) for variant in VARIANTS]
    speeds = speeds_of(host, options.repeats)
    return [
        PatchedRow(
            host=host.name,
            treatment=variant.treatment,
            keep=variant.keep,
            frames_kept=resolve_frames(1.0 if variant.keep is None else variant.keep, host.num_frames),
            mpjpe=error.mpjpe,
            p_mpjpe=error.p_mpjpe,
            mpjve=error.mpjve,
            gmacs=true_macs(variant.patch(host.model), host.inputs(1)) / 1e9,
            speed_up=speed.paired,
            speed_up_low=speed.paired_low,
            speed_up_high=speed.paired_high,
        )
        for variant, error, speed in zip(VARIANTS, errors, speeds, strict=True)
    ]


def main(options: Options) -> None:
    """Study both hosts, print the table, write the JSON and the picture."""
    for name in ("host_steps", "tune_steps", "repeats"):
        if getattr(options, name) < 1:
            raise BenchmarkError(f"{name} expects at least 1, got {getattr(options, name)}")
    make_folder(options.parts)
    scored = embedded_set(_FRAMES) if options.data is None else file_set(options.data)
    motions = training_motions(Source(data=options.data))
    hosts = [mixste_host(motions, options), d3dp_host()]
    study = PatchedStudy(
        data=f"{scored.description}, of them every second camera",
        hosts=[host.story for host in hosts],
        tune_steps=options.tune_steps,
        rows=[row for host in hosts for row in study_host(host, motions, scored, options)],
        provenance=provenance(),
    )
    show(patched_table(study))
    write_json(options.out / "study.json", study)
    draw_patched(options.out / "study.png", study)
    print(f"written: {options.out / 'study.json'}, {options.out / 'study.png'}")


if __name__ == "__main__":
    run_command(main, Options)
