"""Options of every script that computes: device, threads, precision and mode."""

from dataclasses import dataclass
from typing import Annotated

import torch
import tyro

from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.device import Precision, check_precision, choose_device
from htp_diffusion.base.execution import Mode, check_mode

PRECISION = tyro.conf.arg(help="fp32, tf32 (CUDA), bf16 or fp16 (autocast).")
MODE = tyro.conf.arg(help="eager, compiled (takes minutes before it pays) or cuda-graph (CUDA).")


@dataclass(frozen=True, kw_only=True)
class Threads:
    """How many threads compute.

    Attributes:
        threads: CPU threads of an operation.
    """

    threads: Annotated[int | None, by_default("PyTorch's", "INT")] = None

    def set_threads(self) -> None:
        """Set the number of threads.

        Raises:
            BenchmarkError: Fewer than one.
        """
        if self.threads is not None:
            at_least(self, 1, "threads")
            torch.set_num_threads(self.threads)


@dataclass(frozen=True, kw_only=True)
class Where(Threads):
    """Where to compute.

    Attributes:
        device: auto (CUDA where there is a device), cpu, cuda or cuda:N.
    """

    device: str = "auto"

    def start(self) -> torch.device:
        """Set the number of threads, and return the device.

        Raises:
            BenchmarkError: A device that this machine lacks, or fewer than one thread.
        """
        self.set_threads()
        return choose_device(self.device)


@dataclass(frozen=True, kw_only=True)
class Precise(Where):
    """Where to compute, and in which precision."""

    precision: Annotated[Precision, PRECISION] = "fp32"

    def start(self) -> torch.device:
        """Set the number of threads, and return the device if it has the precision.

        Raises:
            BenchmarkError: As ``Where.start``, or a precision that the device does not have.
        """
        device = super().start()
        check_precision(self.precision, device)
        return device


@dataclass(frozen=True, kw_only=True)
class Computing(Precise):
    """Where to compute, in which precision, and how models are run."""

    mode: Annotated[Mode, MODE] = "eager"

    def start(self) -> torch.device:
        """Set the number of threads, and return the device if it has the precision and the mode.

        Raises:
            BenchmarkError: As ``Precise.start``, or a mode that the device does not have.
        """
        device = super().start()
        check_mode(self.mode, device)
        return device
