"""Adapter: everything that patching has to know about one kind of host."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from adapters.errors import PatchError
from htp_modules import ConfigError, HTPConfig


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Sizes of a host, read off its modules.

    Attributes:
        num_frames: T, frames of the clips that it was built for.
        num_joints: J.
        in_channels: Coordinates per joint that its embedding takes.
        dim: D, channels of a token.
        num_heads: Heads of its temporal attention.
        depth: Pairs of a spatial and a temporal block.
        noisy_channels: The last of ``in_channels``, if the host denoises: the coordinates of a noisy joint.
    """

    num_frames: int
    num_joints: int
    in_channels: int
    dim: int
    num_heads: int
    depth: int
    noisy_channels: int = 0


class FrameState(NamedTuple):
    """A tensor of a host that has an entry for each frame: a position table, a graph over frames.

    Attributes:
        path: Its name in the host, dotted where it lies deeper, ``*`` for each child of a list; a parameter,
            a buffer or a plain attribute.
        axes: Its axes of frames.
    """

    path: str
    axes: tuple[int, ...] = (1,)


def no_modules(facts: Facts) -> dict[str, nn.Module]:
    """What most hosts need beside HTP's own modules: nothing."""
    return {}


def clip_inputs(host: nn.Module, facts: Facts, frames: int) -> tuple[Tensor, ...]:
    """One random clip, for a host that takes nothing else."""
    return (torch.randn(1, frames, facts.num_joints, facts.in_channels),)


def block_places(config: HTPConfig, injected: str) -> tuple[str, ...]:
    """Where the modules go in a stack of alternating spatial and temporal blocks."""
    n = config.num_sft_layers
    masked = "temporal block 0 attends" if n == 0 else f"temporal blocks 0 to {n} attend"
    return (
        f"TCEP after spatial block 0, then the {injected}",
        f"SFT MHSA: {masked} under the mask, with the host's weights",
        f"MGPTP before spatial block {n + 1}; the blocks from there on see the kept frames",
        f"recovery ({config.recovery}) before the head",
    )


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
        embedding: Name of the host's joint embedding, which a Spatial GCN stands beside or replaces.
        by_frame: State that goes by frame, cut where a copy is made shorter; none if the host has none.
        injected: What ``run`` adds to the tokens once TCEP has read them, for messages.
        check_frames: Frames of the clip that the host and a patched copy are compared on before a patch; None
            for the full length, where a copy cannot be made shorter by cutting ``by_frame``.
        inputs: Random arguments of the forward for one clip of so many frames.
        places: Where HTP's modules go, under a config and with what is injected, one sentence each.
        modules: Modules that the host needs beside HTP's own; they join ``model.htp`` under their names.
        num_pairs: Pairs of blocks that ``run`` hands to HTP, given the host's sizes.
        defaults: The config of a patch that is given none.
    """

    name: str
    probe: Callable[[nn.Module], Facts]
    run: Callable[..., Tensor]
    embedding: str
    by_frame: tuple[FrameState, ...] = ()
    injected: str = "temporal position"
    check_frames: int | None = 3
    inputs: Callable[[nn.Module, Facts, int], tuple[Tensor, ...]] = clip_inputs
    places: Callable[[HTPConfig, str], tuple[str, ...]] = block_places
    modules: Callable[[Facts], dict[str, nn.Module]] = no_modules
    num_pairs: Callable[[Facts], int] = host_pairs
    defaults: HTPConfig = field(default_factory=HTPConfig)

    def check_layers(self, config: HTPConfig, facts: Facts) -> None:
        """Check that a host of these sizes has the pairs of blocks that a config asks for.

        Raises:
            ConfigError: It has fewer.
        """
        pairs = self.num_pairs(facts)
        if config.num_sft_layers >= pairs:
            raise ConfigError(
                f"num_sft_layers={config.num_sft_layers} leaves no pair of blocks for the first: this "
                f"{self.name} has {pairs}; give at most {pairs - 1}"
            )

    def clip(self, host: nn.Module, facts: Facts, frames: int) -> tuple[Tensor, ...]:
        """``inputs`` on the CPU, in the precision of the host's tokens.

        Raises:
            PatchError: As ``embedded_like``.
        """
        dtype = self.embedded_like(host).dtype
        with torch.device("cpu"):
            parts = self.inputs(host, facts, frames)
        return tuple(part.to(dtype) if part.is_floating_point() else part for part in parts)

    def embedded_like(self, host: nn.Module) -> Tensor:
        """A parameter of the host's embedding, whose device and dtype are those of its tokens.

        Raises:
            PatchError: It has none, as a quantised host.
        """
        like = next(host.get_submodule(self.embedding).parameters(), None)
        if like is None:
            raise PatchError(
                f"{self.embedding} has no parameters, as after quantisation; patch, time and tune the host "
                "first, and quantise it afterwards"
            )
        return like
