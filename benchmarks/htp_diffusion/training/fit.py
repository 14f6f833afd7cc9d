"""A short training run in memory, for studies: nothing is saved or resumed (for that see ``trainer``)."""

import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.models.preset import Preset
from htp_diffusion.scoring.metrics import MILLIMETRES

_WARMUP = 50  # steps
_LAST_SHARE = 0.03  # of the learning rate, at the last step
_CLIP_NORM = 1.0


def falling_rate(highest: float, step: int, *, warmup: int, factor: float, period: int) -> float:
    """Linear warm-up over ``warmup`` steps, times a constant factor per ``period``, a step at a time."""
    return highest * (min(1.0, (step + 1) / warmup) if warmup else 1.0) * factor ** (step / period)


def cosine_rate(highest: float, step: int, *, warmup: int, steps: int) -> float:
    """Linear warm-up over ``warmup`` steps, then half a cosine down to 0 after the last of ``steps``."""
    rising = min(1.0, (step + 1) / warmup) if warmup else 1.0
    return highest * rising * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def learning_rate(preset: Preset, step: int, steps_per_epoch: int) -> float:
    """Of a preset: its warm-up, and its factor per epoch."""
    return falling_rate(
        preset.learning_rate,
        step,
        warmup=preset.warmup_steps,
        factor=preset.decay,
        period=steps_per_epoch,
    )


def fit(
    model: nn.Module, loss: Callable[[int], Float[Tensor, ""]], steps: int, learning_rate: float
) -> Iterator[float]:
    """Minimise a loss with AdamW, the rate rising linearly at first and then falling by a constant factor.

    Args:
        model: What to train; parameters that want no gradient are left alone.
        loss: The loss of the step of this number, counted from 0, in metres.
        steps: How many.
        learning_rate: The highest.

    Yields:
        Each step's loss, mm.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = falling_rate(learning_rate, step, warmup=_WARMUP, factor=_LAST_SHARE, period=steps)
        value = loss(step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
        optimizer.step()
        yield MILLIMETRES * value.item()
    model.eval()
