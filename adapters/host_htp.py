"""HostHTP: what a patch adds to a host, all of it under ``htp.``."""

import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapters.adapter import Facts
from adapters.errors import PatchError
from adapters.installed import installed
from htp_modules import HTP, HTPConfig, ShapeError, SpatialGCN


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Parameters that are made inside the block are float32, in which every initial value can be computed."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class HostHTP(HTP):
    """HTP for the blocks of a host, and what the host needs beside it.

    Args:
        facts: The host's sizes.
        config: Where and how hard to prune.
        modules: Further modules, by name.
        from_scratch: The Spatial GCN replaces the host's embedding, as the paper trains and counts it. Else
            it joins the embedding's output through a gain that starts at zero, so that pretrained weights
            survive.

    Attributes:
        enabled: The model's forward runs through HTP (default), or is the host's own.
        fused: Run masked attention by the fused kernel (default) or as the explicit product.
        frozen: The host's parameters that a patch from scratch has put out of use and frozen.
    """

    # A copy of this belongs to a copy of the host: the reference is made anew when the host's copy is.
    _host: weakref.ref[nn.Module] | None = None

    def __init__(
        self,
        facts: Facts,
        config: HTPConfig,
        modules: Mapping[str, nn.Module],
        *,
        from_scratch: bool,
    ) -> None:
        super().__init__(facts.dim, facts.num_frames, facts.num_heads, config)
        self.facts = facts
        self.enabled = True
        self.fused = True
        self.from_scratch = from_scratch
        self.frozen: tuple[str, ...] = ()
        if config.spatial_gcn:
            coordinates = facts.in_channels - facts.noisy_channels
            self.spatial_gcn = SpatialGCN(coordinates, facts.dim, facts.num_joints, facts.noisy_channels)
            if not from_scratch:
                self.spatial_gain = nn.Parameter(torch.zeros(facts.dim))
        for name, module in modules.items():
            self.add_module(name, module)

    def belongs_to(self, host: nn.Module) -> None:
        """Note the host that this lies in, unless one is noted already."""
        if self._host is None or self._host() is None:
            self._host = weakref.ref(host)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_host"}

    @property
    def config(self) -> HTPConfig:
        """The options in force. Assign another config to change k, f, n or k' without touching weights.

        Raises:
            ConfigError: The new config asks for other modules than were built, or more pairs of blocks than
                there are.
            PatchError: The patch is not in force on the model any more.
        """
        return self._config

    @config.setter
    def config(self, config: HTPConfig) -> None:
        host = None if self._host is None else self._host()
        if host is not None:
            added = host._modules.get("htp")
            if added is None or all(module is not self for module in added.modules()):
                raise PatchError("this htp was taken out of its model: assign htp_of(model).config")
            adapter = installed(host).adapter
            if isinstance(config, HTPConfig):
                adapter.check_layers(config, self.facts)
        HTP.config.__set__(self, config)

    def embed(
        self, pose: Float[Tensor, "batch frames joints channels"], embedding: Callable[[Tensor], Tensor]
    ) -> Float[Tensor, "batch frames joints dim"]:
        """Tokens of a clip.

        Args:
            pose: Coordinates per joint.
            embedding: The host's own embedding.

        Raises:
            ShapeError: The clip does not fit what the host was built for.
        """
        facts = self.facts
        if pose.ndim != 4 or pose.shape[2:] != (facts.num_joints, facts.in_channels):
            raise ShapeError(
                f"expected poses (batch, frames, {facts.num_joints}, {facts.in_channels}), "
                f"got shape {tuple(pose.shape)}"
            )
        if pose.shape[1] > facts.num_frames:
            raise ShapeError(
                f"the host was built for up to {facts.num_frames} frames, got {pose.shape[1]}; "
                "cut the sequence into shorter clips"
            )
        if not self.config.spatial_gcn:
            return embedding(pose)
        if self.from_scratch:
            return self.spatial_gcn(pose)
        return embedding(pose) + self.spatial_gain * self.spatial_gcn(pose)
