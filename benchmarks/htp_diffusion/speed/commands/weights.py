"""Time of a network with weights that others published, as it is and pruned."""

from dataclasses import dataclass, field
from typing import Annotated

import torch
import tyro

import adapters
from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.computing import Precise
from htp_diffusion.base.device import precision_of
from htp_diffusion.models.contender import Pruning
from htp_diffusion.models.public_weights import PublicWeights
from htp_diffusion.speed.options import Rounds


@dataclass(frozen=True, kw_only=True)
class Options(Rounds):
    """Time a published checkpoint's network by ``adapters.benchmark``: plain and pruned, in turn.

    Attributes:
        public: The checkpoint.
        pruning: How to prune.
        batch_size: Clips in a pass.
        frames: T, frames of a clip.
        computing: Device and precision.
    """

    public: Annotated[PublicWeights, tyro.conf.arg(name="")] = field(default_factory=PublicWeights)
    pruning: Annotated[Pruning, tyro.conf.arg(name="")] = field(default_factory=Pruning)
    batch_size: int = 1
    frames: Annotated[int | None, by_default("the network's own", "INT")] = None
    computing: Annotated[Precise, tyro.conf.arg(name="")] = field(default_factory=Precise)
    warmup: int = 2


def main(options: Options) -> None:
    """Load, measure, print."""
    at_least(options, 1, "batch_size", "frames", "repeats")
    at_least(options, 0, "warmup")
    device = options.computing.start()
    contender, report = options.public.contender(options.pruning)
    print(f"{options.public.weights}: {report}")
    with precision_of(options.computing.precision, device), torch.no_grad():
        found = adapters.benchmark(
            contender.denoiser.to(device),
            batch_size=options.batch_size,
            frames=options.frames,
            repeats=options.repeats,
            warmup=options.warmup,
        )
    print(found)
