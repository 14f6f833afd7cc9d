"""How far a trained host gets on fewer frames: patched, untrained and after a short fine-tuning.

    python benchmarks/study.py adapters --data ../shared/data/cmu/data_3d_cmu.npz

A study that was stopped goes on where it was when the same command is given again.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import tyro
from rich.console import Console
from torch import nn

import adapters
from adapters.clock import SpeedUp, interleaved, speed_up
from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.parts import Parts
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.base.units import GIGA
from htp_diffusion.data.motion import Motion, Windows, windows
from htp_diffusion.data.source import Source, training_motions
from htp_diffusion.data.virtual_views import EvaluationSet
from htp_diffusion.data.window_batches import check_limit, first_windows
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.speed.counting import true_macs
from htp_diffusion.studies.options import StudyMotion
from htp_diffusion.studies.patched_hosts import Host, d3dp_host, mixste_host
from htp_diffusion.studies.patched_table import (
    PatchedRow,
    PatchedStudy,
    Treatment,
    draw_patched,
    patched_table,
)
from htp_diffusion.studies.unseen import check_split
from htp_modules import HTPConfig
from htp_modules.config import Recovery, resolve_frames

console = Console(stderr=True, markup=False)

KEEP = (1.0, 1 / 2, 1 / 3, 2 / 9)
_FULL_PAIRS = 1  # n
_TIMED = 4  # windows
_TUNE_RATE = 5e-4
_TUNE_SEED = 1  # the hosts were trained with 0


@dataclass(frozen=True, kw_only=True)
class Options(StudyMotion):
    """Patch the shipped MixSTE and D3DP, keeping 1, 1/2, 1/3 and 2/9 of the frames: error against speed.

    Without training (interpolated), and after a short fine-tuning with either recovery. A quarter of an hour.

    Attributes:
        out: Folder for the result as JSON and the picture, and a folder in it for what is done so far.
        tune_steps: Fine-tuning steps.
        repeats: Rounds of the timing.
        max_windows: Score only the first windows of each host.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/study-adapters")
    tune_steps: int = 100
    repeats: int = 15
    max_windows: Annotated[int | None, by_default("all", "INT")] = None

    @property
    def parts(self) -> Parts:
        """What is done so far, another folder for every other study."""
        source = "synthetic" if self.data is None else self.data.stem
        return Parts(self.out / f"{source}-{self.tune_steps}-{self.max_windows or 'all'}")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the errors of a variant depend on."""

    host: str
    treatment: str
    keep: float | None
    motions: list[str]
    tune_steps: int
    data: str
    max_windows: int | None


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A host, treated one way: plain, or keeping a share of the frames; tuned or not."""

    keep: float | None
    recovery: Recovery | None
    tuned: bool

    @property
    def treatment(self) -> Treatment:
        """In words."""
        return f"{self.recovery or 'plain'}{', tuned' if self.tuned else ''}"  # pyright: ignore[reportReturnType]

    @property
    def file(self) -> str:
        """Name of the file for its errors."""
        share = "" if self.keep is None else f"-{self.keep:.3f}"
        return f"{self.treatment.replace(', ', '-')}{share}"

    def patch(self, model: nn.Module) -> nn.Module:
        """The untuned variant of a host; a copy."""
        torch.manual_seed(0)
        model = copy.deepcopy(model)
        if self.keep is None or self.recovery is None:
            return model
        config = HTPConfig(num_sft_layers=_FULL_PAIRS, num_keep=self.keep, recovery=self.recovery)
        return adapters.patch(model, config)


PLAIN = Variant(keep=None, recovery=None, tuned=False)
VARIANTS = (
    PLAIN,
    Variant(keep=None, recovery=None, tuned=True),
    *(Variant(keep=keep, recovery="interpolate", tuned=False) for keep in KEEP),
    *(Variant(keep=keep, recovery="interpolate", tuned=True) for keep in KEEP),
    *(Variant(keep=keep, recovery="cross_attention", tuned=True) for keep in KEEP),
)


def errors_of(
    host: Host,
    variant: Variant,
    motions: Sequence[Motion],
    clips: list[Windows],
    data: str,
    options: Options,
) -> Errors:
    """Make a variant and score it, unless the folder holds its errors."""

    def score() -> Errors:
        model = variant.patch(host.model)
        if variant.tuned:
            host.tune(model, motions, options.tune_steps, _TUNE_RATE, _TUNE_SEED)
        errors = host.score(model, clips)
        console.print(f"{name}: {errors.mpjpe:.1f} mm")
        return errors

    name = f"{host.name}-{variant.file}"
    asked = Asked(
        host=host.story,
        treatment=variant.treatment,
        keep=variant.keep,
        motions=[motion.name for motion in motions],
        tune_steps=options.tune_steps,
        data=data,
        max_windows=options.max_windows,
    )
    return options.parts.find_or_make(name, asked, Errors, score)


def speeds_of(host: Host, repeats: int) -> list[SpeedUp]:
    """Speed of each variant over the plain host's; untuned, as weights do not matter here."""
    inputs = host.inputs(_TIMED)
    models = [variant.patch(host.model).eval() for variant in VARIANTS]
    with torch.inference_mode():
        cases = {str(number): partial(model, *inputs) for number, model in enumerate(models)}
        timings = interleaved(cases, repeats=repeats, warmup=2)
    plain = timings[str(VARIANTS.index(PLAIN))]
    return [speed_up(plain, timing) for timing in timings.values()]


def study_host(
    host: Host, motions: Sequence[Motion], scored: EvaluationSet, options: Options
) -> list[PatchedRow]:
    """Every variant of one host: errors, cost, speed."""
    clips = [windows(clip, host.num_frames) for clip in scored.clips[::2]]  # two of the four cameras
    clips = first_windows(clips, options.max_windows)
    errors = [errors_of(host, variant, motions, clips, scored.identity, options) for variant in VARIANTS]
    speeds = speeds_of(host, options.repeats)
    return [
        PatchedRow(
            host=host.name,
            treatment=variant.treatment,
            keep=variant.keep,
            frames_kept=resolve_frames(1.0 if variant.keep is None else variant.keep, host.num_frames),
            mpjpe=error.mpjpe,
            p_mpjpe=error.p_mpjpe,
            mpjve=error.mpjve,
            gmacs=true_macs(variant.patch(host.model), host.inputs(1)) / GIGA,
            speed_up=speed.paired,
            speed_up_low=speed.paired_low,
            speed_up_high=speed.paired_high,
        )
        for variant, error, speed in zip(VARIANTS, errors, speeds, strict=True)
    ]


def main(options: Options) -> None:
    """Study both hosts, print the table, write the JSON and the picture."""
    at_least(options, 1, "tune_steps", "repeats")
    check_limit(options.max_windows)
    make_folder(options.out)  # or a wrong one would be told once a host is scored
    hosts = [mixste_host(), d3dp_host()]
    scored = options.scored(max(host.num_frames for host in hosts))
    motions = training_motions(Source(data=options.data, unit=options.unit))
    check_split(options.data, motions, scored)
    study = PatchedStudy(
        data=f"{scored.description}, of them every second camera",
        hosts=[host.story for host in hosts],
        num_sft_layers=_FULL_PAIRS,
        tune_steps=options.tune_steps,
        rows=[row for host in hosts for row in study_host(host, motions, scored, options)],
        provenance=provenance(),
    )
    show(patched_table(study))
    write_json(options.out / "study.json", study)
    draw_patched(options.out / "study.png", study)
    print(f"written: {options.out / 'study.json'}, {options.out / 'study.png'}")
