"""Options that every script has which computes: where, how, and in which precision."""

from dataclasses import dataclass
from typing import Annotated

import torch

from htp_diffusion.base.command import at_least, by_default
from htp_diffusion.base.device import Precision, check_precision, choose_device
from htp_diffusion.base.execution import Mode, check_mode


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where to compute.

    Attributes:
        device: auto (CUDA where there is a device), cpu, cuda or cuda:N.
        threads: CPU threads of an operation.
    """

    device: str = "auto"
    threads: Annotated[int | None, by_default("PyTorch's", "INT")] = None

    def start(self) -> torch.device:
        """Set the threads, and tell the device.

        Raises:
            BenchmarkError: A device that there is not here, or fewer than one thread.
        """
        if self.threads is not None:
            at_least(self, 1, "threads")
            torch.set_num_threads(self.threads)
        return choose_device(self.device)


@dataclass(frozen=True, kw_only=True)
class Computing(Where):
    """Where and how to compute.

    Attributes:
        device: auto (CUDA where there is a device), cpu, cuda or cuda:N.
        threads: CPU threads of an operation.
        precision: fp32, tf32 (CUDA), bf16 or fp16 (autocast).
        mode: eager, compiled (takes minutes before it pays) or cuda-graph (CUDA).
    """

    precision: Precision = "fp32"
    mode: Mode = "eager"

    def start(self) -> torch.device:
        """Set the threads, and tell the device, once it is known to have the precision and the mode.

        Raises:
            BenchmarkError: As ``Where.start``, or a precision or mode that the device does not have.
        """
        device = super().start()
        check_mode(self.mode, device)
        check_precision(self.precision, device)
        return device
