"""Time and memory of one training step: HTP and D3DP at the same batch, in turn in one process."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import nn

from adapters.clock import interleaved, peak_memory, speed_up
from htp_diffusion.base.command import at_least
from htp_diffusion.base.computing import Precise
from htp_diffusion.base.device import Precision, device_name, precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.base.units import GIGA
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.contender import NUM_SFT_LAYERS
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.counting import count_denoiser
from htp_diffusion.speed.options import Rounds, TimedSizes
from htp_diffusion.speed.step_cost import StepResult, TrainingCost, step_table
from htp_diffusion.training.batches import Batch
from htp_diffusion.training.noising import NoisyBatch, add_noise, denoising_loss
from htp_modules import HTPConfig

_BASELINE = "D3DP"


@dataclass(frozen=True, kw_only=True)
class Options(TimedSizes, Rounds):
    """Time one training step of D3DP and of HTP, in turn, and measure its memory.

    Prints one table. Weights and poses are random; sizes are the paper's unless given.

    Attributes:
        frames: T, frames of a sequence.
        batch_size: Sequences in a step.
        computing: Device and precision.
        out: Folder for training-cost.json.
    """

    frames: int = 243
    num_sft_layers: Annotated[int, NUM_SFT_LAYERS] = 3
    batch_size: int = 1
    computing: Annotated[Precise, tyro.conf.arg(name="")] = field(default_factory=Precise)
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/training-cost")


def denoiser_configs(options: Options) -> dict[str, DenoiserConfig]:
    """The models by name, the baseline first."""
    baseline = DenoiserConfig(
        kind="d3dp",
        num_frames=options.frames,
        dim=options.dim,
        depth=options.depth,
        num_heads=options.heads,
    )
    htp = replace(
        baseline, kind="htp", htp=HTPConfig(num_sft_layers=options.num_sft_layers, num_keep=options.num_keep)
    )
    return {_BASELINE: baseline, f"HTP n={options.num_sft_layers}": htp}


def random_batch(batch: int, frames: int) -> NoisyBatch:
    """Random poses with noise added: the same at every call."""
    generator = torch.Generator().manual_seed(0)
    shape = (batch, frames, H36M_17.num_joints)
    clean = Batch(
        torch.rand(*shape, 2, generator=generator) * 2 - 1, torch.rand(*shape, 3, generator=generator) - 0.5
    )
    return add_noise(clean, cosine_schedule(), generator)


def training_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, batch: NoisyBatch, precision: Precision
) -> Callable[[], float]:
    """One step of training as a function that returns the loss; the gradients are gone when it ends."""
    device = batch.pose_3d.device
    parameters = list(model.parameters())

    def step() -> float:
        with precision_of(precision, device):
            loss = denoising_loss(model, batch)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, PRESETS["paper"].clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        return float(loss.detach())

    return step


def resident_bytes(model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Bytes that stay between the steps: parameters, buffers and the optimizer's moments."""
    moments = [value for state in optimizer.state.values() for value in state.values()]
    tensors = [*model.parameters(), *model.buffers(), *moments]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def measure(options: Options) -> TrainingCost:
    """Build, check, warm up and time the models.

    Raises:
        BenchmarkError: A device or size that cannot be had, or a step whose loss is not finite.
    """
    device = options.computing.start()
    at_least(options, 1, "frames", "batch_size", "repeats")
    at_least(options, 0, "warmup")
    preset, configs = PRESETS["paper"], denoiser_configs(options)
    for config in configs.values():
        config.check_layers()
    batch = random_batch(options.batch_size, options.frames).to(device)
    torch.manual_seed(0)
    steps: dict[str, Callable[[], float]] = {}
    resident, peaks = {}, {}
    for name, config in configs.items():
        model = config.build().to(device).train()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay, fused=True
        )
        steps[name] = training_step(model, optimizer, batch, options.computing.precision)
        loss = steps[name]()  # and makes AdamW's moments, which are not the step's
        if not math.isfinite(loss):
            raise BenchmarkError(f"the loss of {name} is {loss}: nothing is timed")
        resident[name] = resident_bytes(model, optimizer)
        peaks[name] = peak_memory(steps[name], device)
    timings = interleaved(steps, repeats=options.repeats, warmup=options.warmup, device=device)
    gmacs = {
        name: count_denoiser(config.build, options.frames).true_macs * options.batch_size / GIGA
        for name, config in configs.items()
    }
    return TrainingCost(
        frames=options.frames,
        num_keep=options.num_keep,
        dim=options.dim,
        depth=options.depth,
        heads=options.heads,
        batch=options.batch_size,
        device=device_name(device),
        precision=options.computing.precision,
        models=[
            StepResult(
                model=name,
                seconds=list(timing.samples),
                median=timing.median,
                iqr=timing.iqr,
                speed_up=speed_up(timings[_BASELINE], timing),
                true_gmacs=gmacs[name],
                resident=resident[name],
                peak_memory=peaks[name],
            )
            for name, timing in timings.items()
        ],
        provenance=provenance(),
    )


def main(options: Options) -> None:
    """Measure, print, write."""
    out = make_folder(options.out)  # or a wrong one would be told at the end
    result = measure(options)
    show(step_table(result))
    path = out / "training-cost.json"
    write_json(path, result)
    print(f"written: {path}")
