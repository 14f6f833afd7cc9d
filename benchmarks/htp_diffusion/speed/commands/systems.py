"""Time of the paper's systems that pruning in time does not apply to, from their public code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor, nn

from adapters.clock import interleaved, speed_up
from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import Threads
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.base.units import GIGA, MEGA
from htp_diffusion.models.contender import NUM_SFT_LAYERS
from htp_diffusion.speed.counting import Count, count
from htp_diffusion.speed.lineup import HOST_NAMES, Sizes, line_up, random_inputs
from htp_diffusion.speed.options import PUBLIC, Rounds, TimedSizes
from htp_diffusion.speed.public_systems import PUBLIC_SYSTEMS
from htp_diffusion.speed.system_times import SystemTime, SystemTimes, system_times_table
from htp_modules import HTPConfig


@dataclass(frozen=True, kw_only=True)
class Options(TimedSizes, Rounds, Threads):
    """Time HoT, MHFormer, PoseFormer, PoseFormerV2 and P-STMO, and MixSTE plain and with HTP, in turn.

    One pass over one clip on a CPU in float32, random weights. The systems are their public code at the size
    that their authors publish; sizes are of MixSTE and HTP, which are ours. Prints one table.

    Attributes:
        systems: Which of them, by the names that the paper gives them.
        frames: T of MixSTE.
        out: Folder for system-times.json.
    """

    public: Annotated[Path, PUBLIC]
    systems: tuple[str, ...] = tuple(PUBLIC_SYSTEMS)
    frames: int = 243
    num_sft_layers: Annotated[tuple[int, ...], NUM_SFT_LAYERS] = (1, 3)
    threads: Annotated[int | None, by_default("1", "INT")] = 1
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/system-times")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Entry:
    name: str
    public: bool
    frames: int
    frames_out: int
    model: nn.Module
    inputs: tuple[Tensor, ...]
    cost: Count


def measure(options: Options) -> SystemTimes:
    """Build, count, warm up and time.

    Raises:
        BenchmarkError: A system that is not among these, no checkout of one, or one that does not import.
        HTPError: Sizes that do not fit each other.
    """
    at_least(options, 1, "repeats", "frames", "num_sft_layers")
    at_least(options, 0, "warmup")
    if unknown := [name for name in options.systems if name not in PUBLIC_SYSTEMS]:
        raise BenchmarkError(f"systems expects some of {', '.join(PUBLIC_SYSTEMS)}, got {', '.join(unknown)}")
    options.set_threads()
    entries = [*_ours(options), *(_public(options.public, name) for name in options.systems)]
    with torch.inference_mode():
        cases = {entry.name: lambda entry=entry: entry.model(*entry.inputs) for entry in entries}
        timings = interleaved(cases, repeats=options.repeats, warmup=options.warmup)
    return SystemTimes(
        num_keep=options.num_keep,
        dim=options.dim,
        rows=[
            SystemTime(
                system=entry.name,
                public=entry.public,
                frames=entry.frames,
                frames_out=entry.frames_out,
                seconds=list(timings[entry.name].samples),
                speed_up=speed_up(timings[HOST_NAMES["mixste"]], timings[entry.name]),
                thop_gmacs=entry.cost.thop_macs / GIGA,
                true_gmacs=entry.cost.true_macs / GIGA,
                params_m=entry.cost.params / MEGA,
            )
            for entry in entries
        ],
        provenance=provenance(),
    )


def _ours(options: Options) -> list[_Entry]:
    """MixSTE, plain and pruned."""
    sizes = Sizes(
        frames=options.frames,
        dim=options.dim,
        depth=options.depth,
        motionbert_depth=options.depth,
        heads=options.heads,
    )
    prunings = [
        HTPConfig(num_sft_layers=layers, num_keep=options.num_keep) for layers in options.num_sft_layers
    ]
    return [
        _Entry(
            name=entrant.name,
            public=False,
            frames=options.frames,
            frames_out=options.frames,
            model=entrant.model,
            inputs=random_inputs("mixste", 1, options.frames),
            cost=entrant.cost,
        )
        for entrant in line_up(["mixste"], sizes, prunings, None, torch.device("cpu"))
    ]


def _public(root: Path, name: str) -> _Entry:
    system = PUBLIC_SYSTEMS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = system.build(root).eval()
    inputs = system.inputs()
    return _Entry(
        name=name,
        public=True,
        frames=system.frames,
        frames_out=system.frames_out,
        model=model,
        inputs=inputs,
        cost=count(model, inputs),
    )


def main(options: Options) -> None:
    """Measure, print, write."""
    out = make_folder(options.out)  # or a wrong one would be told at the end
    result = measure(options)
    show(system_times_table(result))
    path = out / "system-times.json"
    write_json(path, result)
    print(f"written: {path}")
