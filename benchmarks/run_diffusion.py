"""The main job: D3DP and HTP side by side on the same motion, their errors, speed and cost."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor

from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.device import Precision, check_precision, choose_device, device_name, precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.progress import progress_bar
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.comparison.kept_frames import draw_frames, observe_retention
from htp_diffusion.comparison.poses_picture import draw_poses, scored_frames
from htp_diffusion.comparison.table import InferenceResult, inference_table
from htp_diffusion.data.formats.units import Unit
from htp_diffusion.data.mocap.cmu import trained_among
from htp_diffusion.data.motion import Windows, windows
from htp_diffusion.data.virtual_views import EvaluationSet, check_fps, embedded_set, file_set
from htp_diffusion.diffusion.sampling import Sampling, check_budget, check_limit, first_windows, fit_sampling
from htp_diffusion.models.config import Kind
from htp_diffusion.models.contender import (
    Contender,
    Pruning,
    trained_contenders,
    untrained_contenders,
    with_fewer_early,
)
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.models.preset import PresetName
from htp_diffusion.scoring.forecast import announce

_CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"
_KINDS: tuple[Kind, ...] = ("d3dp", "htp")  # the baseline first, HTP last
_PICTURED_WINDOWS = 2


@dataclass(frozen=True, kw_only=True)
class Options:
    """Sample 3D poses with D3DP and HTP, and compare their errors, speed and cost.

    Without any option: the shipped checkpoints, on synthetic motion that needs no download. Prints one table;
    writes result.json and pictures: kept_frames.png, poses.png and worst_poses.png.

    Attributes:
        data: data_3d_*.npz of real motion: the CMU test clips if it holds any of them, otherwise every clip.
            Seen by four virtual cameras, with seeded detector noise.
        fps: Frame rate of DATA, frames a second.
        unit: Unit of DATA: metres, centimetres, millimetres, inches, or cmu (inches / 0.45).
        preset: Size of the models.
        checkpoint_folder: Folder with d3dp-PRESET.json and htp-PRESET.json.
        hypotheses: H, poses sampled for each window.
        steps: K, denoising steps.
        eta: Noise put back at each step, 0 to 1: 1 as D3DP's code, 0 deterministic as the paper says.
        flip: Average with the mirrored input inside each step.
        num_sft_layers: n of HTP: pairs of blocks after the first that see every frame (the paper trains
            with 3 and samples with 1).
        num_keep: f of HTP: frames kept in a window; a number below 1 with a point is a share.
        num_neighbors: k of HTP: frames that a frame attends to; a number below 1 with a point is a share.
        early_keep: f of HTP at every denoising step but the last, as NUM_KEEP and below it: approximate, and
            compared as a model of its own beside HTP. Needs at least 2 steps.
        batch_size: Windows sampled in one call.
        max_windows: Take only so many windows.
        memory_budget: GiB for the activations of one call of a denoiser; a batch is split to fit.
        precision: Of the denoisers: fp32, tf32 (CUDA), bf16 or fp16 (autocast).
        compile: Compile the denoisers; takes minutes before it pays.
        device: auto (CUDA where there is a device), cpu, cuda or cuda:N.
        seed: Seed of the sampling noise, and of random weights.
        out: Folder for result.json and the pictures.
    """

    data: Annotated[Path | None, by_default("embedded synthetic motion", "FILE")] = None
    fps: float = 60.0
    unit: Unit = "metres"
    preset: PresetName = "small"
    checkpoint_folder: Annotated[
        Path | None, by_default("the shipped ones for small, random weights for others", "FOLDER")
    ] = None
    hypotheses: int = 5
    steps: int = 5
    eta: float = 1.0
    flip: bool = True
    num_sft_layers: Annotated[int | None, by_default("as trained", "INT")] = None
    num_keep: Annotated[int | float | None, by_default("as trained", "INT|FLOAT")] = None
    num_neighbors: Annotated[int | float | None, by_default("as trained", "INT|FLOAT")] = None
    early_keep: Annotated[int | float | None, by_default("no such model", "INT|FLOAT")] = None
    batch_size: int = 2
    max_windows: Annotated[int | None, by_default("all", "INT")] = None
    memory_budget: Annotated[
        float | None, by_default("1 on a CPU, half of the free memory on a GPU", "GIB")
    ] = None
    precision: Precision = "fp32"
    compile: bool = False
    device: str = "auto"
    seed: int = 0
    out: Path = Path("runs/diffusion")


def main(options: Options) -> None:
    """Load, sample, and say what came out."""
    device = choose_device(options.device)
    sampling = _checked_sampling(options, device)
    out = make_folder(options.out)
    contenders = _contenders(options)
    num_frames = contenders[0].config.num_frames
    found = (
        embedded_set(num_frames)
        if options.data is None
        else file_set(options.data, options.fps, options.unit)
    )
    clips = first_windows([windows(clip, num_frames) for clip in found.clips], options.max_windows)
    count = sum(len(clip.start) for clip in clips)
    widest = max((contender.config for contender in contenders), key=lambda config: config.dim)
    sampling = fit_sampling(sampling, count, widest, options.memory_budget, device)
    announce([contender.denoiser for contender in contenders], clips, sampling, device, options.precision)

    means: dict[str, list[Tensor]] = {contender.name: [] for contender in contenders}

    with progress_bar() as progress:
        rounds = 1 + -(-count // sampling.batch_size)  # the first warms up
        task = progress.add_task(
            f"sampling {count} windows with each model, batches", total=len(contenders) * rounds
        )
        models = compare(
            contenders,
            clips,
            sampling,
            device=device,
            precision=options.precision,
            compiled=options.compile,
            advance=lambda: progress.advance(task),
            observe=lambda name, hypotheses: means[name].append(hypotheses.mean(dim=1).cpu()),
        )
    result = InferenceResult(
        data=found.description,
        trained_on=[] if options.data is None else _trained_on(contenders, found),
        clips=len(clips),
        windows=count,
        frames=sum(clip.frames for clip in models[0].scores.clips),
        window_frames=num_frames,
        device=device_name(device),
        precision=options.precision,
        compiled=options.compile,
        sampling=sampling,
        models=models,
        provenance=provenance(),
        padded=sum(len(clip.pose_2d) < num_frames for clip in found.clips[: len(clips)]),
    )
    show(inference_table(result))
    write_json(out / "result.json", result)
    print(f"written: {out / 'result.json'}")
    _draw_poses(out, clips, {name: torch.cat(parts) for name, parts in means.items()}, num_frames)
    for contender in contenders:
        if isinstance(contender.denoiser, HTPDenoiser) and contender.early is None:
            [pictured] = first_windows(clips[:1], _PICTURED_WINDOWS)
            with precision_of(options.precision, device):
                retention = observe_retention(contender.denoiser, pictured, sampling)
            draw_frames(out / "kept_frames.png", found.clips[0], retention, contender.name)
            print(f"written: {out / 'kept_frames.png'}")


def _draw_poses(out: Path, clips: list[Windows], means: dict[str, Tensor], num_frames: int) -> None:
    """Chosen frames and the worst ones of the last model, the truth beside."""
    frames, last = scored_frames(clips, means), list(means)[-1]
    pictures = {
        "poses.png": (
            frames.spread_out(),
            "frames at even distances: truth (grey below the models) and poses",
        ),
        "worst_poses.png": (frames.worst(last, num_frames), f"the worst frames of {last}"),
    }
    for name, (chosen, title) in pictures.items():
        draw_poses(out / name, frames, chosen, title)
        print(f"written: {out / name}")


def _contenders(options: Options) -> list[Contender]:
    if options.early_keep is None:
        return _exact_contenders(options)
    if options.steps < 2:
        raise BenchmarkError(f"early keep needs at least 2 denoising steps, got {options.steps}")
    contenders = _exact_contenders(options)
    return [*contenders, with_fewer_early(contenders[-1], options.early_keep)]


def _exact_contenders(options: Options) -> list[Contender]:
    pruning = Pruning(
        num_sft_layers=options.num_sft_layers,
        num_keep=options.num_keep,
        num_neighbors=options.num_neighbors,
    )
    folder = options.checkpoint_folder
    if folder is None and options.preset != "small":
        return untrained_contenders(options.preset, _KINDS, pruning, options.seed)
    return trained_contenders(folder or _CHECKPOINTS, options.preset, _KINDS, pruning)


def _checked_sampling(options: Options, device: torch.device) -> Sampling:
    """How to sample, once everything that can be checked without the models and the motion is."""
    check_precision(options.precision, device)
    check_budget(options.memory_budget)
    check_limit(options.max_windows)
    check_fps(options.fps)
    return Sampling(
        hypotheses=options.hypotheses,
        steps=options.steps,
        eta=options.eta,
        flip=options.flip,
        seed=options.seed,
        batch_size=options.batch_size,
    )


def _trained_on(contenders: list[Contender], found: EvaluationSet) -> list[str]:
    """Motions of a file that are to be scored and were trained on."""
    records = [contender.checkpoint for contender in contenders if contender.checkpoint is not None]
    return trained_among(found.motions, [name for record in records for name in record.motions])


if __name__ == "__main__":
    run_command(main, Options)
