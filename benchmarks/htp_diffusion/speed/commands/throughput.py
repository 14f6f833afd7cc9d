"""Time of pose transformers, plain, pruned and from their public code, beside what the device allows."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Annotated

import torch
import tyro

from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import MODE, PRECISION, Where
from htp_diffusion.base.device import Precision, check_precision, device_name
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import Mode, check_mode
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.diffusion.options import MemoryBudget
from htp_diffusion.diffusion.sampling import check_budget, read_hxk
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.contender import NUM_SFT_LAYERS
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.agreement import exact_difference, fused_difference, short_inputs
from htp_diffusion.speed.drift import Drift, measure_drift
from htp_diffusion.speed.lineup import HOST_NAMES, PUBLIC_ALONE, SAMPLED, Entrant, Host, Sizes, line_up
from htp_diffusion.speed.options import CLIPS, PUBLIC, Rounds, TimedSizes
from htp_diffusion.speed.result import Group, ThroughputResult
from htp_diffusion.speed.roofline import SQUARES, Roofline, measure_roofline
from htp_diffusion.speed.sharding import Shards, shards
from htp_diffusion.speed.tables import throughput_tables
from htp_diffusion.speed.timing import Draw, Setting, summed, time_group
from htp_modules import HTPConfig
from htp_modules.config import Recovery

_ONCE = "pass"


@dataclass(frozen=True, kw_only=True)
class Options(TimedSizes, Rounds, MemoryBudget):
    """Time the models (random weights): each host plain, with HTP at each n, and its public code, in turn.

    Every combination of the options that take several values is timed, after its output was checked against
    float64 with attention written out. Under torchrun, the processes share each batch and their sum is told.
    Prints tables: speed, what the device allows, and the drift where it is asked for.

    Attributes:
        hosts: d3dp (its denoiser), mixste, motionbert, finepose and ktpformer-denoiser (denoisers, too, the
            latter plain alone). With --public: ktpformer, stcformer, motionagformer, and finepose, from their
            public code, plain and pruned; STCFormer and MotionAGFormer are as deep as published, whatever the
            depth that is asked for.
        sampling: pass, for one pass, or HxK (as 20x10): a whole sampling with flip, by the denoisers alone;
            FinePOSE's prompts are encoded once in it.
        frames: T, frames of a clip.
        motionbert_depth: Dual blocks of MotionBERT, at least 3.
        recovery: Of the pruned ones; with interpolate they are patched as a trained host is, which keeps its
            embedding.
        where: Device and threads; under torchrun each process takes a GPU of its own.
        matmul_sizes: Sizes of square matrix products; the fastest rate counts as the device's limit.
        drift: Sample the small checkpoints in each precision and mode and tell how far, in mm, the poses are
            from those of fp32, eager, with the same noise.
        drift_sampling: HxK of that sampling.
        out: Folder for throughput.json.
    """

    hosts: tuple[Host, ...] = ("d3dp",)
    sampling: Annotated[tuple[str, ...], tyro.conf.arg(metavar="pass|HxK [pass|HxK ...]")] = (_ONCE,)
    frames: tuple[int, ...] = (243,)
    batch_size: Annotated[tuple[int, ...], CLIPS] = (1,)
    precision: Annotated[tuple[Precision, ...], PRECISION] = ("fp32",)
    mode: Annotated[tuple[Mode, ...], MODE] = ("eager",)
    num_sft_layers: Annotated[tuple[int, ...], NUM_SFT_LAYERS] = (1, 3)
    motionbert_depth: int = 5
    recovery: Recovery = "cross_attention"
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)
    matmul_sizes: Annotated[
        tuple[int, ...] | None, by_default("512 to 2048 on a CPU, 2048 to 8192 on a GPU", "INT [INT ...]")
    ] = None
    drift: bool = False
    drift_sampling: Annotated[str, tyro.conf.arg(metavar="HxK")] = "5x5"
    public: Annotated[Path | None, PUBLIC, by_default("none", "FOLDER")] = None
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/throughput")


def parse_sampling(text: str) -> Draw | None:
    """What ``pass`` or ``HxK`` asks for; None for one pass.

    Raises:
        BenchmarkError: It is neither.
    """
    if text == _ONCE:
        return None
    hypotheses, steps = read_hxk(text, "sampling expects pass or HxK")
    return Draw(hypotheses=hypotheses, steps=steps)


def check(options: Options, device: torch.device) -> None:
    """Check the options before a long run begins.

    Raises:
        BenchmarkError: An option that cannot be used.
    """
    at_least(options, 1, "frames", "batch_size", "num_sft_layers", "repeats", "matmul_sizes")
    at_least(options, 0, "warmup")
    check_budget(options.memory_budget)
    for name in ("hosts", "sampling", "frames", "batch_size", "num_sft_layers", "precision", "mode"):
        values = getattr(options, name)
        if not values or len(set(values)) < len(values):
            option = name.replace("_", "-")
            raise BenchmarkError(f"{option} expects at least one value, each once, got {list(values)}")
    for mode in options.mode:
        check_mode(mode, device)
    for precision in options.precision:
        check_precision(precision, device)
    draws = [parse_sampling(text) for text in options.sampling]
    schedule = cosine_schedule()
    for draw in (*draws, _drift_draw(options)):
        if draw is not None:
            schedule.ddim_timesteps(draw.steps)
    if options.drift and not _fast_ways(options):
        raise BenchmarkError("drift compares with fp32, eager: name another precision or mode as well")
    if options.public is None and (alone := set(PUBLIC_ALONE).intersection(options.hosts)):
        names = ", ".join(HOST_NAMES[host] for host in PUBLIC_ALONE if host in alone)
        raise BenchmarkError(f"{names}: there is public code alone; name its folder with --public")
    if not set(SAMPLED).intersection(options.hosts) and None not in draws:
        raise BenchmarkError(f"only {', '.join(SAMPLED)} sample; time the other hosts with --sampling pass")


def measure(options: Options, shared: Shards | None = None) -> ThroughputResult:
    """Build, check, warm up and time the models.

    Args:
        options: What.
        shared: The processes that share each batch; this one alone if None.

    Raises:
        BenchmarkError: A device or size that cannot be had, or outputs that disagree.
        HTPError: Sizes that do not fit each other.
    """
    shared = shared or Shards()
    device = replace(options.where, device=shared.device(options.where.device)).start()
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)
    check(options, device)
    return ThroughputResult(
        dim=options.dim,
        depth=options.depth,
        motionbert_depth=options.motionbert_depth,
        heads=options.heads,
        num_keep=options.num_keep,
        recovery=options.recovery,
        device=device_name(device),
        processes=shared.count,
        groups=[group for frames in options.frames for group in _groups(options, frames, device, shared)],
        drift=_drift(options, device) if options.drift and shared.first else [],
        provenance=provenance(),
    )


def _groups(options: Options, frames: int, device: torch.device, shared: Shards) -> Iterator[Group]:
    """Time everything of one length."""
    sizes = Sizes(
        frames=frames,
        dim=options.dim,
        depth=options.depth,
        motionbert_depth=options.motionbert_depth,
        heads=options.heads,
    )
    prunings = [
        HTPConfig(num_sft_layers=layers, num_keep=options.num_keep, recovery=options.recovery)
        for layers in options.num_sft_layers
    ]
    entrants = line_up(options.hosts, sizes, prunings, options.public, device)
    fused = {
        entrant.name: fused_difference(entrant.model, short_inputs(entrant, frames, device))
        for entrant in entrants
        if entrant.own
    }
    ways = list(product(options.precision, options.mode))
    differences = {way: _differences(entrants, frames, *way, device) for way in ways}
    for batch, (precision, mode) in product(options.batch_size, ways):
        if mode == "compiled":
            torch.compiler.reset()  # once: samplings that differ in K have the same shapes
        roofline = _roofline(options, frames, batch, precision, device, shared)
        for text in options.sampling:
            setting = Setting(
                sizes=sizes,
                batch=batch,
                draw=parse_sampling(text),
                precision=precision,
                mode=mode,
                memory_budget=options.memory_budget,
            )
            yield time_group(
                entrants,
                setting,
                device=device,
                shards=shared,
                roofline=roofline,
                fused=fused,
                differences=differences[precision, mode],
                repeats=options.repeats,
                warmup=options.warmup,
            )


def _differences(
    entrants: list[Entrant], frames: int, precision: Precision, mode: Mode, device: torch.device
) -> dict[str, float | None]:
    if mode == "compiled":
        torch.compiler.reset()
    return {
        entrant.name: exact_difference(
            entrant, short_inputs(entrant, frames, device), precision=precision, mode=mode, device=device
        )
        for entrant in entrants
    }


def _roofline(
    options: Options, frames: int, batch: int, precision: Precision, device: torch.device, shared: Shards
) -> Roofline:
    mine = measure_roofline(
        device,
        precision,
        tokens=max(1, batch // shared.count) * frames * H36M_17.num_joints,
        dim=options.dim,
        squares=options.matmul_sizes or SQUARES[device.type],
        together=shared.wait,
    )
    return summed(mine, shared)


def _fast_ways(options: Options) -> list[tuple[Precision, Mode]]:
    return [way for way in product(options.precision, options.mode) if way != ("fp32", "eager")]


def _drift_draw(options: Options) -> Draw:
    draw = parse_sampling(options.drift_sampling)
    if draw is None:
        raise BenchmarkError(f"drift sampling expects HxK, as 20x10, got {options.drift_sampling!r}")
    return draw


def _drift(options: Options, device: torch.device) -> list[Drift]:
    draw = _drift_draw(options)
    return measure_drift(
        _fast_ways(options),
        device=device,
        hypotheses=draw.hypotheses,
        steps=draw.steps,
        memory_budget=options.memory_budget,
    )


def main(options: Options) -> None:
    """Measure, print, write."""
    out = make_folder(options.out)  # or a wrong one would be told at the end
    with shards() as shared:
        result = measure(options, shared)
        if not shared.first:
            return
    for table in throughput_tables(result):
        show(table)
    path = out / "throughput.json"
    write_json(path, result)
    print(f"written: {path}")
