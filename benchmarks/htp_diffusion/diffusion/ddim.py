"""DDIM sampling of 3D poses as a function of a denoiser.

Notation:
    K, H        denoising steps, hypotheses
    x_t         noisy pose at diffusion time t; x0 the prediction of the clean pose
    abar, abar' cumulated alpha at t and at the next, smaller, time
    sigma       noise put back at a step: eta sqrt((1 - abar / abar')(1 - abar') / (1 - abar))
    e           noise that x_t and x0 imply: (x_t - sqrt(abar) x0) / sqrt(1 - abar)
    step        x_t' = sqrt(abar') x0 + sqrt(1 - abar' - sigma²) e + sigma z, z a unit Gaussian

Source: Song et al., "Denoising Diffusion Implicit Models", equations 12 and 16; Shan et al., D3DP, for the
spacing of the times, the clamps and the flipped copy inside each step. D3DP's code has eta 1; HTP calls its
sampling deterministic, which is eta 0.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.schedule import CosineSchedule

POSE_LIMIT = 1.1
"""Bound in metres on what the denoiser sees and on what it predicts (D3DP, scale 1)."""


@runtime_checkable
class Denoiser(Protocol):
    """Predicts clean poses from noisy ones; the only thing that the sampler knows of a model."""

    def __call__(
        self,
        pose_2d: Float[Tensor, "batch frames joints 2"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Int64[Tensor, " batch"],
        /,
    ) -> Float[Tensor, "batch frames joints 3"]:
        """Predict x_0 for each sequence of the batch."""
        ...


def sample(
    denoise: Denoiser,
    pose_2d: Float[Tensor, "batch frames joints 2"],
    *,
    schedule: CosineSchedule,
    steps: int = 1,
    hypotheses: int = 1,
    eta: float = 1.0,
    flip: Callable[[Tensor], Tensor] | None = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
    early: Denoiser | None = None,
) -> Float[Tensor, "batch hyps frames joints 3"]:
    """Sample 3D poses for 2D ones; the last prediction of `sample_steps`, with the same arguments."""
    every_step = sample_steps(
        denoise,
        pose_2d,
        schedule=schedule,
        steps=steps,
        hypotheses=hypotheses,
        eta=eta,
        flip=flip,
        generator=generator,
        max_batch=max_batch,
        early=early,
    )
    return deque(every_step, maxlen=1).pop()


def sample_steps(
    denoise: Denoiser,
    pose_2d: Float[Tensor, "batch frames joints 2"],
    *,
    schedule: CosineSchedule,
    steps: int = 1,
    hypotheses: int = 1,
    eta: float = 1.0,
    flip: Callable[[Tensor], Tensor] | None = None,
    generator: torch.Generator | None = None,
    max_batch: int | None = None,
    early: Denoiser | None = None,
) -> Iterator[Float[Tensor, "batch hyps frames joints 3"]]:
    """Sample 3D poses for 2D ones and yield the predicted clean poses of every denoising step.

    The flipped copy and the hypotheses are folded into the batch axis, so that a step is one call of the
    denoiser, or the few that max_batch asks for. The noise of a step is drawn for the whole batch at once: a
    seed gives the same poses whatever max_batch is.

    Args:
        denoise: Called with (pose_2d, noisy, timestep), each of the same batch; never keeps a gradient.
        pose_2d: 2D poses, screen-normalised.
        schedule: Noise schedule that the denoiser was trained with.
        steps: Denoising steps K.
        hypotheses: Samples H for each sequence.
        eta: Share of the noise put back at each step: 0 is deterministic once the first noise is drawn, 1 is
            D3DP's code.
        flip: Mirrors poses with any leading axes, 2D and 3D; with it, each step averages its prediction with
            that of the mirrored input, mirrored back. None leaves this augmentation out.
        generator: Source of the noise, drawn on the generator's own device; the default one of the pose's
            device if None.
        max_batch: Most sequences in one call of the denoiser; all of them in one call if None.
        early: What predicts at every step but the last; ``denoise`` if None. A cheaper one is approximate.

    Yields:
        Predicted poses (metres, within ±1.1), once a step.

    Raises:
        BenchmarkError: An argument is out of range, or the denoiser returns another shape than it was given.
    """
    _check(pose_2d, hypotheses, eta, max_batch)
    batch, frames, joints, _ = pose_2d.shape
    pairs = schedule.ddim_timesteps(steps)
    condition = pose_2d.repeat_interleave(hypotheses, dim=0)
    if flip is not None:
        condition = torch.cat([condition, flip(condition)])
    num_chunks = 1 if max_batch is None else math.ceil(condition.shape[0] / max_batch)

    def draw() -> Tensor:
        device = pose_2d.device if generator is None else generator.device
        shape = (batch * hypotheses, frames, joints, 3)
        return torch.randn(shape, generator=generator, dtype=pose_2d.dtype, device=device).to(pose_2d.device)

    noisy = draw()
    for timestep, next_timestep in pairs:
        predict = denoise if early is None or next_timestep < 0 else early
        seen = noisy.clamp(-POSE_LIMIT, POSE_LIMIT)
        if flip is None:
            x0 = _denoise_in_chunks(predict, condition, seen, timestep, num_chunks)
        else:
            both = _denoise_in_chunks(predict, condition, torch.cat([seen, flip(seen)]), timestep, num_chunks)
            plain, mirrored = both.chunk(2)
            x0 = (plain + flip(mirrored)) / 2
        x0 = x0.to(noisy.dtype).clamp(-POSE_LIMIT, POSE_LIMIT)
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


def sequence_bytes(num_frames: int, num_joints: int, dim: int, bytes_per_element: int = 4) -> int:
    """Estimate the working memory that a denoiser needs for one sequence at inference, weights left out.

    Two terms: the tokens alive at once in a transformer block, taken as sixteen arrays of (frames, joints,
    dim) (on a CPU, a further sequence of 81 or 243 frames raised the resident memory of the D3DP and HTP
    denoisers of width 512 by 14 to 16); and HTP's selection, three float32 arrays and a mask of (joints,
    frames, frames).

    Args:
        num_frames: Frames T of a sequence.
        num_joints: Joints J.
        dim: Width D of a token.
        bytes_per_element: 4 in float32, 2 in half precision.
    """
    tokens = 16 * num_frames * num_joints * dim * bytes_per_element
    selection = (3 * 4 + 1) * num_joints * num_frames**2
    return tokens + selection


def max_batch_within(memory_budget: int, bytes_per_sequence: int) -> int:
    """Most sequences that one call of the denoiser may hold within a memory budget; at least one.

    Args:
        memory_budget: Bytes for the activations of one call.
        bytes_per_sequence: Bytes that one sequence needs, as from `sequence_bytes`.

    Raises:
        BenchmarkError: Either figure is not positive.
    """
    if memory_budget < 1 or bytes_per_sequence < 1:
        raise BenchmarkError(
            f"expected a memory budget and a size above 0 bytes, got {memory_budget} and {bytes_per_sequence}"
        )
    return max(1, memory_budget // bytes_per_sequence)


@torch.no_grad()
def _denoise_in_chunks(
    denoise: Denoiser,
    pose_2d: Float[Tensor, "batch frames joints 2"],
    noisy: Float[Tensor, "batch frames joints 3"],
    timestep: int,
    num_chunks: int,
) -> Float[Tensor, "batch frames joints 3"]:
    times = torch.full((noisy.shape[0],), timestep, dtype=torch.int64, device=noisy.device)
    # Chunks within one sequence of each other in size: a compiled denoiser sees two shapes at most.
    chunks = zip(*(part.tensor_split(num_chunks) for part in (pose_2d, noisy, times)), strict=True)
    x0 = torch.cat([denoise(*chunk) for chunk in chunks])
    if x0.shape != noisy.shape:
        raise BenchmarkError(
            f"expected the denoiser to return poses of shape {tuple(noisy.shape)}, got {tuple(x0.shape)}"
        )
    return x0


def _check(pose_2d: Tensor, hypotheses: int, eta: float, max_batch: int | None) -> None:
    if pose_2d.ndim != 4 or pose_2d.shape[-1] != 2 or not pose_2d.is_floating_point():
        raise BenchmarkError(
            "expected 2D poses (batch, frames, joints, 2) in floating point, "
            f"got {tuple(pose_2d.shape)} in {pose_2d.dtype}"
        )
    if hypotheses < 1:
        raise BenchmarkError(f"expected at least one hypothesis, got {hypotheses}")
    if not 0 <= eta <= 1:
        raise BenchmarkError(f"expected eta from 0 (deterministic) to 1, got {eta}")
    if max_batch is not None and max_batch < 1:
        raise BenchmarkError(f"expected max_batch of at least one sequence, got {max_batch}")
