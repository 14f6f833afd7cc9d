"""Sampling: how hypotheses are drawn for the windows of clips, batch by batch."""

import math
import re
from collections import deque
from dataclasses import dataclass, replace
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.device import free_memory
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.units import GIBIBYTE
from htp_diffusion.diffusion.ddim import Denoiser, sample_steps
from htp_diffusion.diffusion.denoisers import Network, cheaper_early, in_chunks, seeing, with_flip
from htp_diffusion.diffusion.memory import max_batch_within, sequence_bytes
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.pose.layout import H36M_17, Layout

_HXK = re.compile(r"([1-9]\d*)x([1-9]\d*)")
_SEED_STRIDE = 2**20  # more windows than any run has, so that two seeds never share a window's noise
_SEEDS = 2**40  # so that a seed and a window together are a seed of PyTorch's


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How to sample.

    Attributes:
        hypotheses: H.
        steps: K, denoising steps.
        eta: Share of the noise put back at each step; 1 as in D3DP's code, 0 is deterministic.
        flip: Average with the mirrored input inside each step.
        seed: Of the noise.
        batch_size: Windows in one call.
        max_batch: Most sequences (windows x hypotheses x flip) in one call of the denoiser; None for all.

    Raises:
        BenchmarkError: A number out of range.
    """

    hypotheses: int
    steps: int
    eta: float
    flip: bool
    seed: int
    batch_size: int
    max_batch: int | None = None

    def __post_init__(self) -> None:
        if min(self.batch_size, self.hypotheses) < 1:
            raise BenchmarkError(
                f"batch size and hypotheses expect at least 1, got {self.batch_size} and {self.hypotheses}"
            )
        cosine_schedule().ddim_timesteps(self.steps)
        if not 0 <= self.eta <= 1:
            raise BenchmarkError(f"expected eta from 0 (deterministic) to 1, got {self.eta}")
        check_seed(self.seed)

    @property
    def label(self) -> str:
        """For titles."""
        flip = "flip" if self.flip else "no flip"
        return f"H={self.hypotheses}, K={self.steps}, eta {self.eta:g}, {flip}"

    @property
    def passes(self) -> int:
        """Passes of the denoiser for one window."""
        return self.hypotheses * self.steps * (2 if self.flip else 1)

    @property
    def early_passes(self) -> int:
        """Passes of the denoising steps before the last."""
        return self.passes - self.passes // self.steps

    def draw(
        self,
        network: Network,
        pose_2d: Float[Tensor, "windows frames joints 2"],
        batch: int = 0,
        layout: Layout = H36M_17,
        early: Network | None = None,
    ) -> Float[Tensor, "windows hyps frames joints 3"]:
        """Sample one batch: the windows from number ``batch`` times the batch size on.

        The noise of a window depends on the seed and the window's number alone: it is the same for every
        network and in batches of any size.

        ``layout`` says which joints change places in the mirrored input; ``early`` predicts at every step but
        the last, ``network`` if None.
        """
        schedule = cosine_schedule()

        def denoiser(network: Network) -> Denoiser:
            network = in_chunks(network, self.max_batch)
            if self.flip:
                network = with_flip(network, partial(flip_pose, layout=layout))
            return seeing(network, pose_2d, self.hypotheses)

        denoise = denoiser(network)
        if early is not None:
            last_timestep, _ = schedule.ddim_timesteps(self.steps)[-1]
            denoise = cheaper_early(denoiser(early), denoise, last_timestep)
        sequences, frames, joints, _ = pose_2d.shape
        first = self.seed * _SEED_STRIDE + batch * self.batch_size
        every_step = sample_steps(
            denoise,
            (sequences, frames, joints),
            schedule=schedule,
            steps=self.steps,
            hypotheses=self.hypotheses,
            eta=self.eta,
            generator=[
                torch.Generator(pose_2d.device).manual_seed(first + number) for number in range(sequences)
            ],
            dtype=pose_2d.dtype,
            device=pose_2d.device,
        )
        return deque(every_step, maxlen=1).pop()


def check_seed(seed: int) -> None:
    """Check a seed.

    Raises:
        BenchmarkError: It is negative or too large.
    """
    if not 0 <= seed < _SEEDS:
        raise BenchmarkError(f"seed expects 0 to {_SEEDS - 1}, got {seed}")


def check_budget(memory_budget: float | None) -> None:
    """Check a budget of memory, GiB.

    Raises:
        BenchmarkError: It is not positive, or not finite.
    """
    if memory_budget is not None and not 0 < memory_budget < math.inf:
        raise BenchmarkError(f"memory budget expects GiB above 0, got {memory_budget:g}")


def read_hxk(text: str, expected: str) -> tuple[int, int]:
    """H and K of a text as 20x10.

    Args:
        text: The text.
        expected: What is expected of which option, told in the error.

    Raises:
        BenchmarkError: It is no such text.
    """
    match = _HXK.fullmatch(text)
    if match is None:
        raise BenchmarkError(f"{expected}, as 20x10, got {text!r}")
    return int(match[1]), int(match[2])


def fit_sampling(
    sampling: Sampling, count: int, config: DenoiserConfig, memory_budget: float | None, device: torch.device
) -> Sampling:
    """The same sampling in batches of no more windows than there are, and in calls that fit into memory.

    Args:
        sampling: How to sample.
        count: Windows.
        config: The larger of the denoisers.
        memory_budget: As for ``even_max_batch``.
        device: Where.

    Raises:
        BenchmarkError: A budget that is not positive.
    """
    batch_size = min(sampling.batch_size, count)
    sequences = batch_size * sampling.hypotheses * (2 if sampling.flip else 1)
    return replace(
        sampling,
        batch_size=batch_size,
        max_batch=even_max_batch(sequences, config, memory_budget, device),
    )


def even_max_batch(
    sequences: int, config: DenoiserConfig, memory_budget: float | None, device: torch.device
) -> int:
    """Most sequences in one call of the denoiser such that every call has the same number.

    One size a call: a compiled denoiser is compiled once.

    Args:
        sequences: Sequences in a batch.
        config: The larger of the denoisers.
        memory_budget: GiB for the activations of one call; by default 1 on a CPU, and half of what is free
            on a GPU.
        device: Where.

    Raises:
        BenchmarkError: A budget that is not positive.
    """
    check_budget(memory_budget)
    if memory_budget is None:
        budget = (free_memory(device) if device.type == "cuda" else 2 * GIBIBYTE) // 2
    else:
        budget = max(1, int(memory_budget * GIBIBYTE))
    within = max_batch_within(budget, sequence_bytes(config.num_frames, H36M_17.num_joints, config.dim))
    return max(size for size in range(1, min(within, sequences) + 1) if sequences % size == 0)
