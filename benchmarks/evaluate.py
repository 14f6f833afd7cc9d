"""Per-action errors of trained denoisers, by a named protocol, over a sweep of hypotheses and steps.

python benchmarks/evaluate.py benchmarks/checkpoints/htp-small.json --data ../shared/data/cmu/data_3d_cmu.npz
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import at_least, by_default, run_command
from htp_diffusion.base.device import Precision, check_precision, choose_device, device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.comparison.action_table import (
    EvaluationResult,
    EvaluationRow,
    action_table,
    evaluation_table,
)
from htp_diffusion.data.labelled import ClipSet
from htp_diffusion.data.mocap.cmu import trained_among
from htp_diffusion.data.protocol import ProtocolName, protocol_named
from htp_diffusion.data.source import Source, test_clips
from htp_diffusion.diffusion.sampling import Sampling, check_budget
from htp_diffusion.models.contender import Contender, Pruning, trained_contender
from htp_diffusion.scoring.action_scores import evaluate_denoiser


@dataclass(frozen=True, kw_only=True)
class Options:
    """Score checkpoints on the test clips of a data set, action by action.

    Every pair of a number of hypotheses and a number of steps is sampled, and its tables are printed; all of
    them go to evaluation.json, which is written anew after each pair.

    Attributes:
        checkpoints: JSON files of checkpoints: last.json of a training run, or a published KIND-PRESET.json.
        source: The motion.
        protocol: every-frame scores each frame once. d3dp and motionbert score as these projects do; paper is
            another name of d3dp.
        actions: Score these actions alone.
        hypotheses: H, poses sampled for each window; several are a sweep.
        steps: K, denoising steps; several are a sweep.
        every: Sample every so many windows of each clip: a look, not a result.
        eta: Noise put back at each step, 0 to 1: 1 as D3DP's code, 0 deterministic as the paper says.
        flip: Average with the mirrored input inside each step.
        num_sft_layers: n of HTP: pairs of blocks after the first that see every frame.
        num_keep: f of HTP: frames kept in a window; a number below 1 with a point is a share.
        num_neighbors: k of HTP: frames that a frame attends to; a number below 1 with a point is a share.
        batch_size: Windows sampled in one call.
        memory_budget: GiB for the activations of one call of a denoiser; a batch is split to fit.
        precision: Of the denoisers: fp32, tf32 (CUDA), bf16 or fp16 (autocast).
        device: auto (CUDA where there is a device), cpu, cuda or cuda:N.
        seed: Seed of the sampling noise.
        out: Folder for evaluation.json.
    """

    checkpoints: Annotated[tyro.conf.Positional[tuple[Path, ...]], by_default("none", "CHECKPOINT...")]
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    protocol: ProtocolName = "every-frame"
    actions: Annotated[tuple[str, ...], by_default("all", "ACTION")] = ()
    hypotheses: tuple[int, ...] = (1, 5)
    steps: tuple[int, ...] = (1, 5)
    every: int = 1
    eta: float = 1.0
    flip: bool = True
    num_sft_layers: Annotated[int | None, by_default("as trained", "INT")] = None
    num_keep: Annotated[int | float | None, by_default("as trained", "INT|FLOAT")] = None
    num_neighbors: Annotated[int | float | None, by_default("as trained", "INT|FLOAT")] = None
    batch_size: int = 8
    memory_budget: Annotated[
        float | None, by_default("1 on a CPU, half of the free memory on a GPU", "GIB")
    ] = None
    precision: Precision = "fp32"
    device: str = "auto"
    seed: int = 0
    out: Path = Path("runs/evaluation")


def main(options: Options) -> None:
    """Load, sample, score, and say what came out."""
    device = choose_device(options.device)
    check_precision(options.precision, device)
    check_budget(options.memory_budget)
    at_least(options, 1, "every")
    ways = _samplings(options)
    out = make_folder(options.out) / "evaluation.json"
    contenders = _contenders(options)
    longest = max(contender.config.num_frames for contender in contenders)
    found = test_clips(options.source, longest)
    for contender in contenders:
        _require_space(contender, found)
    if options.actions:
        found = found.only(options.actions)
    protocol = protocol_named(options.protocol, found)
    sweep = list(product(contenders, ways))
    rows: list[EvaluationRow] = []
    result = None
    for contender, sampling in sweep:
        with _bar(f"{contender.name}, {sampling.label}") as progress:
            scores = evaluate_denoiser(
                contender.denoiser,
                contender.config,
                found,
                sampling,
                protocol=protocol,
                every=options.every,
                device=device,
                precision=options.precision,
                memory_budget=options.memory_budget,
                progress=progress,
            )
        rows.append(
            EvaluationRow(
                name=contender.name,
                denoiser=contender.config,
                checkpoint=contender.source,
                trained_steps=contender.checkpoint.step if contender.checkpoint else None,
                trained_on=_trained_on(contender, found, options.source),
                evaluation=scores,
            )
        )
        show(action_table(rows[-1]))
        result = EvaluationResult(
            data=found.description,
            camera=found.camera,
            space=found.space.to_json(),
            notes=list(found.notes),
            protocol=protocol,
            every=options.every,
            device=device_name(device),
            precision=options.precision,
            rows=rows,
            provenance=provenance(),
        )
        write_json(out, result)
    if result is not None:
        show(evaluation_table(result))
        print(f"written: {out}")


def _samplings(options: Options) -> list[Sampling]:
    """Every way to sample that is asked for."""
    pairs = list(product(options.hypotheses, options.steps))
    if not pairs:
        raise BenchmarkError("hypotheses and steps expect at least one number each")
    return [
        Sampling(
            hypotheses=hypotheses,
            steps=steps,
            eta=options.eta,
            flip=options.flip,
            seed=options.seed,
            batch_size=options.batch_size,
        )
        for hypotheses, steps in pairs
    ]


def _contenders(options: Options) -> list[Contender]:
    if not options.checkpoints:
        raise BenchmarkError(
            "name one checkpoint or several: last.json of a training run, or a published one"
        )
    pruning = Pruning(
        num_sft_layers=options.num_sft_layers,
        num_keep=options.num_keep,
        num_neighbors=options.num_neighbors,
    )
    contenders = [trained_contender(path, pruning) for path in options.checkpoints]
    if len({contender.name for contender in contenders}) == len(contenders):
        return contenders
    folders = [path.resolve().parent.name for path in options.checkpoints]  # every run has a last.json
    return [
        replace(contender, name=f"{folder}/{contender.name}")
        for contender, folder in zip(contenders, folders, strict=True)
    ]


def _require_space(contender: Contender, found: ClipSet) -> None:
    """Refuse motion of another space than the checkpoint states."""
    if contender.checkpoint is not None:
        space = contender.checkpoint.pose_space
        space.require(found.space, f"{contender.source} is not made for {found.description}")


def _trained_on(contender: Contender, found: ClipSet, source: Source) -> list[str]:
    """Scored motions that were trained on; synthetic ones recur in name alone."""
    if contender.checkpoint is None or source.kind == "synthetic":
        return []
    trained = {name.partition("@")[0] for name in contender.checkpoint.motions}  # or "motion@camera"
    return trained_among([clip.motion for clip in found.clips], trained)


@contextmanager
def _bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; what it gives is told the batches done and all batches."""
    with progress_bar() as progress:
        task = progress.add_task(f"{text}, batches", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


if __name__ == "__main__":
    run_command(main, Options)
