"""Adapter: everything that patching has to know about one kind of host."""

from collections.abc import Callable
from dataclasses import dataclass, field

from torch import Tensor, nn

from htp_modules import HTPConfig


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Sizes of a host, read off its modules.

    Attributes:
        num_frames: T, rows of its temporal position table.
        num_joints: J.
        in_channels: Coordinates per joint that its embedding takes.
        dim: D, channels of a token.
        num_heads: Heads of its temporal attention.
        depth: Pairs of a spatial and a temporal block.
    """

    num_frames: int
    num_joints: int
    in_channels: int
    dim: int
    num_heads: int
    depth: int


def no_modules(facts: Facts) -> dict[str, nn.Module]:
    """What most hosts need beside HTP's own modules: nothing."""
    return {}


def host_pairs(facts: Facts) -> int:
    """The pairs of a host that adds none of its own."""
    return facts.depth


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """One kind of host.

    A patched model refers to its adapter, so the functions are module-level ones: others do not pickle.

    Attributes:
        name: The host's name, for messages.
        probe: Reads the sizes off a module, or raises :class:`UnrecognisedHostError` listing what it lacks.
        run: The forward pass through ``model.htp``; takes the model, then the arguments of the host's own
            forward in their order. It replaces no block: it calls the host's.
        inputs: Random arguments of the forward for one clip of so many frames.
        places: Where HTP's modules go under a config, one sentence each.
        embedding: Name of the host's joint embedding, which a Spatial GCN stands beside or replaces.
        position: Name of the host's temporal position table, frames on its second axis.
        modules: Modules that the host needs beside HTP's own; they join ``model.htp`` under their names.
        num_pairs: Pairs of blocks that ``run`` hands to HTP, given the host's sizes.
        defaults: The config of a patch that is given none.
    """

    name: str
    probe: Callable[[nn.Module], Facts]
    run: Callable[..., Tensor]
    inputs: Callable[[nn.Module, Facts, int], tuple[Tensor, ...]]
    places: Callable[[HTPConfig], tuple[str, ...]]
    embedding: str
    position: str
    modules: Callable[[Facts], dict[str, nn.Module]] = no_modules
    num_pairs: Callable[[Facts], int] = host_pairs
    defaults: HTPConfig = field(default_factory=HTPConfig)
