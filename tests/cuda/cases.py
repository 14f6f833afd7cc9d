"""The modules and the models that the tests of this folder run, as functions of tensors alone."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import hosts
import torch
from networks import Network, random_mask
from torch import Tensor, nn

from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_modules import (
    MGPTP,
    SFTMHSA,
    TCEP,
    CrossMHSA,
    HTPConfig,
    Interpolation,
    KeptFrames,
    SpatialGCN,
    TemporalMask,
)

BATCH, FRAMES, JOINTS, DIM, HEADS = 2, 27, 17, 64, 4
CONFIG = HTPConfig(num_sft_layers=1)
_PATCHED = (*hosts.OURS, hosts.PUBLIC[3])  # MixSTE, D3DP, DSTformer; DSTformer as its public code calls it


class Alone(nn.Module):
    """A module called with tokens, and with the mask or the kept frames that it holds."""

    def __init__(self, module: nn.Module, keep: Tensor | None = None, index: Tensor | None = None) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("keep", keep)
        self.register_buffer("index", index)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens that the module returns."""
        extra = [] if self.keep is None else [TemporalMask(self.keep)]
        extra += [] if self.index is None else [KeptFrames(self.index, FRAMES)]
        result = self.module(x, *extra)
        return result[0] if isinstance(result, tuple) else result


def _mask() -> Tensor:
    return random_mask(BATCH, JOINTS, FRAMES).keep


def _index() -> Tensor:
    return torch.stack([torch.randperm(FRAMES)[:6].sort().values for _ in range(BATCH)])


def _alone(make: Callable[[], Alone], frames: int = FRAMES, channels: int = DIM):
    return lambda: (make(), (torch.randn(BATCH, frames, JOINTS, channels),))


def _denoiser(depth: int = 3, config: HTPConfig = CONFIG):
    model = HTPDenoiser(FRAMES, JOINTS, dim=DIM, depth=depth, num_heads=HEADS, config=config)
    shape = (BATCH, FRAMES, JOINTS)
    return model, (torch.randn(*shape, 2), torch.randn(*shape, 3), torch.tensor([999, 17]))


def _patched(host: hosts.Host, num_sft_layers: int = 1):
    def make():
        model = host.patch(host.make(FRAMES, JOINTS), num_sft_layers=num_sft_layers, spatial_gcn=True)
        return model, host.inputs(BATCH, FRAMES, JOINTS)

    return make


MODULES = {
    "tcep": _alone(lambda: Alone(TCEP(DIM, FRAMES))),
    "sft": _alone(lambda: Alone(SFTMHSA(DIM, HEADS), keep=_mask())),
    "mgptp": _alone(lambda: Alone(MGPTP(6), keep=_mask())),
    "mgptp, required": _alone(lambda: Alone(MGPTP(6, required=("centre", "last", 1)), keep=_mask())),
    "cross": _alone(lambda: Alone(CrossMHSA(DIM, FRAMES, HEADS), index=_index()), frames=6),
    "interpolation": _alone(lambda: Alone(Interpolation(), index=_index()), frames=6),
    "gcn": _alone(lambda: Alone(SpatialGCN(5, DIM)), channels=5),
    "flow": _alone(lambda: Network(DIM, FRAMES, config=CONFIG)),
}
MODELS = {"denoiser": _denoiser} | {f"patched {host.name}": _patched(host) for host in _PATCHED}
ALL = MODULES | MODELS
# Compiling is slow: one model that has every module, and a host's own blocks under a mask.
SMALL = {
    "denoiser": lambda: _denoiser(2, HTPConfig(num_sft_layers=0)),
    "patched mixste": _patched(replace(hosts.PUBLIC[0], build=partial(hosts.PUBLIC[0].build, depth=1)), 0),
}


def build(make: Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A case in evaluation mode and its inputs, on the CPU in float32; the same at every call."""
    torch.manual_seed(0)
    model, inputs = make()
    with torch.no_grad():
        for parameter in model.parameters():  # none stays where it starts, at 0 or 1 above all
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval(), inputs
