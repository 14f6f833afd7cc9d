"""NoisyBatch: a batch with its diffusion times and noise drawn, ready to be shared out, and its loss."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_diffusion.diffusion.ddim import POSE_LIMIT
from htp_diffusion.diffusion.schedule import CosineSchedule
from htp_diffusion.training.batches import Batch


@dataclass(frozen=True, eq=False)
class NoisyBatch:
    """What the denoiser gets, and what it should say.

    Attributes:
        pose_2d: Screen-normalised.
        noisy: The clean poses with noise added, within the sampler's bounds.
        timestep: Diffusion time of each window.
        pose_3d: The clean poses: root-relative.
    """

    pose_2d: Float[Tensor, "batch frames joints 2"]
    noisy: Float[Tensor, "batch frames joints 3"]
    timestep: Int64[Tensor, " batch"]
    pose_3d: Float[Tensor, "batch frames joints 3"]

    def tensors(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All of it, in order."""
        return self.pose_2d, self.noisy, self.timestep, self.pose_3d

    def part(self, index: int, parts: int) -> "NoisyBatch":
        """One of so many parts of equal size."""
        size = len(self.timestep) // parts
        cut = slice(index * size, (index + 1) * size)
        return NoisyBatch(*(tensor[cut] for tensor in self.tensors()))

    def to(self, device: torch.device) -> "NoisyBatch":
        """The same on a device."""
        return NoisyBatch(*(tensor.to(device) for tensor in self.tensors()))


def tilted_times(even: Float[Tensor, " batch"], tilt: float, num_timesteps: int) -> Int64[Tensor, " batch"]:
    """Diffusion times t with t / N = 1 - (1 - u)^tilt, from u evenly drawn in [0, 1)."""
    share = 1.0 - (1.0 - even) ** tilt  # rounds to 1 where u is nearly 1
    return (share * num_timesteps).long().clamp(max=num_timesteps - 1)


def add_noise(
    batch: Batch, schedule: CosineSchedule, generator: torch.Generator, tilt: float = 1.0
) -> NoisyBatch:
    """Draw noise and one random diffusion time a window.

    Args:
        batch: The clean poses.
        schedule: How much noise there is at which time.
        generator: Of the batch's device or of the CPU.
        tilt: Above 1, times near pure noise are drawn more often (:func:`tilted_times`).
    """
    pose, device = batch.pose_3d, generator.device
    noise = torch.randn(pose.shape, generator=generator, device=device).to(pose)
    if tilt == 1.0:
        timestep = torch.randint(schedule.num_timesteps, (pose.shape[0],), generator=generator, device=device)
    else:
        even = torch.rand(pose.shape[0], generator=generator, device=device)
        timestep = tilted_times(even, tilt, schedule.num_timesteps)
    timestep = timestep.to(pose.device)
    noisy = schedule.add_noise(pose, timestep, noise).clamp(-POSE_LIMIT, POSE_LIMIT)
    return NoisyBatch(batch.pose_2d, noisy, timestep, pose)


def denoising_loss(denoiser: Callable[..., Tensor], batch: NoisyBatch) -> Float[Tensor, ""]:
    """MPJPE of the predicted clean poses, in their unit."""
    predicted = denoiser(batch.pose_2d, batch.noisy, batch.timestep)
    return (predicted - batch.pose_3d).norm(dim=-1).mean()
