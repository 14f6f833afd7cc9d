"""The paper in one command: every table and figure that can be made here, beside the paper's own figures.

    python benchmarks/reproduce.py
    python benchmarks/reproduce.py --minutes 9 --device cuda --data ../shared/data/cmu/data_3d_cmu.npz

A run that was stopped goes on where it was when the same command is given again.
"""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.computing import Where
from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import read_json
from htp_diffusion.base.tables import show
from htp_diffusion.data.mocap.cmu import CMU_FPS
from htp_diffusion.data.options import EVERY, FPS
from htp_diffusion.data.source import Dataset, Source
from htp_diffusion.models.checkpoint import SHIPPED
from htp_diffusion.models.contender import CHECKPOINT_FOLDER
from htp_diffusion.reproduction.items import NeedKind
from htp_diffusion.reproduction.machine import matmul_flops
from htp_diffusion.reproduction.named_data import sources
from htp_diffusion.reproduction.pair import find_pair
from htp_diffusion.reproduction.plan import Given, chosen_parts
from htp_diffusion.reproduction.report import Report, make_report, summary_table, write_report
from htp_diffusion.reproduction.runner import Budget, Outcome, find_finished, run_parts
from htp_diffusion.reproduction.scale import SCALES, ScaleName
from htp_diffusion.speed.options import PUBLIC

_MINUTES = {"cpu": 5.0, "cuda": 9.0}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Make the paper's tables and figures, as far as this machine and the files given can.

    Without any option, on a CPU: the counts, the shipped models on embedded motion, the pictures, and one
    pass of every model at the paper's size, in five minutes. On a GPU: the tests, Table V, faster precisions
    and modes, the growth of the cost, and a training. Writes report.md, report.json and the pictures after
    each part.

    Attributes:
        data: Data sets to score, files or folders; several in one run.
        dataset: What each DATA is, in order (npz if not said): npz, h36m, 3dhp or motionbert, as evaluate.py
            has them.
        keypoints: Of each h36m, in order, the 2D poses: data_2d_h36m_*.npz.
        conversion: Of each h36m and 3dhp, in order, the rule that turns joints into those of Human3.6M, or
            none.
        annotation: Of each 3dhp, in order: annot3 or univ_annot3.
        checkpoints: JSON files of the models that are scored on the data sets.
        minutes: Time for everything; what does not fit is left out and named.
        parts: Make these parts alone, by name (an unknown name lists all).
        size: The paper's sizes, or tiny ones: every part by the same code in about a minute, on one thread
            unless --threads says otherwise.
        where: Device and threads.
        out: Folder for all that is written.
    """

    data: Annotated[tuple[Path, ...], by_default("none", "PATH...")] = ()
    dataset: Annotated[tuple[Dataset, ...], by_default("npz each", "npz|h36m|3dhp|motionbert...")] = ()
    keypoints: Annotated[tuple[Path, ...], by_default("none", "FILE...")] = ()
    conversion: Annotated[tuple[str, ...], by_default("none", "RULE...")] = ()
    annotation: Annotated[tuple[str, ...], by_default("none", "annot3|univ_annot3...")] = ()
    fps: Annotated[float, FPS] = CMU_FPS
    every: Annotated[int | None, EVERY, by_default("as many as there is time for", "N")] = None
    checkpoints: Annotated[tuple[Path, ...], by_default("the shipped ones", "FILE...")] = ()
    checkpoint_folder: Annotated[Path | None, CHECKPOINT_FOLDER, by_default("the shipped ones", "FOLDER")] = (
        None
    )
    minutes: Annotated[float | None, by_default("5 on a CPU, 9 on a GPU", "MINUTES")] = None
    parts: Annotated[tuple[str, ...], by_default("those that suit the device", "PART...")] = ()
    size: ScaleName = "paper"
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    public: Annotated[Path | None, PUBLIC, by_default("none", "FOLDER")] = None
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/reproduction")


def main(options: Options) -> None:
    """Plan, make part after part, and say what was made and what was not."""
    where = options.where
    if options.size == "tiny" and where.threads is None:
        where = replace(where, threads=1)  # beside other work, threads of small models wait for each other
    device = where.start()
    minutes = _MINUTES[device.type] if options.minutes is None else options.minutes
    if not 0 < minutes < math.inf:
        raise BenchmarkError(f"minutes expects a number above 0, got {minutes:g}")
    if options.every is not None and options.every < 1:
        raise BenchmarkError(f"every expects at least 1, got {options.every}")
    if not options.data and (options.checkpoints or options.every is not None):
        raise BenchmarkError("--checkpoints and --every are for the data sets of --data, and none is given")
    if options.public is not None and not options.public.is_dir():
        raise BenchmarkError(f"{options.public}: no such folder")
    budget = Budget(60 * minutes)
    found = sources(
        options.data, options.dataset, options.keypoints, options.conversion, options.annotation, options.fps
    )
    pair = find_pair(options.checkpoint_folder or SHIPPED, SCALES[options.size].pairs)
    folder = make_folder(options.out)
    given = Given(
        scale=SCALES[options.size],
        device=device,
        flops=matmul_flops(device),
        pair=pair,
        checkpoints=options.checkpoints or (pair.d3dp, pair.htp),
        sources=tuple(found),
        every=options.every,
        public=options.public,
    )
    outcomes = find_finished(chosen_parts(given, options.parts), folder)

    def write(so_far: Sequence[Outcome]) -> None:
        report = make_report(
            so_far,
            _needs_met(found, given),
            size=options.size,
            device=device_name(device),
            minutes=minutes,
            data=[path.name for path in options.data],
            provenance=provenance(),
        )
        write_report(folder, report, so_far)

    outcomes = run_parts(outcomes, folder, device, budget, Console(stderr=True), write)
    write(outcomes)
    report = read_json(folder / "report.json", Report)
    show(summary_table(report))
    print(f"written: {folder / 'report.md'}, {folder / 'report.json'}")
    failed = [outcome.part.name for outcome in outcomes if outcome.state == "failed"]
    if failed:
        raise BenchmarkError(f"failed: {', '.join(failed)}; report.md tells why")


def _needs_met(found: Sequence[Source], given: Given) -> set[NeedKind]:
    """What there is of what the paper's own tables take."""
    needs: set[NeedKind] = {"gpu"} if given.device.type == "cuda" else set()
    kinds = {source.kind for source in found}
    if kinds & {"h36m", "motionbert"}:
        needs.add("h36m")
    if "3dhp" in kinds:
        needs.add("3dhp")
    return needs


if __name__ == "__main__":
    run_command(main, Options)
