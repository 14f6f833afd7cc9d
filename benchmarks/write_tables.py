"""Write the tables of the documentation from the committed results, so that no figure is typed.

A page marks where a table goes: an HTML comment `table: NAME` and another `end` after it. What stands between
them is replaced.
"""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from adapters.patching import ADAPTERS
from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.results import read_json
from htp_diffusion.base.tables import Table
from htp_diffusion.comparison.result import ComparisonResult
from htp_diffusion.comparison.size_table import size_table
from htp_diffusion.comparison.table import comparison_table
from htp_diffusion.lifting.scores import VideoScores, cameras_table
from htp_diffusion.speed.hosts_table import hosts_table
from htp_diffusion.speed.paper_macs import MacsRow, macs_table
from htp_diffusion.speed.paper_systems import SystemRow, other_tables, systems_table
from htp_diffusion.speed.paper_tables import PrintedTable
from htp_diffusion.speed.result import ThroughputResult
from htp_diffusion.speed.scaling import ScalingResult, scaling_table
from htp_diffusion.speed.step_cost import TrainingCost, step_table
from htp_diffusion.speed.system_times import SystemTimes, system_times_table
from htp_diffusion.speed.tables import drift_table, throughput_tables
from htp_diffusion.studies.ablation_table import AblationResult, ablation_tables
from htp_diffusion.studies.claims_table import ClaimsResult, claims_table
from htp_diffusion.studies.commands.recovery import Study, study_table
from htp_diffusion.studies.patched_table import PatchedStudy, patched_table
from htp_diffusion.studies.seeds_table import SeedStudy, seeds_table
from htp_diffusion.studies.sensitivity_table import SensitivityStudy, study_tables

_ROOT = Path(__file__).resolve().parents[1]
_RESULTS = _ROOT / "benchmarks" / "results"
_PAGES = (
    "README.md",
    "docs/adapters.md",
    "docs/benchmarks.md",
    "docs/reproduction.md",
    "docs/errors.md",
    "docs/ablations.md",
    "docs/video.md",
    "benchmarks/checkpoints/README.md",
)
_WRITTEN = re.compile(r" --(?:json|picture) \S+")
_PLACE = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


Reader = Callable[[str], str]
"""Turns the name of a result into what stands on the page."""


class Result(Protocol):
    """A result that tells how it was made."""

    @property
    def provenance(self) -> Provenance: ...


AnyResult = TypeVar("AnyResult", bound=Result)


@dataclass(frozen=True, kw_only=True)
class Options:
    """Rewrite the tables of the documentation from benchmarks/results.

    Attributes:
        check: Write nothing; fail if a page is out of date.
    """

    check: bool = False


_RENAMED = {
    "ablate.py": "study.py ablations",
    "study_adapters.py": "study.py adapters",
    "study_recovery.py": "study.py recovery",
    "study_seeds.py": "study.py seeds",
    "study_claims.py": "study.py claims",
    "measure_throughput.py": "measure.py throughput",
    "measure_scaling.py": "measure.py scaling",
    "measure_training.py": "measure.py training",
}
"""Scripts that made results, and what they are called now."""

_RESPELLED = {"--batch": "--batch-size", "--samplings": "--sampling"}
"""Options that made results, and how they are spelled now."""


def current_command(command: str) -> str:
    """A command as a page tells it, in the present spelling of its script and options.

    The options that named the files to write are left out: there is a folder for them now.
    """
    script, *arguments = _WRITTEN.sub("", command).split(" ")
    folder, slash, name = script.rpartition("/")
    words = [
        f"{folder}{slash}{_RENAMED.get(name, name)}",
        *(_RESPELLED.get(word, word) for word in arguments),
    ]
    current = " ".join(words)
    return f"`python {command}`" if current == command else f"What is now `python {current}`,"


def _source(made: Provenance) -> str:
    machine = f"{made.told_machine}, torch {made.torch}"
    commit = (made.commit or "unknown")[:12] + (" with changes" if made.dirty else "")
    return f"{current_command(made.command)} on {machine}; commit {commit}, {made.date[:10]}."


def _tables_of(
    result_class: type[AnyResult], tables: Callable[[AnyResult], Sequence[Table] | Table]
) -> Reader:
    """The reader of a result whose tables ``tables`` makes."""

    def read(name: str) -> str:
        result = read_json(_RESULTS / f"{name}.json", result_class)
        return _page(tables(result), _source(result.provenance))

    return read


def _hosts(name: str) -> str:
    """A line a host, from every timing run that is committed."""
    runs = [read_json(_RESULTS / f"{run}.json", ThroughputResult) for run in _runs(READERS)]
    table = hosts_table(runs, [adapter.name.partition(" ")[0] for adapter in ADAPTERS])
    return table.to_markdown() + "\n\nEach run, its command and commit: [benchmarks](docs/benchmarks.md).\n"


def _runs(readers: Mapping[str, Reader]) -> list[str]:
    return [name for name, reader in readers.items() if reader is _THROUGHPUT]


def _macs(name: str) -> str:
    rows = read_json(_RESULTS / f"{name}.json", list[MacsRow])
    return _page(macs_table(rows), "`python benchmarks/count_macs.py`; a count, the same on every machine.")


def _systems(name: str) -> str:
    rows = read_json(_RESULTS / f"{name}.json", list[SystemRow])
    times = read_json(_RESULTS / "system-times.json", SystemTimes)
    return _page(systems_table(rows, times), "`python benchmarks/count_macs.py`.")


