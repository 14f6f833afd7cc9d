"""Plan: which parts a run has, in order of importance."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.source import Source
from htp_diffusion.reproduction.checks import checks_part
from htp_diffusion.reproduction.counted import counted_part
from htp_diffusion.reproduction.datasets import dataset_part
from htp_diffusion.reproduction.growth import growth_part, training_step_part
from htp_diffusion.reproduction.heat import D3DP_AND_HTP, RIVALS
from htp_diffusion.reproduction.kept import kept_part
from htp_diffusion.reproduction.machine import PLAIN, fast_ways
from htp_diffusion.reproduction.one_pass import one_pass_part
from htp_diffusion.reproduction.pair import Pair
from htp_diffusion.reproduction.part import Part
from htp_diffusion.reproduction.sampled import sampled_part
from htp_diffusion.reproduction.sampling_speed import sampling_part
from htp_diffusion.reproduction.scale import Scale
from htp_diffusion.reproduction.sensitivity import sensitivity_part
from htp_diffusion.reproduction.trained import trained_part


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a run has to work with.

    Attributes:
        scale: The sizes.
        device: Where.
        flops: Its rate, for estimates.
        pair: The trained pair.
        checkpoints: Whose errors on the data sets are told.
        sources: The data sets.
        every: Sample every N-th window of a data set's clips; None for what there is time for.
        public: Folder of public code; None without it.
    """

    scale: Scale
    device: torch.device
    flops: float
    pair: Pair
    checkpoints: tuple[Path, ...]
    sources: tuple[Source, ...]
    every: int | None
    public: Path | None


def all_parts(given: Given) -> list[Part[Any]]:
    """Every part, in order of importance: on a GPU what only a GPU tells first, on a CPU what it is good at.

    Raises:
        BenchmarkError: A file that is not there.
    """
    scale, device, flops = given.scale, given.device, given.flops
    counts = counted_part()
    errors = [
        sampled_part(scale, given.pair, device, flops),
        kept_part(given.pair, device),
        sensitivity_part(given.pair, device),
    ]
    data = [
        dataset_part(number, source, given.checkpoints, scale, device, given.every)
        for number, source in enumerate(given.sources, start=1)
    ]
    speed = [
        checks_part(device),
        sampling_part(D3DP_AND_HTP, scale, device, PLAIN, given.public, flops, given.pair),
        sampling_part(RIVALS, scale, device, PLAIN, None, flops, given.pair),
        *(
            sampling_part(D3DP_AND_HTP, scale, device, way, None, flops, given.pair)
            for way in fast_ways(device)
        ),
        growth_part(scale, device, flops),
        training_step_part(scale, device, flops),
    ]
    one_pass = one_pass_part(scale, device, given.public, flops)
    world = [source.data for source in given.sources if source.kind == "npz"]
    training = trained_part(scale, world[0] if world else None, device)
    if device.type == "cuda":
        return [counts, *speed, *errors, *data, one_pass, training]
    return [counts, *errors, *data, one_pass, *speed, training]


def chosen_parts(given: Given, names: Sequence[str]) -> list[Part[Any]]:
    """The parts of these names; without any all, but at the paper's size those that suit the device.

    Raises:
        BenchmarkError: A name that no part has.
    """
    parts = all_parts(given)
    known = [part.name for part in parts]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise BenchmarkError(f"parts expects some of {', '.join(known)}, got {', '.join(unknown)}")
    if names:
        return [part for part in parts if part.name in names]
    if given.device.type == "cpu" and given.scale.name == "paper":
        quick = ("counts", "sampled", "kept-frames", "sensitivity", "one-pass")
        return [part for part in parts if part.name in quick or part.name.startswith("data-")]
    if given.scale.name == "paper":  # Table V tells a GPU's speed; the time is better spent on training
        return [part for part in parts if part.name != "one-pass"]
    return parts
