"""The paper's claim, trained: D3DP, HTP and their relatives on the same batches, seed by seed.

    python benchmarks/study.py claims --models d3dp htp htp-n1 --seeds 0 1 2 --data data_3d_cmu.npz

A run that was stopped goes on where it was when the same command is given again.
"""

import math
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from torch import Tensor

from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import Precise
from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.data.motion import Clip, Motion, windows
from htp_diffusion.data.options import EVERY, EXTRA
from htp_diffusion.data.source import Source, training_motions
from htp_diffusion.data.virtual_views import EvaluationSet
from htp_diffusion.diffusion.options import DRAWS
from htp_diffusion.diffusion.sampling import Sampling, check_seed, read_hxk
from htp_diffusion.models.contender import PRESET
from htp_diffusion.models.preset import PRESETS, Preset, PresetName
from htp_diffusion.scoring.metrics import MILLIMETRES
from htp_diffusion.studies.claims import MODELS, members, predict, score
from htp_diffusion.studies.claims_table import ClaimRow, ClaimsResult, claims_table
from htp_diffusion.studies.options import AVERAGED, SEEDS, StudyMotion
from htp_diffusion.studies.unseen import check_split
from htp_diffusion.training.fleet import Fleet
from htp_diffusion.training.learner import Learner
from htp_diffusion.training.member import Member

_SCORED_BESIDE = 6  # models
_SLACK = 10.0  # seconds that training may last longer than was estimated


