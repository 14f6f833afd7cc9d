"""The learning rate over the steps of a run."""

import math

from htp_diffusion.training.preset import Preset


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
