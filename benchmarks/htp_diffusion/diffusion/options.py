"""Options of scripts that sample."""

from dataclasses import dataclass
from itertools import product
from typing import Annotated

import tyro

from htp_diffusion.base.command import by_default
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.sampling import Sampling, check_budget

DRAWS = tyro.conf.arg(
    metavar="HxK [HxK ...]", help="H and K, hypotheses and denoising steps, of each way to sample, as 20x10."
)


@dataclass(frozen=True, kw_only=True)
class MemoryBudget:
    """How much memory sampling may take.

    Attributes:
        memory_budget: GiB for the activations of one call of a denoiser; a batch is split to fit.
    """

    memory_budget: Annotated[
        float | None, by_default("1 on a CPU, half of the free memory on a GPU", "GIB")
    ] = None


@dataclass(frozen=True, kw_only=True)
class StepOptions:
    """What a denoising step does.

    Attributes:
        eta: Noise put back at each step, 0 to 1: 1 as D3DP's code, 0 deterministic as the paper says.
        flip: Average with the mirrored input inside each step.
    """

    eta: float = 1.0
    flip: bool = True


@dataclass(frozen=True, kw_only=True)
class DrawOptions(StepOptions, MemoryBudget):
    """How hypotheses are drawn, except how many and in how many steps.

    Attributes:
        batch_size: Windows sampled in one call.
        seed: Seed of the sampling noise.
    """

    batch_size: int = 2
    seed: int = 0

    def of(self, hypotheses: int, steps: int) -> Sampling:
        """How to sample so many hypotheses in so many steps.

        Raises:
            BenchmarkError: A number out of range.
        """
        check_budget(self.memory_budget)
        return Sampling(
            hypotheses=hypotheses,
            steps=steps,
            eta=self.eta,
            flip=self.flip,
            seed=self.seed,
            batch_size=self.batch_size,
        )


@dataclass(frozen=True, kw_only=True)
class OneDraw(StepOptions):
    """How many hypotheses are drawn, and how.

    Attributes:
        hypotheses: H, poses sampled for each window.
        steps: K, denoising steps.
    """

    hypotheses: int = 5
    steps: int = 5


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(OneDraw, DrawOptions):
    """One way to sample."""

    @property
    def sampling(self) -> Sampling:
        """The way."""
        return self.of(self.hypotheses, self.steps)


@dataclass(frozen=True, kw_only=True)
class SweepOptions(DrawOptions):
    """Several ways to sample: every pair of a number of hypotheses and a number of steps.

    Attributes:
        hypotheses: H, poses sampled for each window; several are a sweep.
        steps: K, denoising steps; several are a sweep.
    """

    hypotheses: tuple[int, ...] = (5,)
    steps: tuple[int, ...] = (5,)

    @property
    def samplings(self) -> list[Sampling]:
        """The ways.

        Raises:
            BenchmarkError: No number of hypotheses or of steps.
        """
        pairs = list(product(self.hypotheses, self.steps))
        if not pairs:
            raise BenchmarkError("hypotheses and steps expect at least one number each")
        return [self.of(hypotheses, steps) for hypotheses, steps in pairs]
