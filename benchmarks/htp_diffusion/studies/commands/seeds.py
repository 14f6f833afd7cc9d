r"""How much of a difference between models is the seed: checkpoints of several seeds, scored alike.

    python benchmarks/study.py seeds runs/d3dp-0 runs/d3dp-1 runs/htp-0 runs/htp-1 \
        --data ../shared/data/cmu/data_3d_cmu.npz

A study that was stopped goes on where it was when the same command is given again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console

from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import Where
from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.parts import Parts
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.data.motion import Windows, windows
from htp_diffusion.data.options import EVERY
from htp_diffusion.diffusion.options import DRAWS, StepOptions
from htp_diffusion.diffusion.sampling import read_hxk
from htp_diffusion.models.checkpoint import Checkpoint, json_of, load_denoiser, read_record
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.contender import NAMES
from htp_diffusion.models.weights import Weights
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.scoring.draw_and_score import grade
from htp_diffusion.studies.options import AVERAGED, StudyMotion
from htp_diffusion.studies.seeds_table import Run, SeedErrors, SeedStudy, seeds_table
from htp_diffusion.studies.sweep import Scoring
from htp_diffusion.studies.unseen import check_unseen


@dataclass(frozen=True, kw_only=True)
class Options(StudyMotion, StepOptions):
    """Score checkpoints of several seeds, and print mean and spread of each model.

    Models are told apart by their kind and, if HTP, by n and what an ablation leaves out.
    """

    checkpoints: Annotated[tyro.conf.Positional[tuple[Path, ...]], by_default("none", "CHECKPOINT...")]
    """Folders of training runs (their last.json is taken), or checkpoints' JSON files."""
    sampling: Annotated[tuple[str, ...], DRAWS] = ("1x1", "5x5")
    averaged: Annotated[bool, AVERAGED] = True
    every: Annotated[int, EVERY] = 1
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    """Device and threads."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/seeds")
    """Folder for the result and what is done so far."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the errors of a checkpoint depend on."""

    run: Run
    weights: Weights
    scoring: Scoring


def main(options: Options) -> None:
    """Score what is not there yet, print the table, write the JSON."""
    at_least(options, 1, "every")
    weights: Weights = "averaged" if options.averaged else "last"
    ways = [read_hxk(text, "sampling expects HxK") for text in options.sampling]
    if len(set(ways)) < len(ways):
        raise BenchmarkError(f"sampling expects each HxK once, got {' '.join(options.sampling)}")
    found = {path: read_record(path) for path in map(json_of, options.checkpoints)}
    if not found or not ways:
        raise BenchmarkError("expected at least one checkpoint and one sampling")
    num_frames = _comparable(found)
    device = options.where.start()
    scored = options.scored(num_frames)
    if options.data is not None:
        check_unseen(found, scored.motions)
    clips = [windows(clip, num_frames).every(options.every) for clip in scored.clips]

    console = Console(stderr=True, markup=False)
    rows = []
    with progress_bar(console) as progress:
        bar = progress.add_task("", total=len(ways) * len(found))
        for hypotheses, steps in ways:
            scoring = Scoring(
                data=scored.identity,
                every=options.every,
                hypotheses=hypotheses,
                denoising_steps=steps,
                eta=options.eta,
                flip=options.flip,
            )
            for path, checkpoint in found.items():
                run = _run(checkpoint)
                progress.update(bar, description=f"H={hypotheses}, K={steps}: {run.model}, seed {run.seed}")
                row = scored_run(path, run, weights, scoring, clips, options.out, device)
                console.print(f"{path}, H={hypotheses}, K={steps}: {row.errors.mpjpe:.1f} mm")
                rows.append(row)
                progress.advance(bar)
    study = SeedStudy(
        data=scored.description,
        weights=weights,
        every=options.every,
        frames=sum(int(clip.scored.sum()) for clip in clips),
        eta=options.eta,
        flip=options.flip,
        device=device_name(device),
        rows=rows,
        provenance=provenance(),
    )
    show(seeds_table(study))
    write_json(options.out / "seeds.json", study)
    print(f"written: {options.out / 'seeds.json'}")


def scored_run(
    path: Path,
    run: Run,
    weights: Weights,
    scoring: Scoring,
    clips: Sequence[Windows],
    out: Path,
    device: torch.device,
) -> SeedErrors:
    """The errors of a checkpoint: scored and kept, unless they are there.

    Raises:
        BenchmarkError: The folder holds its scores on other data, or cannot be written.
    """

    def score() -> Errors:
        _, denoiser = load_denoiser(path, weights=weights)
        return grade(denoiser, clips, scoring.sampling(run.denoiser, device), device)

    asked = Asked(run=run, weights=weights, scoring=scoring)
    return SeedErrors(
        run=run,
        hypotheses=scoring.hypotheses,
        denoising_steps=scoring.denoising_steps,
        errors=Parts(out / scoring.folder).find_or_make(f"{run.sha256[:16]}-{weights}", asked, Errors, score),
    )


def _run(checkpoint: Checkpoint) -> Run:
    config = checkpoint.denoiser
    layers = "" if config.htp is None else f" n={config.htp.num_sft_layers}"
    return Run(
        model=f"{NAMES[config.kind]}{layers}" + (f", {checkpoint.variant}" if checkpoint.variant else ""),
        denoiser=config,
        seed=checkpoint.seed,
        steps=checkpoint.step,
        motions=len(checkpoint.motions),
        sha256=checkpoint.sha256,
    )


def _comparable(found: Mapping[Path, Checkpoint]) -> int:
    """Check that checkpoints may stand in one table.

    Returns:
        Frames of a window.

    Raises:
        BenchmarkError: Windows of different lengths, or two checkpoints of one model and seed.
    """
    lengths = {checkpoint.denoiser.num_frames for checkpoint in found.values()}
    if len(lengths) > 1:
        raise BenchmarkError(
            f"the checkpoints are for windows of different lengths: {sorted(lengths)} frames"
        )
    seen: dict[tuple[str, int], Path] = {}
    sizes: dict[str, tuple[DenoiserConfig, Path]] = {}
    for path, run in ((path, _run(checkpoint)) for path, checkpoint in found.items()):
        if (run.model, run.seed) in seen:
            raise BenchmarkError(
                f"{seen[run.model, run.seed]} and {path} are both {run.model} with seed {run.seed}"
            )
        seen[run.model, run.seed] = path
        config, other = sizes.setdefault(run.model, (run.denoiser, path))
        if config != run.denoiser:
            raise BenchmarkError(f"{other} and {path} are both {run.model} but of different sizes or pruning")
    return lengths.pop()
