"""Draws: the random numbers of a batch of windows."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.training.variety import Range


class Draws:
    """Random numbers for a batch of windows, from one generator, on its device."""

    def __init__(self, generator: torch.Generator, count: int) -> None:
        self.generator, self.count = generator, count

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Even in a range; one a window, or of a shape for each."""
        drawn = torch.rand(
            self.count, *shape, generator=self.generator, device=self.generator.device, dtype=torch.float32
        )
        return low + (high - low) * drawn

    def normal(self, *shape: int) -> Tensor:
        """Unit Gaussian."""
        return torch.randn(
            self.count, *shape, generator=self.generator, device=self.generator.device, dtype=torch.float32
        )

    def ratio(self, bounds: Range) -> Float[Tensor, " batch"]:
        """Even in the logarithm within bounds."""
        low, high = (math.log(bound) for bound in bounds)
        return self.uniform(low=low, high=high).exp()
