"""Counting: the multiply-accumulates of a model's matrix products."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from adapters.installed import installed
from adapters.patching import find_htp, unpruned
from adapters.verify import bare_copy
from htp_modules import HTPConfig


def matmul_macs(model: nn.Module, inputs: Sequence[Any]) -> int:
    """Multiply-accumulates of every matrix product in one forward pass (PyTorch's FlopCounterMode).

    Args:
        model: A copy made for counting, in evaluation mode and without gradients: its attention is written
            out from here on, because a fused kernel is not counted everywhere.
        inputs: The arguments of its forward.
    """
    for module in model.modules():
        if isinstance(getattr(module, "fused", None), bool):
            module.fused = False  # pyright: ignore[reportArgumentType]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs)
    return counter.get_total_flops() // 2


@dataclass(frozen=True, eq=False)
class Counter:
    """A patched host without values, to count one pass over one clip; nothing is computed.

    Attributes:
        twin: A copy of the host on the meta device.
        inputs: Arguments of its forward, likewise.
    """

    twin: nn.Module
    inputs: tuple[Tensor, ...]

    @classmethod
    def of(cls, model: nn.Module, frames: int | None = None) -> "Counter":
        """The counter of a patched model.

        Args:
            model: The host, or a module that holds one.
            frames: Length of the clip; the host's own if not given.

        Raises:
            PatchError: The model is not patched, or cannot be copied.
        """
        host, htp = find_htp(model)
        adapter = installed(host).adapter
        twin = _without_values(bare_copy(host))
        with torch.random.fork_rng([]):
            inputs = adapter.clip(twin, htp.facts, frames or htp.facts.num_frames)
        return cls(twin, tuple(x.to("meta") for x in inputs))

    def plain(self) -> int:
        """Multiply-accumulates of the host alone."""
        # Some hosts make tensors in their forward and name no device.
        with unpruned(self.twin), torch.device("meta"):
            return matmul_macs(self.twin, self.inputs)

    def pruned(self, config: HTPConfig) -> int:
        """Multiply-accumulates of the patched host under a config."""
        _, htp = find_htp(self.twin)
        htp.config = config
        with torch.device("meta"):
            return matmul_macs(self.twin, self.inputs)


def _without_values(model: nn.Module) -> nn.Module:
    """The model on the meta device, with tensors that are plain attributes."""
    for module in model.to("meta").modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Tensor):
                setattr(module, name, value.to("meta"))
    return model