@dataclass(frozen=True, kw_only=True)
class Options(StudyMotion):
    """Train models side by side and score them on the test clips."""

    models: tuple[str, ...] = ("d3dp", "htp", "htp-n1")
    """Which models: d3dp, htp, htp-n1, mixste, ... (an unknown name lists all)."""
    seeds: Annotated[tuple[int, ...], SEEDS] = (0,)
    preset: Annotated[PresetName, PRESET] = "small"
    extra: Annotated[tuple[Path, ...], EXTRA, by_default("none", "FILE...")] = ()
    training_steps: Annotated[int | None, by_default("what fits into the minutes", "N")] = None
    """Training steps of the whole run; one that goes on has as many as it began with."""
    minutes: float = 5.0
    """Time for training, from the start of the script, where the steps are not given."""
    batch_size: Annotated[int | None, by_default("the preset's", "N")] = None
    """Windows in a step."""
    learning_rate: Annotated[float | None, by_default("the preset's", "RATE")] = None
    """The highest; it falls to 0 by half a cosine."""
    start: Annotated[Path | None, by_default("fresh weights", "FOLDER")] = None
    """Folder of an earlier study, whose models these begin as."""
    window: Annotated[int | None, by_default("the preset's", "N")] = None
    """Frames of the training windows, at most the preset's."""
    sampling: Annotated[tuple[str, ...], DRAWS] = ("1x1", "5x5")
    averaged: Annotated[bool, AVERAGED] = True
    every: Annotated[int, EVERY] = 1
    computing: Annotated[Precise, tyro.conf.arg(name="")] = field(default_factory=Precise)
    """Device, and precision of the training."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/claims")
    """Folder of the checkpoints and the result."""


def training_set(options: Options, num_frames: int) -> list[Motion]:
    """The motion that every model is trained on; clips shorter than a window are left out."""
    motions = training_motions(Source(data=options.data, unit=options.unit), extra=options.extra)
    return [motion for motion in motions if len(motion.positions) >= num_frames]


def train(fleet: Fleet, options: Options, began: float, console: Console) -> tuple[int, float]:
    """Train, to the end or the deadline; returns the steps done and the seconds that one takes."""
    seconds = fleet.seconds_per_step()
    steps = fleet.planned if options.training_steps is None else options.training_steps
    if steps is None:
        steps = max(1, int((began + 60 * options.minutes - time.monotonic()) / seconds))
    console.print(f"{len(fleet.members)} models, {1000 * seconds:.1f} ms a step, {steps} steps")
    ends = None if options.training_steps is not None else began + 60 * options.minutes + _SLACK
    with progress_bar(console) as progress:
        bar = progress.add_task("training", total=steps, completed=fleet.step)
        fleet.run(
            steps,
            deadline=ends,
            progress=lambda step, loss: progress.update(bar, completed=step, description=f"{loss:.1f} mm"),
        )
    return fleet.step, seconds


def scored_rows(
    fleet: Fleet, clips: Sequence[Clip], options: Options, device: torch.device, console: Console
) -> list[ClaimRow]:
    """Score every member on windows as long as it takes, as the options say."""
    draws = [read_hxk(text, "sampling expects HxK") for text in options.sampling]

    lengths = {member.denoiser.num_frames for member in fleet.members}
    cut = {frames: [windows(clip, frames).every(options.every) for clip in clips] for frames in lengths}

    def scored(work: tuple[Member, Learner, Tensor]) -> ClaimRow:
        member, learner, losses = work
        parts = cut[member.denoiser.num_frames]
        tail = losses[-max(1, len(losses) // 20) :]
        denoiser = learner.copy_of_average() if options.averaged else learner.copy_of_model().eval()
        row = ClaimRow(
            model=_model_of(member),
            seed=member.seed,
            denoiser=member.denoiser,
            loss=float(tail.mean()) * MILLIMETRES,
            errors=score(denoiser, parts, draws, device),
            prediction=predict(denoiser, parts, device),
        )
        told = ", ".join(f"{way} {found.mpjpe:.1f}" for way, found in row.errors.items())
        console.print(f"{member.name}: loss {row.loss:.1f}, {told} mm")
        return row

    losses = [line[:done] for line, done in zip(fleet.losses, fleet.steps_done, strict=True)]
    work = zip(fleet.members, fleet.learners, losses, strict=True)
    if device.type != "cuda":
        return list(map(scored, work))
    # Of a GPU's scores, most of the time goes to the processor, which has cores to spare.
    with ThreadPoolExecutor(_SCORED_BESIDE) as pool:
        return list(pool.map(scored, work))


def studied(
    fleet: Fleet,
    motions: Sequence[Motion],
    found: EvaluationSet,
    options: Options,
    device: torch.device,
    console: Console,
    *,
    steps: int,
    seconds: float,
) -> ClaimsResult:
    """Score a trained fleet: the study's result.

    Args:
        fleet: Trained.
        motions: On what.
        found: The test clips.
        options: How it was trained, and how to score.
        device: Where.
        console: Told each model's errors.
        steps: Training steps.
        seconds: Of a step of all models together.
    """
    preset = fleet.preset
    clips = [windows(clip, preset.num_frames).every(options.every) for clip in found.clips]
    return ClaimsResult(
        preset=options.preset,
        sizes=preset,
        motions=len(motions),
        training_frames=sum(len(motion.positions) for motion in motions),
        scored=found.description,
        every=options.every,
        frames=sum(int(clip.scored.sum()) for clip in clips),
        steps=steps,
        precision=options.computing.precision,
        seconds_per_step=seconds,
        device=device_name(device),
        rows=scored_rows(fleet, found.clips, options, device, console),
        averaged=options.averaged,
        provenance=provenance(),
    )


def _model_of(member: Member) -> str:
    return member.name.rpartition("-seed")[0]


def main(options: Options) -> None:
    """Train, score, print the table, write the JSON."""
    began = time.monotonic()
    preset = _checked_preset(options)
    device = options.computing.start()
    console = Console(stderr=True, markup=False)
    motions = training_set(options, preset.num_frames)
    found = options.scored(preset.num_frames)
    check_split(options.data, motions, found)
    make_folder(options.out)  # or a wrong one would be told at the first checkpoint
    started = [
        replace(
            member,
            window=options.window,
            start=None if options.start is None else options.start / member.name / "last.json",
        )
        for member in members(options.models, options.seeds, preset)
    ]
    fleet = Fleet(options.out, started, preset, motions, device=device, precision=options.computing.precision)
    steps, seconds = train(fleet, options, began, console)
    result = studied(fleet, motions, found, options, device, console, steps=steps, seconds=seconds)
    show(claims_table(result))
    write_json(options.out / "claims.json", result)
    print(f"written: {options.out / 'claims.json'}")


def _checked_preset(options: Options) -> Preset:
    """The preset with what is given in its place.

    Raises:
        BenchmarkError: An option out of range.
    """
    unknown = [name for name in options.models if name not in MODELS]
    if unknown or not options.models:
        raise BenchmarkError(
            f"models expects some of {', '.join(MODELS)}, got {', '.join(unknown) or 'none'}"
        )
    at_least(options, 1, "every", "batch_size", "training_steps")
    if not options.sampling:
        raise BenchmarkError("sampling expects at least one HxK")
    for text in options.sampling:
        hypotheses, steps = read_hxk(text, "sampling expects HxK")
        Sampling(hypotheses=hypotheses, steps=steps, eta=1.0, flip=True, seed=0, batch_size=1)  # checks them
    for name, value in (("minutes", options.minutes), ("learning-rate", options.learning_rate)):
        if value is not None and not 0 < value < math.inf:
            raise BenchmarkError(f"{name} expects a number above 0, got {value:g}")
    for seed in options.seeds:
        check_seed(seed)
    preset = PRESETS[options.preset]
    for name in ("batch_size", "learning_rate"):
        if (value := getattr(options, name)) is not None:
            preset = replace(preset, **{name: value})
    if options.window is not None and not 1 <= options.window <= preset.num_frames:
        raise BenchmarkError(f"window expects 1 to {preset.num_frames} frames, got {options.window}")
    return preset
