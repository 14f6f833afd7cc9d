"""Per-action errors of trained denoisers, by a named protocol, over a sweep of hypotheses and steps.

python benchmarks/evaluate.py benchmarks/checkpoints/htp-small.json --data ../shared/data/cmu/data_3d_cmu.npz
"""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.computing import Computing
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.comparison.action_table import action_tables, evaluation_table
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.comparison.result import ComparisonResult, EvaluationResult
from htp_diffusion.data.protocol import Selection
from htp_diffusion.data.source import Source, test_clips
from htp_diffusion.diffusion.options import SweepOptions
from htp_diffusion.models.contender import Contender, Pruning, named_contenders
from htp_diffusion.models.public_weights import PublicWeights


@dataclass(frozen=True, kw_only=True)
class Options:
    """Score checkpoints on the test clips of a data set, action by action.

    Every pair of a number of hypotheses and a number of steps is sampled, and its tables are printed; all of
    them go to evaluation.json, which is written anew after each pair.

    Attributes:
        checkpoints: JSON files of checkpoints: last.json of a training run, or a published KIND-PRESET.json.
        public: A checkpoint that others published, scored as it is.
        prune: Score it once more, patched by HTP without training.
        source: The motion.
        selection: Which clips and windows of it, and the protocol that scores them.
        sampling: How to sample.
        pruning: What to change in HTP.
        computing: Device, precision and mode.
        out: Folder for evaluation.json.
    """

    checkpoints: Annotated[tyro.conf.Positional[tuple[Path, ...]], by_default("none", "CHECKPOINT...")]
    public: Annotated[PublicWeights, tyro.conf.arg(name="")] = field(default_factory=PublicWeights)
    prune: bool = False
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    selection: Annotated[Selection, tyro.conf.arg(name="")] = field(default_factory=Selection)
    sampling: Annotated[SweepOptions, tyro.conf.arg(name="")] = field(default_factory=SweepOptions)
    pruning: Annotated[Pruning, tyro.conf.arg(name="")] = field(default_factory=Pruning)
    computing: Annotated[Computing, tyro.conf.arg(name="")] = field(default_factory=Computing)
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/evaluation")


def main(options: Options) -> None:
    """Load, sample, score, and say what came out."""
    device = options.computing.start()
    samplings = options.sampling.samplings
    options.selection.check()
    options.source.check()
    out = make_folder(options.out) / "evaluation.json"
    contenders = _contenders(options)
    longest = max(contender.config.num_frames for contender in contenders)
    found = test_clips(options.source, longest)
    for contender in contenders:
        contender.require_space(found.space, found.description)
    cuts = {
        num_frames: options.selection.cut(found, num_frames)
        for num_frames in {contender.config.num_frames for contender in contenders}
    }
    results: list[ComparisonResult] = []
    for contender, sampling in product(contenders, samplings):
        with _bar(f"{contender.name}, {sampling.label}") as progress:
            result = compare(
                [contender],
                cuts[contender.config.num_frames],
                sampling,
                device=device,
                precision=options.computing.precision,
                mode=options.computing.mode,
                memory_budget=options.sampling.memory_budget,
                clock=False,
                progress=progress,
            )
        results.append(result)
        for table in action_tables(result):
            show(table)
        write_json(out, EvaluationResult(rows=results))
    show(evaluation_table(EvaluationResult(rows=results)))
    print(f"written: {out}")


def _contenders(options: Options) -> list[Contender]:
    contenders = options.public.contenders(options.pruning if options.prune else None)
    if options.prune and not contenders:
        raise BenchmarkError("--prune is for --weights: models of this project prune as they were trained")
    if not options.checkpoints and not contenders:
        raise BenchmarkError(
            "name one checkpoint or several: last.json of a training run, a published one, or public weights "
            "by --weights and --model"
        )
    contenders = [*named_contenders(options.checkpoints, options.pruning), *contenders]
    if options.pruning.options and not any(contender.config.prunes for contender in contenders):
        raise BenchmarkError(f"{', '.join(options.pruning.options)}: an option of HTP; no model here prunes")
    return contenders


@contextmanager
def _bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; what it gives is told the batches done and all batches."""
    with progress_bar() as progress:
        task = progress.add_task(f"{text}, batches", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


if __name__ == "__main__":
    run_command(main, Options)