def _paper(name: str) -> str:
    tables = other_tables(read_json(_RESULTS / f"{name}.json", list[PrintedTable]))
    return "\n".join(table.to_markdown() for table in tables) + "\n"


def _sizes(name: str) -> str:
    """A line a shipped model, from the runs that scored each size."""
    runs = ("sizes-tiny", "sizes-small", "sizes-base")
    return (
        size_table([read_json(_RESULTS / f"{run}.json", ComparisonResult) for run in runs]).to_markdown()
        + "\n"
    )


def _video(name: str) -> str:
    """A line a model and camera, from the runs of each camera against both references."""
    named = [f"video-{camera}{given}" for camera in (1, 2, 3) for given in ("", "-given")]
    runs = [read_json(_RESULTS / f"{run}.json", VideoScores) for run in named]
    return _page(cameras_table(runs), "\n".join(f"- {_source(run.provenance)}" for run in runs))


def _page(tables: Sequence[Table] | Table, source: str) -> str:
    listed = [tables] if isinstance(tables, Table) else tables
    return "\n".join(table.to_markdown() for table in listed) + f"\n\n{source}\n"


_INFERENCE = _tables_of(ComparisonResult, comparison_table)
_THROUGHPUT = _tables_of(ThroughputResult, throughput_tables)
_DRIFT = _tables_of(ThroughputResult, drift_table)
_TRAINING_COST = _tables_of(TrainingCost, step_table)
_SCALING = _tables_of(ScalingResult, scaling_table)
_CLAIMS = _tables_of(ClaimsResult, claims_table)
_SEEDS = _tables_of(SeedStudy, seeds_table)
READERS: dict[str, Reader] = {
    "cmu-base": _INFERENCE,
    "cmu-one-step": _INFERENCE,
    "synthetic": _INFERENCE,
    "throughput": _THROUGHPUT,
    "throughput-fast": _THROUGHPUT,
    "throughput-hosts": _THROUGHPUT,
    "throughput-finepose": _THROUGHPUT,
    "throughput-ktpformer": _THROUGHPUT,
    "throughput-stcformer": _THROUGHPUT,
    "throughput-motionagformer": _THROUGHPUT,
    "throughput-gpu": _THROUGHPUT,
    "throughput-gpu-tf32": _DRIFT,
    "throughput-gpu-half": _DRIFT,
    "drift": _DRIFT,
    "throughput-gpu-hosts": _THROUGHPUT,
    "throughput-gpu-compiled": _THROUGHPUT,
    "throughput-gpu-bf16-graph": _THROUGHPUT,
    "throughput-gpu-ten-steps": _THROUGHPUT,
    "claims-gpu": _CLAIMS,
    "claims-small-gpu": _CLAIMS,
    "claims-equal-time": _CLAIMS,
    "claims-rows": _CLAIMS,
    "claims-recovery": _CLAIMS,
    "claims-tilt": _CLAIMS,
    "claims-tilt-long": _CLAIMS,
    "claims-tiny": _CLAIMS,
    "claims-modules-tiny": _CLAIMS,
    "claims-sft-tiny": _CLAIMS,
    "claims-masks-tiny": _CLAIMS,
    "claims-unrefined-tiny": _CLAIMS,
    "claims-chain-tiny": _CLAIMS,
    "claims-linear-tiny": _CLAIMS,
    "claims-length-tiny": _CLAIMS,
    "claims-frames-tiny": _CLAIMS,
    "claims-pairs-tiny": _CLAIMS,
    "claims-mixste-tiny": _CLAIMS,
    "claims-single": _CLAIMS,
    "ablation": _tables_of(AblationResult, ablation_tables),
    "seeds": _SEEDS,
    "sensitivity": _tables_of(SensitivityStudy, study_tables),
    "shipped": _SEEDS,
    "shipped-video": _SEEDS,
    "training-cost": _TRAINING_COST,
    "training-cost-small": _TRAINING_COST,
    "training-cost-gpu": _TRAINING_COST,
    "training-cost-gpu-32": _TRAINING_COST,
    "scaling": _SCALING,
    "scaling-gpu": _SCALING,
    "study-adapters": _tables_of(PatchedStudy, patched_table),
    "system-times": _tables_of(SystemTimes, system_times_table),
    "hosts": _hosts,
    "study-recovery": _tables_of(Study, study_table),
    "macs": _macs,
    "sizes": _sizes,
    "video": _video,
    "paper-systems": _systems,
    "paper-tables": _paper,
}


def with_tables(text: str) -> str:
    """The page with every marked table made anew.

    Raises:
        BenchmarkError: A table that no result is read for, or a result that is missing or damaged.
    """

    def made(match: re.Match[str]) -> str:
        start, name, end = match.groups()
        if name not in READERS:
            raise BenchmarkError(f"no table is called {name}; there are {', '.join(READERS)}")
        return start + READERS[name](name) + end

    return _PLACE.sub(made, text)


def main(options: Options) -> None:
    """Rewrite, or check, every page."""
    for page in _PAGES:
        path = _ROOT / page
        before = path.read_text(encoding="utf-8")
        after = with_tables(before)
        if after == before:
            continue
        if options.check:
            raise BenchmarkError(f"{page} is out of date: run python benchmarks/write_tables.py")
        path.write_text(after, encoding="utf-8")
        print(f"written: {page}")


if __name__ == "__main__":
    run_command(main, Options)
