"""How the cost of D3DP and HTP grows with the length, the hypotheses and the steps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
import tyro

from adapters.clock import interleaved
from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import Computing
from htp_diffusion.base.device import device_name, precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.base.units import GIGA
from htp_diffusion.diffusion.options import MemoryBudget
from htp_diffusion.diffusion.sampling import check_budget
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.contender import NUM_KEEP, NUM_SFT_LAYERS
from htp_diffusion.speed.agreement import exact_difference, short_inputs
from htp_diffusion.speed.lineup import Entrant, Sizes, line_up
from htp_diffusion.speed.options import CLIPS, Rounds, TimedSizes
from htp_diffusion.speed.scaling import Axis, Curve, Point, ScalingResult, draw_scaling, scaling_table
from htp_diffusion.speed.sharding import Shards
from htp_diffusion.speed.timing import Draw, Setting, timed_call
from htp_modules import HTPConfig


@dataclass(frozen=True, kw_only=True)
class Options(TimedSizes, Rounds, MemoryBudget):
    """Time D3DP and HTP (random weights) over T, over H and over K, and fit the exponents of the growth.

    Every point of an axis is timed in turn in each round. Prints one table.

    Attributes:
        frames: T of the passes timed over T.
        batches: Batch sizes of the passes timed over the batch, of SAMPLING_FRAMES frames.
        hypotheses: H timed at K=1; each is a whole sampling with flip.
        steps: K timed at H=1, likewise.
        sampling_frames: T of what is timed over H, K and the batch.
        computing: Device, precision and mode.
        out: Folder for scaling.json and scaling.png.
    """

    frames: tuple[int, ...] = (81, 162, 243, 351, 486, 729)
    batches: Annotated[tuple[int, ...], by_default("not timed", "INT [INT ...]")] = ()
    hypotheses: tuple[int, ...] = (1, 2, 4, 8)
    steps: tuple[int, ...] = (1, 2, 4, 8)
    sampling_frames: int = 81
    num_keep: Annotated[int | float, NUM_KEEP, by_default("a third", "INT|FLOAT")] = 1 / 3
    num_sft_layers: Annotated[int, NUM_SFT_LAYERS] = 1
    batch_size: Annotated[int, CLIPS] = 1
    computing: Annotated[Computing, tyro.conf.arg(name="")] = field(default_factory=Computing)
    repeats: int = 5
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/scaling")


def check(options: Options) -> None:
    """Check the options before a long run begins.

    Raises:
        BenchmarkError: An option that cannot be used.
    """
    for name in ("frames", "batches", "hypotheses", "steps"):
        values = getattr(options, name)
        if name == "batches" and not values:
            continue
        if len(set(values)) < max(2, len(values)) or min(values) < 1:
            raise BenchmarkError(f"{name} expects at least two different values from 1, got {list(values)}")
    cosine_schedule().ddim_timesteps(max(options.steps))
    at_least(options, 1, "sampling_frames", "batch_size", "repeats")
    at_least(options, 0, "warmup")
    check_budget(options.memory_budget)
    pruning = HTPConfig(num_sft_layers=options.num_sft_layers, num_keep=options.num_keep)
    DenoiserConfig(kind="htp", depth=options.depth, htp=pruning).check_layers()


def measure(options: Options) -> ScalingResult:
    """Build, check, warm up and time the models, axis by axis.

    Raises:
        BenchmarkError: A device or size that cannot be had, or outputs that disagree.
        HTPError: Sizes that do not fit each other.
    """
    device = options.computing.start()
    check(options)
    lines = {frames: _line(options, frames, device) for frames in (*options.frames, options.sampling_frames)}
    once = [(frames, lines[frames], None) for frames in options.frames]
    sampled = lines[options.sampling_frames]
    over_batches = [(number, sampled, None) for number in options.batches]
    over_hypotheses = [(number, sampled, Draw(hypotheses=number, steps=1)) for number in options.hypotheses]
    over_steps = [(number, sampled, Draw(hypotheses=1, steps=number)) for number in options.steps]
    curves = [
        *_curves(options, "T", once, device),
        *(_curves(options, "B", over_batches, device) if over_batches else ()),
        *_curves(options, "H", over_hypotheses, device),
        *_curves(options, "K", over_steps, device),
    ]
    return ScalingResult(
        dim=options.dim,
        depth=options.depth,
        heads=options.heads,
        batch=options.batch_size,
        sampling_frames=options.sampling_frames,
        num_keep=options.num_keep,
        precision=options.computing.precision,
        mode=options.computing.mode,
        device=device_name(device),
        curves=curves,
        provenance=provenance(),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Line:
    """The models of one length."""

    sizes: Sizes
    entrants: list[Entrant]


def _line(options: Options, frames: int, device: torch.device) -> _Line:
    """The models of one length, checked."""
    sizes = Sizes(
        frames=frames, dim=options.dim, depth=options.depth, motionbert_depth=0, heads=options.heads
    )
    pruning = HTPConfig(num_sft_layers=options.num_sft_layers, num_keep=options.num_keep)
    entrants = line_up(["d3dp"], sizes, [pruning], None, device)
    for entrant in entrants:
        inputs = short_inputs(entrant, frames, device)
        exact_difference(
            entrant, inputs, precision=options.computing.precision, mode=options.computing.mode, device=device
        )
    return _Line(sizes=sizes, entrants=entrants)


def _curves(
    options: Options, axis: Axis, at: Sequence[tuple[int, _Line, Draw | None]], device: torch.device
) -> list[Curve]:
    """Time every model at every value of an axis in turn."""
    if options.computing.mode == "compiled":
        torch.compiler.reset()  # else the shapes of all axes count against the limit on recompilations
    cases: dict[str, Callable[[], object]] = {}
    points: dict[str, list[tuple[str, int, float]]] = {}
    for value, line, draw in at:
        setting = Setting(
            sizes=line.sizes,
            batch=value if axis == "B" else options.batch_size,
            draw=draw,
            precision=options.computing.precision,
            mode=options.computing.mode,
            memory_budget=options.memory_budget,
        )
        for entrant in line.entrants:
            name = f"{entrant.name}, {axis}={value}"
            cases[name] = timed_call(entrant, setting, device, Shards())
            points.setdefault(entrant.name, []).append(
                (name, value, setting.passes * entrant.cost.true_macs / GIGA)
            )
    with torch.inference_mode(), precision_of(options.computing.precision, device):
        for case in cases.values():
            case()
        timings = interleaved(cases, repeats=options.repeats, warmup=options.warmup, device=device)
    return [
        Curve(
            model=model,
            axis=axis,
            points=[
                Point(value=value, seconds=list(timings[name].samples), true_gmacs=gmacs)
                for name, value, gmacs in found
            ],
        )
        for model, found in points.items()
    ]


def main(options: Options) -> None:
    """Measure, print, write, draw."""
    out = make_folder(options.out)  # or a wrong one would be told at the end
    result = measure(options)
    show(scaling_table(result))
    write_json(out / "scaling.json", result)
    draw_scaling(out / "scaling.png", result)
    print(f"written: {out / 'scaling.json'}, {out / 'scaling.png'}")
