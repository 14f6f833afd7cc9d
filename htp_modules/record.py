"""record(model): see which frames a model masked and kept, without the model keeping any state."""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import nn

from htp_modules.kept import KeptFrames
from htp_modules.mask import TemporalMask
from htp_modules.mgptp import MGPTP
from htp_modules.tcep import TCEP


@dataclass(frozen=True)
class Record:
    """What the calls inside a :func:`record` block masked and kept, in the order of the calls.

    Attributes:
        masks: One mask for each call of a TCEP.
        kept: The kept frames of each call of an MGPTP.
    """

    masks: list[TemporalMask] = field(default_factory=list)
    kept: list[KeptFrames] = field(default_factory=list)


@contextmanager
def record(model: nn.Module) -> Iterator[Record]:
    """Collect the masks and kept frames of every forward call of ``model`` inside the block.

    A compiled model runs eagerly inside the block. The hooks are gone when it is left, also by an exception.

    Example:
        >>> with record(model) as seen:
        ...     model(pose)
        >>> seen.kept[0].index
    """
    seen = Record()
    handles = []
    for module in model.modules():
        if isinstance(module, TCEP):
            handles.append(module.register_forward_hook(lambda _m, _x, result: seen.masks.append(result[1])))
        elif isinstance(module, MGPTP):
            handles.append(module.register_forward_hook(lambda _m, _x, result: seen.kept.append(result[1])))
    try:
        with _eager():
            yield seen
    finally:
        for handle in handles:
            handle.remove()


def _eager() -> AbstractContextManager[object]:
    """A block in which compiled graphs, which know of no hook set later, are not run."""
    if "torch._dynamo" not in sys.modules:  # nobody has compiled anything, and its import takes long
        return nullcontext()
    return torch.compiler.set_stance("force_eager")
