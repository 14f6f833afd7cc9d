"""The cosine noise schedule of the diffusion process.

Notation:
    t               diffusion time, 0 (nearly clean) to num_timesteps - 1 (nearly pure noise)
    beta_t          share of the variance that step t replaces by noise
    alphas_cumprod  abar_t, the product of (1 - beta_s) over s <= t
    x_t             sqrt(abar_t) x_0 + sqrt(1 - abar_t) e, with e a unit Gaussian

Source: Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", equation 17; D3DP and HTP
(training, implementation details) use it with 1000 steps and s = 0.008.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError

OFFSET = 0.008
"""s, which keeps the first betas from vanishing."""
MAX_BETA = 0.999
"""Largest beta of a single step (Nichol and Dhariwal, section 3.2): keeps abar above 0 at the last step."""


@dataclass(frozen=True, eq=False)
class CosineSchedule:
    """A noise schedule, held in float64 on the host.

    Float64, because in float32 the sampler's radicand falls below 0 near t = 999 and eta 1 gives NaN; on the
    host, so that the sampler reads its scalars without waiting for a device.

    Attributes:
        alphas_cumprod: abar_t, falling from nearly 1 at t = 0 to nearly 0 at the last t.
    """

    alphas_cumprod: Float64[Tensor, " timesteps"]

    @property
    def num_timesteps(self) -> int:
        """Number of diffusion times."""
        return self.alphas_cumprod.shape[0]

    def alpha_cumprod(self, timestep: int) -> float:
        """Read abar at one diffusion time; 1 at -1, the clean pose after the last step."""
        if not -1 <= timestep < self.num_timesteps:
            raise BenchmarkError(f"expected a timestep from -1 to {self.num_timesteps - 1}, got {timestep}")
        return 1.0 if timestep == -1 else float(self.alphas_cumprod[timestep])

    def add_noise(
        self,
        x0: Float[Tensor, "batch ..."],
        timestep: Int[Tensor, " batch"],
        noise: Float[Tensor, "batch ..."],
    ) -> Float[Tensor, "batch ..."]:
        """Draw x_t from x_0, one diffusion time a sample.

        Args:
            x0: The clean samples.
            timestep: t of each sample, 0 to num_timesteps - 1. Not checked: that would wait for the device.
            noise: Unit Gaussian noise e.

        Returns:
            x_t, in the dtype and on the device of x0.
        """
        column = (-1,) + (1,) * (x0.ndim - 1)
        # Rooted in float64 and cast on the host: not every device has float64.
        signal = self.alphas_cumprod.sqrt().to(x0.dtype).to(x0.device)[timestep].view(column)
        spread = (1 - self.alphas_cumprod).sqrt().to(x0.dtype).to(x0.device)[timestep].view(column)
        return signal * x0 + spread * noise

    def ddim_timesteps(self, steps: int) -> list[tuple[int, int]]:
        """The times that a sampler of so many steps visits, as D3DP spaces them.

        Args:
            steps: Number of denoising steps K, 1 to num_timesteps.

        Returns:
            K pairs (t, next t), from (num_timesteps - 1, ...) down to (..., -1); -1 is the clean pose.

        Raises:
            BenchmarkError: steps is out of range.
        """
        if not 1 <= steps <= self.num_timesteps:
            raise BenchmarkError(f"expected 1 to {self.num_timesteps} sampling steps, got {steps}")
        # Float32 and truncation, as in D3DP: exact integers would move some times by one.
        times = (
            torch.linspace(-1, self.num_timesteps - 1, steps + 1, dtype=torch.float32).int().tolist()[::-1]
        )
        return list(pairwise(times))


def cosine_schedule(num_timesteps: int = 1000) -> CosineSchedule:
    """Make the cosine schedule: abar_t goes as cos²((t / N + s) / (1 + s) pi / 2), each beta at most 0.999.

    Args:
        num_timesteps: Number N of diffusion times.

    Raises:
        BenchmarkError: num_timesteps is below 1.
    """
    if num_timesteps < 1:
        raise BenchmarkError(f"expected num_timesteps >= 1, got {num_timesteps}")
    time = torch.arange(num_timesteps + 1, dtype=torch.float64) / num_timesteps
    curve = torch.cos((time + OFFSET) / (1 + OFFSET) * (math.pi / 2)).square()
    betas = (1 - curve[1:] / curve[:-1]).clamp(0, MAX_BETA)
    return CosineSchedule(torch.cumprod(1 - betas, dim=0))
