"""Data sets: what the user named is scored with the trained pair or with named checkpoints, as parts."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.tensors import sha256_of
from htp_diffusion.comparison.action_table import action_tables, evaluation_table
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.comparison.result import EvaluationResult
from htp_diffusion.data.labelled import ClipSet
from htp_diffusion.data.protocol import ProtocolName, cut_set, protocol_named
from htp_diffusion.data.source import Dataset, Source, test_clips
from htp_diffusion.diffusion.denoisers import Network
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.contender import Contender, Pruning, trained_contender
from htp_diffusion.pose.layout import Layout
from htp_diffusion.reproduction.part import Compared, Part, Workplace
from htp_diffusion.reproduction.scale import Scale
from htp_diffusion.speed.paper_tables import UNPLACED, printed_or_none

_PROTOCOLS: dict[Dataset, ProtocolName] = {
    "h36m": "paper",
    "motionbert": "motionbert",
    "3dhp": "paper",
    "npz": "every-frame",
    "synthetic": "every-frame",
}
_PRINTED = {"d3dp": "D3DP", "htp": "HTP"}
_INPUTS = {"cpn": "CPN 2D", "gt": "true 2D"}
_LEAST = 30.0  # seconds
_BATCH = {"cpu": 8, "cuda": 128}
_PROBED_WINDOWS = 4


@dataclass(frozen=True, kw_only=True)
class DatasetAsked:
    """What the errors depend on.

    Attributes:
        dataset: Its kind.
        files: Names of its files, and the SHA-256 of those that are files.
        conversion, annotation: As in ``Source``.
        fps: Likewise.
        protocol: By which it is scored.
        weights: SHA-256 of every checkpoint.
        hypotheses, steps: Of the sampling; a single hypothesis and step is scored beside it.
        every: N, where every N-th window of each clip is sampled; None for what there is time for.
        device: Where.
    """

    dataset: Dataset
    files: list[str]
    conversion: str | None
    annotation: str | None
    fps: float
    protocol: ProtocolName
    weights: list[str]
    hypotheses: int
    steps: int
    every: int | None
    device: str


def dataset_part(
    number: int,
    source: Source,
    checkpoints: Sequence[Path],
    scale: Scale,
    device: torch.device,
    every: int | None,
) -> Part[EvaluationResult]:
    """One data set.

    Args:
        number: Of the data set, for its file.
        source: The data set.
        checkpoints: Whose errors.
        scale: The sizes.
        device: Where.
        every: Sample every N-th window of each clip; None: as many as there is time for.

    Raises:
        BenchmarkError: A file that is not there.
    """
    kind = source.kind
    protocol = _PROTOCOLS[kind]
    files = [path for path in (source.data, source.test_data, source.keypoints) if path is not None]
    contenders_of = list(checkpoints)

    def make(work: Workplace) -> EvaluationResult:
        return _make(source, protocol, contenders_of, scale, every, work)

    return Part(
        name=f"data-{number}-{kind}",
        title=f"Errors on {', '.join(path.name for path in files)}",
        items=_items(kind),
        asked=DatasetAsked(
            dataset=kind,
            files=[identity(path) for path in files],
            conversion=source.conversion,
            annotation=source.annotation,
            fps=source.fps,
            protocol=protocol,
            weights=[identity(path) for path in contenders_of],
            hypotheses=scale.hypotheses_scored,
            steps=scale.steps_scored,
            every=every,
            device=device_name(device),
        ),
        kind=EvaluationResult,
        estimate=_LEAST if scale.name == "paper" else 5.0,
        make=make,
        tables=lambda result: [
            *(table for row in result.rows for table in action_tables(row)),
            evaluation_table(result),
        ],
        compared=lambda result: compared_errors(kind, source, result),
        share=0.4,
    )


def _items(kind: Dataset) -> tuple[str, ...]:
    return {"h36m": ("Table I", "Figure 1"), "motionbert": ("Table I",), "3dhp": (UNPLACED,)}.get(
        kind, ("Table I",)
    )


def identity(path: Path) -> str:
    """A file's name and hash; of a folder the name, and how many files of how many bytes it holds.

    Raises:
        BenchmarkError: The file cannot be read.
    """
    if path.is_dir():
        sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
        return f"{path.name} {len(sizes)} files, {sum(sizes)} bytes"
    try:
        return f"{path.name} {sha256_of(path)}"
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error


def _make(
    source: Source,
    protocol_name: ProtocolName,
    checkpoints: Sequence[Path],
    scale: Scale,
    every: int | None,
    work: Workplace,
) -> EvaluationResult:
    ends = time.monotonic() + work.seconds
    contenders = [trained_contender(path, Pruning()) for path in checkpoints]
    found = test_clips(source, max(contender.config.num_frames for contender in contenders))
    for contender in contenders:
        contender.require_space(found.space, found.description)
    protocol = protocol_named(protocol_name, found)
    draws = dict.fromkeys([(1, 1), (scale.hypotheses_scored, scale.steps_scored)])
    sweep = [(contender, *draw) for contender in contenders for draw in draws]
    passes = 2 * sum(hypotheses * steps for _, hypotheses, steps in sweep)
    if every is None:
        left = ends - time.monotonic()
        every = every_within(_seconds(contenders, found, passes / len(contenders), work), 0.8 * left)
    cuts = {
        num_frames: cut_set(found, num_frames, protocol, every)
        for num_frames in {contender.config.num_frames for contender in contenders}
    }
    rows = []
    for number, (contender, hypotheses, steps) in enumerate(sweep):
        sampling = Sampling(
            hypotheses=hypotheses,
            steps=steps,
            eta=1.0,
            flip=True,
            seed=0,
            batch_size=_BATCH[work.device.type],
        )
        rows.append(
            compare(
                [contender],
                cuts[contender.config.num_frames],
                sampling,
                device=work.device,
                clock=False,
                progress=partial(_tell, work, number, len(sweep)),
            )
        )
    return EvaluationResult(rows=rows)


def _tell(work: Workplace, before: int, count: int, done: int, total: int) -> None:
    """Progress of one of several runs of the same length."""
    work.progress(before * total + done, count * total)


def _seconds(contenders: Sequence[Contender], found: ClipSet, passes: float, work: Workplace) -> float:
    """How long scoring every window takes, from a few windows with one hypothesis and step."""
    total = 0.0
    for contender in contenders:
        frames = contender.config.num_frames
        windows = sum(-(-len(clip.clip.pose_2d) // frames) for clip in found.clips)
        pose_2d = torch.zeros(_PROBED_WINDOWS, frames, found.space.layout.num_joints, 2, device=work.device)
        sampling = Sampling(hypotheses=1, steps=1, eta=1.0, flip=True, seed=0, batch_size=_PROBED_WINDOWS)
        denoiser = contender.denoiser.to(work.device)
        with torch.inference_mode():
            first = _drawing_time(sampling, denoiser, pose_2d, found.space.layout)  # warms up
            seconds = min(first, _drawing_time(sampling, denoiser, pose_2d, found.space.layout))
        total += windows / _PROBED_WINDOWS * seconds * passes / 2
    return total


def _drawing_time(sampling: Sampling, denoiser: Network, pose_2d: Tensor, layout: Layout) -> float:
    start = time.monotonic()
    float(sampling.draw(denoiser, pose_2d, layout=layout).sum())  # waits for the device
    return time.monotonic() - start


def every_within(seconds: float, left: float) -> int:
    """The N for which scoring every N-th window fits into the time that is left."""
    return max(1, -int(-seconds // max(1.0, left)))


def compared_errors(kind: Dataset, source: Source, result: EvaluationResult) -> Sequence[Compared]:
    """The field's averages, beside the paper's where it is the same data."""
    found: list[Compared] = []
    keypoints = "" if source.keypoints is None else source.keypoints.name
    inputs = next((inputs for word, inputs in _INPUTS.items() if word in keypoints), "")
    item = UNPLACED if kind == "3dhp" else "Table I"
    for row in result.rows:
        [model] = row.models
        printed_as = _PRINTED.get(model.denoiser.kind, "")
        errors = model.scores.over_actions["mean"]
        share = f"; one window in {row.every}" if row.every > 1 else ""
        condition = (
            f"{row.data}; {model.checkpoint}, T={model.denoiser.num_frames}, D={model.denoiser.dim}; "
            f"{row.sampling.label}, mean; protocol {row.protocol.name}{share}"
        )
        if row.trained_on:
            condition += f"; not a test: {len(row.trained_on)} of the motions were trained on"
        figures = (
            ("MPJPE, mm", errors.mpjpe),
            ("P-MPJPE, mm", errors.p_mpjpe),
            ("PCK, %", errors.pck),
            ("AUC, %", errors.auc),
        )
        drawn = row.sampling
        for name, value in figures:
            if value is not None:
                quoted = None
                if kind == "3dhp":
                    quoted = printed_or_none(item, printed_as, f"MPI-INF-3DHP, {name}")
                elif kind == "h36m":
                    quoted = printed_or_none(item, printed_as, f"{name}, {inputs}")
                what = f"{model.name}, H={drawn.hypotheses}, K={drawn.steps}: {name}"
                found.append(
                    Compared(item=item, what=what, measured=value, quoted=quoted, condition=condition)
                )
    return found
