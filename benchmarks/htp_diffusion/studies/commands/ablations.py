"""The paper's ablations at a preset: Tables VIII, X, XI, XII and XIII as one sweep.

    python benchmarks/study.py ablations --data ../shared/data/cmu/data_3d_cmu.npz --training-steps 600

A sweep that was stopped goes on where it was when the same command is given again: each trained model and
each scored row is kept in its folder.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console

from adapters.clock import SpeedUp, interleaved, speed_up
from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import Where
from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.base.units import GIGA, MEGA
from htp_diffusion.data.motion import windows
from htp_diffusion.data.options import EVERY
from htp_diffusion.data.source import Source, training_motions
from htp_diffusion.diffusion.options import OneDraw
from htp_diffusion.diffusion.sampling import Sampling, check_seed
from htp_diffusion.models.contender import PRESET
from htp_diffusion.models.preset import PRESETS, PresetName
from htp_diffusion.models.variants import VariantConfig
from htp_diffusion.speed.counting import count_denoiser
from htp_diffusion.speed.lineup import random_inputs
from htp_diffusion.studies.ablation_table import AblationResult, AblationRow, ablation_tables, draw_ablation
from htp_diffusion.studies.options import SEEDS, StudyMotion
from htp_diffusion.studies.paper_rows import (
    TABLES,
    Recipe,
    Setting,
    TableName,
    model_name,
    settings,
    whole_model,
)
from htp_diffusion.studies.sweep import Scoring, Sweep
from htp_diffusion.studies.unseen import check_split

_TIMED = 4  # windows of the preset's length


@dataclass(frozen=True, kw_only=True)
class Options(StudyMotion, OneDraw):
    """Train, score and time every row of the paper's ablations, and print a table for each of the paper's.

    Writes ablation.json and ablation.png. Rows of the same model are trained once.
    """

    preset: Annotated[PresetName, PRESET] = "small"
    tables: tuple[TableName, ...] = tuple(TABLES)
    """Which of the paper's tables."""
    training_steps: int = 600
    """Training steps of each model."""
    batch_size: Annotated[int | None, by_default("the preset's", "N")] = None
    """Windows in a training step, whatever their length."""
    learning_rate: Annotated[float | None, by_default("the preset's", "RATE")] = None
    """Highest learning rate; it falls to 3 percent of it by the last step."""
    seeds: Annotated[tuple[int, ...], SEEDS] = (0,)
    every: Annotated[int, EVERY] = 1
    hypotheses: int = 1
    steps: int = 1
    repeats: int = 7
    """Rounds of the timing."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    """Device and threads."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/ablation")
    """Folder for the result, its picture and what is done so far."""


def main(options: Options) -> None:
    """Run the sweep, print the tables, write the JSON and the picture."""
    _check(options)
    rows = [row for row in settings(PRESETS[options.preset]) if row.table in options.tables]
    sweep = _sweep(options)
    fill(sweep, rows, options.seeds)
    whole = whole_model(PRESETS[options.preset])
    result = AblationResult(
        preset=options.preset,
        whole=whole,
        recipe=sweep.recipe,
        seeds=options.seeds,
        scored=sweep.scoring.data,
        every=options.every,
        frames=sum(int(clip.scored.sum()) for clip in sweep.clips),
        sampling=sweep.scoring.sampling(whole.denoiser, sweep.device),
        device=device_name(sweep.device),
        rows=table_rows(sweep, rows, options.seeds, whole, options.repeats),
        provenance=provenance(),
    )
    for table in ablation_tables(result):
        show(table)
    write_json(options.out / "ablation.json", result)
    draw_ablation(options.out / "ablation.png", result)
    print(f"written: {options.out / 'ablation.json'}, {options.out / 'ablation.png'}")


def fill(sweep: Sweep, rows: Sequence[Setting], seeds: Sequence[int]) -> None:
    """Train and score what is not there yet, seed by seed, with a progress bar and a line for each score."""
    console = Console(stderr=True, markup=False)
    models = list(dict.fromkeys(row.model for row in rows))
    trainings = [sweep.training(model, seed) for seed in seeds for model in models]
    steps = sweep.recipe.training_steps
    with progress_bar(console) as progress:
        bar = progress.add_task("", total=len(trainings) * steps)
        for number, training in enumerate(trainings, start=1):
            progress.update(bar, description=f"model {number} of {len(trainings)}, {training.name}: steps")
            for _ in sweep.train(training):
                progress.advance(bar)
            progress.update(bar, completed=number * steps)
            for sampled in dict.fromkeys(row.sampled for row in rows if row.model == training.model):
                errors = sweep.errors(training, sampled)
                console.print(f"{training.name} as {model_name(sampled)}: {errors.mpjpe:.1f} mm")


