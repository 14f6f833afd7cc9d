"""Sharding: a measurement spread over the processes that torchrun starts."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed

from htp_diffusion.base.errors import BenchmarkError

_PATIENCE = timedelta(hours=1)  # one process may compile while the others wait


@dataclass(frozen=True, kw_only=True)
class Shards:
    """The processes that share a measurement.

    Attributes:
        rank: This process, from 0.
        count: Their number.
        local_rank: This process among those of its machine.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def first(self) -> bool:
        """Whether this process prints and writes for all of them."""
        return self.rank == 0

    def wait(self) -> None:
        """Go on once every process is here."""
        if self.count > 1:
            distributed.barrier()

    def gather(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of every process, as many from each, in the order of ranks."""
        mine = torch.tensor(numbers, dtype=torch.float64)
        if self.count == 1:
            return [mine.tolist()]
        every = [torch.empty_like(mine) for _ in range(self.count)]
        distributed.all_gather(every, mine)
        return [numbers.tolist() for numbers in every]

    def share(self, clips: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """This process's part of a batch, along the first axis.

        Raises:
            BenchmarkError: Fewer clips than processes.
        """
        total = len(clips[0])
        if total < self.count:
            raise BenchmarkError(
                f"{self.count} processes share a batch and expect at least {self.count} clips, got {total}"
            )
        return tuple(part.tensor_split(self.count)[self.rank] for part in clips)

    def device(self, name: str) -> str:
        """The device of this process: of several, each takes a GPU of its own."""
        gpu = name == "cuda" or (name == "auto" and torch.cuda.is_available())
        return f"cuda:{self.local_rank}" if self.count > 1 and gpu else name


@contextmanager
def shards() -> Iterator[Shards]:
    """The processes of this run: those of torchrun, or this one alone.

    What they exchange are times; gloo carries them whatever the device.
    """
    if not (distributed.is_available() and distributed.is_torchelastic_launched()):
        yield Shards()
        return
    distributed.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield Shards(
            rank=distributed.get_rank(),
            count=distributed.get_world_size(),
            local_rank=int(os.environ["LOCAL_RANK"]),
        )
    finally:
        distributed.destroy_process_group()
