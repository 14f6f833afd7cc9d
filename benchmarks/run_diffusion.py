"""The main job: D3DP and HTP side by side on the same motion, their errors, speed and cost."""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor, nn

from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.computing import Computing
from htp_diffusion.base.device import precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.comparison.kept_frames import draw_frames, observe_retention
from htp_diffusion.comparison.poses_picture import draw_poses, scored_frames
from htp_diffusion.comparison.table import comparison_table
from htp_diffusion.data.protocol import CutSet, Selection
from htp_diffusion.data.source import Source, test_clips
from htp_diffusion.diffusion.options import SamplingOptions
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.checkpoint import SHIPPED
from htp_diffusion.models.config import Kind
from htp_diffusion.models.contender import (
    CHECKPOINT_FOLDER,
    PRESET,
    Contender,
    Pruning,
    trained_contenders,
    untrained_contenders,
    with_fewer_early,
)
from htp_diffusion.models.preset import PresetName
from htp_diffusion.models.public_weights import PublicWeights

_SHIPPED_PRESETS: tuple[PresetName, ...] = ("base", "small", "tiny")
_KINDS: tuple[Kind, ...] = ("d3dp", "htp")  # the baseline first, HTP last
_PICTURED_WINDOWS = 2


@dataclass(frozen=True, kw_only=True)
class OneThread(Computing):
    """How to compute: on a CPU by one thread, if no other number is given.

    Beside other work the threads of these small models wait for each other at every operation: two of them
    are then slower than one, and HTP, with more and smaller operations, loses more than D3DP.
    """

    threads: Annotated[int | None, by_default("1, for speed to be compared on a busy machine too", "INT")] = 1


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sample 3D poses with D3DP and HTP, and compare their errors, speed and cost.

    Without any option: the shipped checkpoints, on synthetic motion that needs no download. Prints one table;
    writes result.json and pictures: kept_frames.png, poses.png and worst_poses.png.

    Attributes:
        source: The motion: CMU test clips if an npz file holds any, otherwise every clip of it, seen by four
            virtual cameras with seeded detector noise; of a data set its test part.
        selection: Which clips and windows of it.
        public: A checkpoint that others published, in place of those.
        prune: Beside a checkpoint that others published, the same patched by HTP without training.
        sampling: How to sample; the seed is that of random weights, too.
        pruning: What to change in HTP.
        early_keep: f of HTP at every denoising step but the last: a count or a share as NUM_KEEP, and
            smaller. Approximate, and compared as a model of its own beside HTP. Needs at least 2 steps.
        computing: Device, precision and mode.
        out: Folder for result.json and the pictures.
    """

    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    selection: Annotated[Selection, tyro.conf.arg(name="")] = field(default_factory=Selection)
    preset: Annotated[PresetName, PRESET] = "base"
    checkpoint_folder: Annotated[
        Path | None,
        CHECKPOINT_FOLDER,
        by_default("the shipped ones for base, small and tiny, random weights for others", "FOLDER"),
    ] = None
    public: Annotated[PublicWeights, tyro.conf.arg(name="")] = field(default_factory=PublicWeights)
    prune: bool = False
    sampling: Annotated[SamplingOptions, tyro.conf.arg(name="")] = field(default_factory=SamplingOptions)
    pruning: Annotated[Pruning, tyro.conf.arg(name="")] = field(default_factory=Pruning)
    early_keep: Annotated[int | float | None, by_default("no such model", "INT|FLOAT")] = None
    computing: Annotated[Computing, tyro.conf.arg(name="")] = field(default_factory=OneThread)
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/diffusion")


def main(options: Options) -> None:
    """Load, sample, and say what came out."""
    device = options.computing.start()
    sampling = options.sampling.sampling
    options.selection.check()
    options.source.check()
    out = make_folder(options.out)
    contenders = _contenders(options)
    num_frames = contenders[0].config.num_frames
    cut = options.selection.cut(test_clips(options.source, num_frames), num_frames)
    means: dict[str, list[Tensor]] = {contender.name: [] for contender in contenders}
    with progress_bar() as progress:
        task = progress.add_task(f"sampling {cut.count} windows with each model, batches", total=None)
        result = compare(
            contenders,
            cut,
            sampling,
            device=device,
            precision=options.computing.precision,
            mode=options.computing.mode,
            memory_budget=options.sampling.memory_budget,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
            observe=lambda name, hypotheses: means[name].append(hypotheses.mean(dim=1).cpu()),
        )
    show(comparison_table(result))
    write_json(out / "result.json", result)
    print(f"written: {out / 'result.json'}")
    _draw_poses(out, cut, {name: torch.cat(parts) for name, parts in means.items()})
    for contender in contenders:
        if contender.config.prunes and contender.early is None:
            with precision_of(options.computing.precision, device):
                _draw_kept(out / "kept_frames.png", contender.denoiser, cut, result.sampling, contender.name)


def _contenders(options: Options) -> list[Contender]:
    if options.early_keep is None:
        return _exact_contenders(options)
    if options.sampling.steps < 2:
        raise BenchmarkError(f"early keep needs at least 2 denoising steps, got {options.sampling.steps}")
    contenders = _exact_contenders(options)
    return [*contenders, with_fewer_early(contenders[-1], options.early_keep)]


def _exact_contenders(options: Options) -> list[Contender]:
    public = options.public.contenders(options.pruning if options.prune else None)
    if options.prune and not public:
        raise BenchmarkError("--prune is for --weights: models of this project prune as they were trained")
    if public:
        if options.checkpoint_folder is not None:
            raise BenchmarkError("--weights and --checkpoint-folder name two pairs: give one of them")
        if options.pruning.options and not options.prune:
            raise BenchmarkError(f"{', '.join(options.pruning.options)}: with --weights, only with --prune")
        return public
    folder = options.checkpoint_folder
    if folder is None and options.preset not in _SHIPPED_PRESETS:
        return untrained_contenders(options.preset, _KINDS, options.pruning, options.sampling.seed)
    return trained_contenders(folder or SHIPPED, options.preset, _KINDS, options.pruning, space=None)


def _draw_poses(out: Path, cut: CutSet, means: dict[str, Tensor]) -> None:
    """Chosen frames and the worst ones of the last model, the truth beside."""
    frames = scored_frames(cut.windows, means, cut.protocol.root, cut.found.space.layout)
    last = list(means)[-1]
    pictures = {
        "poses.png": (
            frames.spread_out(),
            "frames at even distances: truth (grey below the models) and poses",
        ),
        "worst_poses.png": (frames.worst(last, cut.num_frames), f"the worst frames of {last}"),
    }
    for name, (chosen, title) in pictures.items():
        draw_poses(out / name, frames, chosen, title)
        print(f"written: {out / name}")


@torch.no_grad()
def _draw_kept(path: Path, denoiser: nn.Module, cut: CutSet, sampling: Sampling, name: str) -> None:
    """Draw the frames kept in the first windows of the first clip."""
    space = cut.found.space
    pictured = cut.windows[0].take(slice(_PICTURED_WINDOWS))
    retention = observe_retention(denoiser, pictured, sampling, space.layout)
    draw_frames(path, cut.clips[0].clip, retention, name, space.unit)
    print(f"written: {path}")


if __name__ == "__main__":
    run_command(main, Options)
