"""From a network to the denoiser that a sampler calls, and what can be put around either.

Source: Shan et al., D3DP, for the mirrored copy inside each step.
"""

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.ddim import Denoiser


@runtime_checkable
class Network(Protocol):
    """Predicts clean poses from noisy ones and from the 2D poses that belong to them."""

    def __call__(
        self,
        pose_2d: Float[Tensor, "batch frames joints 2"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Int64[Tensor, " batch"],
        /,
    ) -> Float[Tensor, "batch frames joints 3"]:
        """Predict x_0 for each sequence of the batch."""
        ...


def seeing(
    network: Network, pose_2d: Float[Tensor, "batch frames joints 2"], hypotheses: int = 1
) -> Denoiser:
    """The denoiser of these 2D poses.

    Args:
        network: What predicts; no gradient is kept.
        pose_2d: Screen-normalised.
        hypotheses: Noisy poses of each sequence, side by side in the batch.

    Raises:
        BenchmarkError: These are no 2D poses, or fewer than one hypothesis.
    """
    if pose_2d.ndim != 4 or pose_2d.shape[-1] != 2 or not pose_2d.is_floating_point():
        raise BenchmarkError(
            "expected 2D poses (batch, frames, joints, 2) in floating point, "
            f"got {tuple(pose_2d.shape)} in {pose_2d.dtype}"
        )
    if hypotheses < 1:
        raise BenchmarkError(f"expected at least one hypothesis, got {hypotheses}")
    condition = pose_2d.repeat_interleave(hypotheses, dim=0)

    @torch.no_grad()
    def denoise(noisy: Tensor, timestep: int) -> Tensor:
        times = torch.full((len(noisy),), timestep, dtype=torch.int64, device=noisy.device)
        return network(condition, noisy, times)

    return denoise


def with_flip(network: Network, flip: Callable[[Tensor], Tensor]) -> Network:
    """The mean of a prediction and of that for the mirrored input, mirrored back.

    Args:
        network: Called once, with the mirrored copy of the batch after the batch.
        flip: Mirrors poses with any leading axes, 2D and 3D.
    """

    def averaged(pose_2d: Tensor, noisy: Tensor, timestep: Tensor) -> Tensor:
        both = network(
            torch.cat([pose_2d, flip(pose_2d)]), torch.cat([noisy, flip(noisy)]), timestep.repeat(2)
        )
        plain, mirrored = both.chunk(2)
        return (plain + flip(mirrored)) / 2

    return averaged


def in_chunks(network: Network, max_batch: int | None) -> Network:
    """The same predictions in calls of no more than so many sequences; None leaves the network as it is.

    The calls are within one sequence of each other in size: a compiled network sees two shapes at most.

    Raises:
        BenchmarkError: Fewer than one sequence in a call.
    """
    if max_batch is None:
        return network
    if max_batch < 1:
        raise BenchmarkError(f"expected max_batch of at least one sequence, got {max_batch}")

    def chunked(*inputs: Tensor) -> Tensor:
        count = math.ceil(len(inputs[0]) / max_batch)
        return torch.cat(
            [network(*chunk) for chunk in zip(*(part.tensor_split(count) for part in inputs), strict=True)]
        )

    return chunked


def cheaper_early(early: Denoiser, last: Denoiser, last_timestep: int) -> Denoiser:
    """One denoiser at every step but the last and another at the last: approximate.

    Args:
        early: Such as one that keeps fewer frames.
        last: What predicts the result.
        last_timestep: The diffusion time of the last step.
    """

    def denoise(noisy: Tensor, timestep: int) -> Tensor:
        return (last if timestep == last_timestep else early)(noisy, timestep)

    return denoise