def table_rows(
    sweep: Sweep, rows: Sequence[Setting], seeds: Sequence[int], whole: VariantConfig, repeats: int
) -> list[AblationRow]:
    """The rows of a filled sweep, counted and timed."""
    sampled = list(dict.fromkeys(row.sampled for row in rows))
    costs = {model: count_denoiser(model.build, model.denoiser.num_frames) for model in sampled}
    speeds = time_models(whole, sampled, repeats, sweep.device)
    found = []
    for row in rows:
        trainings = [sweep.training(row.model, seed) for seed in seeds]
        cost, speed = costs[row.sampled], speeds[row.sampled]
        found.append(
            AblationRow(
                table=row.table,
                setting=row.name,
                sampled=row.sampled,
                training=model_name(row.model),
                errors=[sweep.errors(training, row.sampled) for training in trainings],
                final_losses=[sweep.trained(training).losses[-1] for training in trainings],
                thop_gmacs=cost.thop_macs / GIGA,
                true_gmacs=cost.true_macs / GIGA,
                params_m=cost.params / MEGA,
                speed_up=speed.paired,
                speed_up_low=speed.paired_low,
                speed_up_high=speed.paired_high,
                paper_mpjpe=row.paper_mpjpe,
                paper_gmacs=row.paper_gmacs,
            )
        )
    return found


def time_models(
    whole: VariantConfig, models: Sequence[VariantConfig], repeats: int, device: torch.device
) -> dict[VariantConfig, SpeedUp]:
    """Speed of each model over D3DP's, all timed in turn; weights do not matter.

    Args:
        whole: The size of the D3DP to compare with.
        models: What to time; shorter windows make up for it in number.
        repeats: Rounds.
        device: Where.
    """
    d3dp = dataclasses.replace(whole, variant="d3dp")
    frames = _TIMED * whole.denoiser.num_frames
    counts = {model: max(1, round(frames / model.denoiser.num_frames)) for model in (d3dp, *models)}
    cases = {}
    for model, count in counts.items():
        inputs = [tensor.to(device) for tensor in random_inputs("d3dp", count, model.denoiser.num_frames)]
        cases[repr(model)] = partial(model.build().eval().to(device), *inputs)
    with torch.inference_mode():
        timings = interleaved(cases, repeats=repeats, warmup=2, device=device)
    speeds = {}
    for model, count in counts.items():
        ratio = speed_up(timings[repr(d3dp)], timings[repr(model)])
        share = count * model.denoiser.num_frames / frames  # 1 unless the lengths do not divide
        speeds[model] = SpeedUp(*(share * value for value in dataclasses.astuple(ratio)))
    return speeds


def _check(options: Options) -> None:
    at_least(options, 1, "training_steps", "every", "hypotheses", "steps", "repeats")
    Sampling(  # checks them
        hypotheses=options.hypotheses,
        steps=options.steps,
        eta=options.eta,
        flip=options.flip,
        seed=0,
        batch_size=1,
    )
    for seed in options.seeds:
        check_seed(seed)
    if not options.seeds or len(set(options.seeds)) < len(options.seeds):
        raise BenchmarkError("seeds expects at least one, none of them twice")
    if not options.tables:
        raise BenchmarkError(f"tables expects at least one of {', '.join(TABLES)}")


def _sweep(options: Options) -> Sweep:
    preset = PRESETS[options.preset]
    scored = options.scored(preset.num_frames)
    motions = training_motions(Source(data=options.data, unit=options.unit))
    check_split(options.data, motions, scored)
    recipe = Recipe(
        data=None if options.data is None else options.data.name,
        motions=tuple(motion.name for motion in motions),
        training_steps=options.training_steps,
        batch_size=preset.batch_size if options.batch_size is None else options.batch_size,
        learning_rate=preset.learning_rate if options.learning_rate is None else options.learning_rate,
    )
    if recipe.batch_size < 1 or not recipe.learning_rate > 0:
        raise BenchmarkError(
            "batch-size expects at least 1 and learning-rate a number above 0, "
            f"got {recipe.batch_size} and {recipe.learning_rate:g}"
        )
    scoring = Scoring(
        data=scored.identity,
        every=options.every,
        hypotheses=options.hypotheses,
        denoising_steps=options.steps,
        eta=options.eta,
        flip=options.flip,
    )
    clips = [windows(clip, preset.num_frames).every(options.every) for clip in scored.clips]
    return Sweep(options.out, recipe, motions, scoring, clips, options.where.start())
