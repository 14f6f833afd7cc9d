"""Trained: D3DP and HTP trained side by side in the time that is left, and scored, as a part."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console

from htp_diffusion.base.computing import Precise
from htp_diffusion.base.device import device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.parts import Parts
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.reproduction.datasets import identity
from htp_diffusion.reproduction.machine import release, training_precision
from htp_diffusion.reproduction.part import Compared, Part, Workplace
from htp_diffusion.reproduction.scale import Scale, ScaleName
from htp_diffusion.speed.paper_tables import printed_or_none
from htp_diffusion.studies.claims import MODELS, members
from htp_diffusion.studies.claims_table import ClaimsResult, claims_table
from htp_diffusion.studies.commands.claims import Options, studied, training_set
from htp_diffusion.studies.unseen import check_split
from htp_diffusion.training.fleet import Fleet

FOLDER = "trained"
_SCORING = {"cuda": 45.0, "cpu": 15.0}  # seconds kept back for it
_BETWEEN_SAVES = 60.0
_LEAST = {"paper": 60.0, "tiny": 12.0}  # seconds: less training tells nothing
_TINY_SECONDS = 8.0  # of training, at most
_WINDOWS_APART = 2


@dataclass(frozen=True, kw_only=True)
class TrainedAsked:
    """What the training depends on, but for its length.

    Attributes:
        scale: The sizes.
        preset: Of the models.
        data: Name and hash of the file of motion; None for procedural motion.
        device: Where.
    """

    scale: ScaleName
    preset: str
    data: str | None
    device: str


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """How long the training is: laid down once, so that a run that was killed ends where it was to end."""

    steps: int


def trained_part(scale: Scale, data: Path | None, device: torch.device) -> Part[ClaimsResult]:
    """The part.

    Args:
        scale: The sizes.
        data: World motion as npz; None for procedural motion, of which none is real.
        device: Where.
    """
    asked = TrainedAsked(
        scale=scale.name,
        preset=scale.training_preset,
        data=None if data is None else identity(data),
        device=device_name(device),
    )

    def make(work: Workplace) -> ClaimsResult:
        try:
            return _make(scale, data, asked, work)
        finally:
            release(device)

    return Part(
        name="trained",
        title="D3DP and HTP, trained here on the same batches",
        items=("Table I",),
        asked=asked,
        kind=ClaimsResult,
        estimate=_LEAST[scale.name] + _SCORING[device.type],
        make=make,
        tables=lambda result: [claims_table(result)],
        compared=_compared,
        share=1.0,
    )


def _make(scale: Scale, data: Path | None, asked: TrainedAsked, work: Workplace) -> ClaimsResult:
    seconds = work.seconds - _SCORING[work.device.type]
    ends = time.monotonic() + (seconds if scale.name == "paper" else min(seconds, _TINY_SECONDS))
    preset = PRESETS[scale.training_preset]
    folder = work.folder / FOLDER
    draw = f"{scale.hypotheses_scored}x{scale.steps_scored}"
    options = Options(
        models=scale.trained,
        seeds=scale.seeds,
        preset=scale.training_preset,
        data=data,
        computing=Precise(precision=training_precision(work.device)),
        sampling=tuple(dict.fromkeys(("1x1", draw))),
        every=_WINDOWS_APART,
        out=folder,
    )
    motions = training_set(options, preset.num_frames)
    found = options.scored(preset.num_frames)
    check_split(data, motions, found)
    fleet = Fleet(
        folder,
        members(options.models, options.seeds, preset),
        preset,
        motions,
        device=work.device,
        precision=options.computing.precision,
    )
    a_step = fleet.seconds_per_step()
    plan = Parts(folder).find_or_make(
        "plan",
        asked,
        TrainingPlan,
        lambda: TrainingPlan(steps=steps_within(ends - time.monotonic(), a_step)),
    )
    if fleet.step < plan.steps:
        fleet.run(
            plan.steps,
            save_every=_BETWEEN_SAVES,
            deadline=ends + _SCORING[work.device.type] / 3,
            progress=lambda step, loss: work.progress(step, plan.steps),
        )
    if fleet.step == 0:
        raise BenchmarkError("there was no time for a step of training")
    console = Console(quiet=True)
    return studied(fleet, motions, found, options, work.device, console, steps=fleet.step, seconds=a_step)


def steps_within(seconds: float, a_step: float) -> int:
    """Steps that fit into a time, one at least."""
    return max(1, int(seconds / a_step))


def _compared(result: ClaimsResult) -> Sequence[Compared]:
    printed_as = {"d3dp": "D3DP", "htp": "HTP"}
    last = list(result.rows[0].errors)[-1]
    return [
        Compared(
            item="Table I",
            what=f"{MODELS[row.model]}, trained here, seed {row.seed}: MPJPE, mm",
            measured=row.errors[last].mpjpe,
            quoted=printed_or_none("Table I", printed_as.get(row.model, ""), "MPJPE, mm, CPN 2D"),
            condition=f"{result.scored.partition(':')[0]}, {result.steps:,} steps at preset {result.preset}, "
            f"HxK={last}; the paper: Human3.6M, CPN",
        )
        for row in result.rows
    ]
