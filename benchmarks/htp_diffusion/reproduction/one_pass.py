"""One pass: every model at the paper's size, plain and pruned, timed in turn, as a part."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from htp_diffusion.base.computing import Where
from htp_diffusion.base.device import device_name
from htp_diffusion.base.units import GIGA
from htp_diffusion.reproduction.part import Compared, Part, Workplace
from htp_diffusion.reproduction.pass_cost import PASS_GMACS, share
from htp_diffusion.reproduction.scale import Scale, ScaleName
from htp_diffusion.speed.commands import throughput
from htp_diffusion.speed.lineup import HOST_NAMES
from htp_diffusion.speed.result import ThroughputResult
from htp_diffusion.speed.tables import throughput_tables

_EFFICIENCY = 0.75  # of the best matmul rate (docs/benchmarks.md)
_BESIDE_ROUNDS = 3.5  # passes for the first call, the memory and the checks in float64
_FIXED = 15.0  # seconds: counting, building and checking the models, imports


@dataclass(frozen=True, kw_only=True)
class OnePassAsked:
    """What the times depend on.

    Attributes:
        scale: The sizes.
        device: Where.
        public: Name of the folder of public code; None without it.
        threads: Of one operation.
    """

    scale: ScaleName
    device: str
    public: str | None
    threads: int


def one_pass_part(
    scale: Scale, device: torch.device, public: Path | None, flops: float
) -> Part[ThroughputResult]:
    """The part.

    Args:
        scale: The sizes.
        device: Where.
        public: Folder of public code; None leaves it out.
        flops: The device's rate, for the estimate.
    """
    costs = [PASS_GMACS[host] for host in scale.hosts]
    gmacs = sum(sum(cost.values()) + (0 if public is None else cost[0]) for cost in costs)
    seconds = 2 * GIGA * gmacs * share(scale.sizes) / (flops * _EFFICIENCY)

    def make(work: Workplace) -> ThroughputResult:
        return throughput.measure(
            throughput.Options(
                hosts=scale.hosts,
                frames=(scale.sizes.frames,),
                dim=scale.sizes.dim,
                depth=scale.sizes.depth,
                motionbert_depth=scale.sizes.motionbert_depth,
                heads=scale.sizes.heads,
                where=Where(device=str(device)),
                repeats=scale.rounds,
                warmup=0,  # the first call and the memory's come before
                public=public,
            )
        )

    return Part(
        name="one-pass",
        title="One pass of every model, in turn",
        items=("Table I", "Table V"),
        asked=OnePassAsked(
            scale=scale.name,
            device=device_name(device),
            public=None if public is None else public.name,
            threads=torch.get_num_threads(),
        ),
        kind=ThroughputResult,
        estimate=seconds * (scale.rounds + _BESIDE_ROUNDS) + _FIXED,
        make=make,
        tables=throughput_tables,
        compared=_compared,
    )


def _compared(result: ThroughputResult) -> Sequence[Compared]:
    """How many times as fast as its plain host each pruned model is; the paper tells whole samplings."""
    found = []
    for group in result.groups:
        for row in group.rows:
            if not row.is_pruned:
                continue
            item = "Table V" if row.host == "d3dp" else "Table I"
            found.append(
                Compared(
                    item=item,
                    what=f"{row.model}, one pass: times as fast as {HOST_NAMES[row.host]}",
                    measured=row.speed_up.paired,
                    quoted=None,
                    condition=f"{result.device}, batch {group.batch}, T={group.frames}, {group.precision}, "
                    f"{group.mode}; random weights",
                )
            )
    return found
