"""What k and k' cost where they are changed at inference (Table X, Figure 4), for trained checkpoints.

    python benchmarks/study.py sensitivity benchmarks/checkpoints/htp-*.json --data data_3d_cmu.npz

A study that was stopped goes on where it was when the same command is given again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from rich.progress import Progress, TaskID

from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import Where
from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.parts import Parts
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.data.motion import windows
from htp_diffusion.data.options import EVERY
from htp_diffusion.data.virtual_views import EvaluationSet, embedded_set, file_set
from htp_diffusion.models.checkpoint import Checkpoint, distinct_names, json_of, read_record
from htp_diffusion.models.contender import Pruning, trained_contender
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.studies.options import StudyMotion
from htp_diffusion.studies.sensitivity import Sensitivity, sensitivity_of
from htp_diffusion.studies.sensitivity_picture import draw_sensitivity
from htp_diffusion.studies.sensitivity_table import SensitivityStudy, study_tables
from htp_diffusion.studies.unseen import check_unseen


@dataclass(frozen=True, kw_only=True)
class Options(StudyMotion):
    """Score trained HTP models at every k and k', print the tables, draw each model's picture.

    One hypothesis, one step, with flip. Writes sensitivity.json and CHECKPOINT.png.
    """

    checkpoints: Annotated[tyro.conf.Positional[tuple[Path, ...]], by_default("none", "CHECKPOINT...")]
    """JSON files of HTP checkpoints, or folders of runs; their windows may differ in length."""
    every: Annotated[int, EVERY] = 1
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    """Device and threads."""
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/sensitivity")
    """Folder for the result, the pictures and what is done so far."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the errors of a checkpoint depend on."""

    sha256: str
    data: str
    every: int


def main(options: Options) -> None:
    """Score what is not there yet, print the tables, write the JSON and the pictures."""
    at_least(options, 1, "every")
    paths = [json_of(path) for path in options.checkpoints]
    if not paths:
        raise BenchmarkError("expected at least one checkpoint")
    names = [name.replace("/", "-") for name in distinct_names(paths)]
    found = {path: read_record(path) for path in paths}
    given = None if options.data is None else file_set(options.data, unit=options.unit)
    if given is not None:
        check_unseen(found, given.motions)
    device = options.where.start()
    models: list[Sensitivity] = []
    with progress_bar(Console(stderr=True)) as progress:
        for name, (path, checkpoint) in zip(names, found.items(), strict=True):
            bar = progress.add_task(name, total=None)
            scored = given or embedded_set(checkpoint.denoiser.num_frames)
            tell = partial(_tell, progress, bar)
            models.append(scored_model(name, path, checkpoint, scored, options, device, tell))
            draw_sensitivity(options.out / f"{name}.png", models[-1])
    study = SensitivityStudy(
        every=options.every, device=device_name(device), models=models, provenance=provenance()
    )
    for table in study_tables(study):
        show(table)
    write_json(options.out / "sensitivity.json", study)
    print(f"written: {options.out / 'sensitivity.json'}")


def scored_model(
    name: str,
    path: Path,
    checkpoint: Checkpoint,
    scored: EvaluationSet,
    options: Options,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> Sensitivity:
    """The errors of a checkpoint: scored and kept, unless they are there.

    Raises:
        BenchmarkError: It is no HTP, or the folder holds its errors on other data.
    """

    def score() -> Sensitivity:
        contender = replace(trained_contender(path, Pruning(), CAMERA_METRES), name=name)
        clips = [windows(clip, contender.config.num_frames).every(options.every) for clip in scored.clips]
        return sensitivity_of(contender, scored.description, clips, device, progress)

    asked = Asked(sha256=checkpoint.sha256, data=scored.identity, every=options.every)
    return Parts(options.out / "parts").find_or_make(name, asked, Sensitivity, score)


def _tell(progress: Progress, bar: TaskID, done: int, total: int) -> None:
    progress.update(bar, completed=done, total=total)
