"""DDIM sampling of 3D poses: the loop, which knows of a model that it predicts clean poses from noisy ones.

Notation:
    K, H        denoising steps, hypotheses
    x_t         noisy pose at diffusion time t; x0 the prediction of the clean pose
    abar, abar' cumulated alpha at t and at the next, smaller, time
    sigma       noise put back at a step: eta sqrt((1 - abar / abar')(1 - abar') / (1 - abar))
    e           noise that x_t and x0 imply: (x_t - sqrt(abar) x0) / sqrt(1 - abar)
    step        x_t' = sqrt(abar') x0 + sqrt(1 - abar' - sigma²) e + sigma z, z a unit Gaussian

Source: Song et al., "Denoising Diffusion Implicit Models", equations 12 and 16; Shan et al., D3DP, for the
spacing of the times and the clamps. D3DP's code has eta 1; HTP calls its sampling deterministic, which is
eta 0.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.schedule import CosineSchedule

POSE_LIMIT = 1.1
"""Bound in metres on what the denoiser sees and on what it predicts (D3DP, scale 1)."""


@runtime_checkable
class Denoiser(Protocol):
    """Predicts clean poses from noisy ones; the only thing that the sampler knows of a model."""

    def __call__(
        self, noisy: Float[Tensor, "sequences frames joints 3"], timestep: int, /
    ) -> Float[Tensor, "sequences frames joints 3"]:
        """Predict x_0 for each sequence, all at the same diffusion time."""
        ...


def sample_steps(
    denoise: Denoiser,
    shape: tuple[int, int, int],
    *,
    schedule: CosineSchedule,
    steps: int = 1,
    hypotheses: int = 1,
    eta: float = 1.0,
    generator: torch.Generator | Sequence[torch.Generator] | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Iterator[Float[Tensor, "batch hyps frames joints 3"]]:
    """Sample 3D poses and yield the predicted clean poses of every denoising step.

    The hypotheses are folded into the batch axis, one sequence's side by side. The noise of a step is drawn
    for all of them at once: a seed gives the same poses however the denoiser goes about it.

    Args:
        denoise: Called once a step with (noisy, timestep).
        shape: Sequences, frames and joints.
        schedule: Noise schedule that the denoiser was trained with.
        steps: Denoising steps K.
        hypotheses: Samples H for each sequence.
        eta: Share of the noise put back at each step: 0 is deterministic once the first noise is drawn, 1 is
            D3DP's code.
        generator: Source of the noise, drawn on the generator's own device: of all sequences, or one of each,
            whose noise then does not depend on the others; the default one of the poses' device if None.
        dtype: Of the poses.
        device: Of the poses.

    Yields:
        Predicted poses (metres, within ±1.1), once a step.

    Raises:
        BenchmarkError: An argument is out of range, or the denoiser returns another shape than it was given.
    """
    if hypotheses < 1:
        raise BenchmarkError(f"expected at least one hypothesis, got {hypotheses}")
    if not 0 <= eta <= 1:
        raise BenchmarkError(f"expected eta from 0 (deterministic) to 1, got {eta}")
    batch, frames, joints = shape

    def draw() -> Tensor:
        if isinstance(generator, Sequence):
            return torch.cat([draw_of(hypotheses, own) for own in generator])
        return draw_of(batch * hypotheses, generator)

    def draw_of(number: int, generator: torch.Generator | None) -> Tensor:
        source = device if generator is None else generator.device
        return torch.randn((number, frames, joints, 3), generator=generator, dtype=dtype, device=source).to(
            device
        )

    noisy = draw()
    for timestep, next_timestep in schedule.ddim_timesteps(steps):
        x0 = denoise(noisy.clamp(-POSE_LIMIT, POSE_LIMIT), timestep)
        if x0.shape != noisy.shape:
            raise BenchmarkError(
                f"expected the denoiser to return poses of shape {tuple(noisy.shape)}, got {tuple(x0.shape)}"
            )
        x0 = x0.to(dtype).clamp(-POSE_LIMIT, POSE_LIMIT)
        yield x0.unflatten(0, (batch, hypotheses))
        if next_timestep < 0:
            return

        alpha, next_alpha = schedule.alpha_cumprod(timestep), schedule.alpha_cumprod(next_timestep)
        signal, direction, sigma = step_weights(alpha, next_alpha, eta)
        # From the pose before its clamp, as in D3DP: the clamp is for the network's eyes alone.
        noise = (noisy - math.sqrt(alpha) * x0) / math.sqrt(1 - alpha)
        noisy = signal * x0 + direction * noise
        if sigma > 0:
            noisy = noisy + sigma * draw()


def step_weights(alpha: float, next_alpha: float, eta: float) -> tuple[float, float, float]:
    """Weights of x0, of the implied noise and of fresh noise in one DDIM step (equations 12 and 16).

    Args:
        alpha: abar at the current time, in (0, 1).
        next_alpha: abar at the next time, above alpha and below 1.
        eta: Share of the noise put back.

    Returns:
        sqrt(abar'), sqrt(1 - abar' - sigma²) and sigma.
    """
    variance = eta**2 * (1 - alpha / next_alpha) * (1 - next_alpha) / (1 - alpha)
    # With eta 1 the two terms may be equal: rounding must not make their difference negative.
    direction = math.sqrt(max(0.0, 1 - next_alpha - variance))
    return math.sqrt(next_alpha), direction, math.sqrt(max(0.0, variance))
