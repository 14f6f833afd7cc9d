"""Variants: the denoisers of the paper's ablations, HTP with parts of it left out.

Each is made from outside, by what it puts in place of a part; the flow is that of :class:`htp_modules.HTP`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.models.mixste import COORDINATES
from htp_modules import MGPTP, TCEP, CrossMHSA, HTPConfig, KeptFrames, Pair, SpatialGCN, TemporalMask

Variant = Literal[
    "d3dp",
    "spatial-gcn",
    "noisy-gcn",
    "baseline",
    "tcep",
    "tcep-chain",
    "tcep-sft",
    "mask-pruner",
    "mask-neither",
    "mask-attention",
    "unrefined",
    "htp",
]
"""By name:

- ``d3dp``: D3DP as it is.
- ``spatial-gcn``: D3DP with the Spatial GCN.
- ``noisy-gcn``: HTP whose graph convolution reads the noisy 3D pose too (docs/errors.md).
- ``baseline``: D3DP with the Spatial GCN, if the config has it, and the recovery on every frame (Table XI,
  first row).
- ``tcep``: the baseline with TCEP; every frame attends to every frame (Table XI, + TCEP).
- ``tcep-chain``: the same, TCEP learning no links between frames and no weights of single frames: its graph
  is the chain under the correlation (not in the paper).
- ``tcep-sft``: ``tcep``, the first 1 + n temporal blocks attending under TCEP's mask (Table XI, + SFT MHSA).
- ``mask-pruner``: HTP whose attention sees no mask (Table XI, TCEP + MGPTP; Table XII, pruner alone).
- ``mask-attention``: HTP whose pruner sees no mask (Table XII, attention alone).
- ``mask-neither``: HTP where neither does (Table XII).
- ``unrefined``: HTP whose TCEP makes the mask alone and leaves the tokens as they are (not in the paper).
- ``htp``: all of it (Table XI and XII, last row).
"""


class RecoveredHead(nn.Module):
    """The recovery run on every frame, then a head: what Table XI has before anything is pruned."""

    def __init__(self, head: nn.Module, dim: int, num_frames: int, num_heads: int) -> None:
        super().__init__()
        self.recovery = CrossMHSA(dim, num_frames, num_heads)
        self.head = head

    def forward(self, x: Float[Tensor, "batch frames joints dim"]) -> Float[Tensor, "batch frames joints 3"]:
        """The poses from tokens."""
        return self.head(self.recovery(x, KeptFrames.all(*x.shape[:2], device=x.device)))


class UnguidedMGPTP(MGPTP):
    """A pruner that does not see TCEP's mask: every pair of frames is valid and equally well connected."""

    def forward(
        self, x: Float[Tensor, "batch frames joints dim"], mask: TemporalMask
    ) -> tuple[Float[Tensor, "batch kept joints dim"], KeptFrames]:
        """Prune as if the mask were dense."""
        batch, joints, frames, _ = mask.keep.shape
        return super().forward(x, TemporalMask.dense(batch, joints, frames, device=x.device))


class UnrefinedTCEP(TCEP):
    """A TCEP that masks, and leaves the tokens as they are; it has no graph convolutions."""

    def __init__(self, dim: int, num_frames: int, num_neighbors: int | float) -> None:
        super().__init__(dim, num_frames, num_neighbors)
        self.layers = nn.ModuleList()

    def forward(
        self, x: Float[Tensor, "batch frames joints dim"]
    ) -> tuple[Float[Tensor, "batch frames joints dim"], TemporalMask]:
        """The tokens, and their mask."""
        bias, _ = self._correlate(x.transpose(1, 2).contiguous())
        return x, TemporalMask(bias == 0, bias)


class UnmaskedHTPDenoiser(HTPDenoiser):
    """An HTP denoiser in whose temporal blocks every frame attends to every frame."""

    def pairs(self) -> list[Pair]:
        """The blocks; a mask that comes with a call is left aside."""

        def unmasked(pair: Pair) -> Pair:
            return Pair(pair.spatial, lambda x, _: pair.temporal(x, None))

        return [unmasked(pair) for pair in super().pairs()]


@dataclass(frozen=True, kw_only=True)
class VariantConfig:
    """What it takes to build a variant.

    Attributes:
        variant: Which parts of HTP it has.
        denoiser: Sizes and pruning of the whole HTP denoiser (kind "htp"). Variants that keep every frame
            take k and n from it, d3dp and baseline the sizes alone.
    """

    variant: Variant
    denoiser: DenoiserConfig

    def build(self) -> D3DPDenoiser:
        """The denoiser, freshly initialised."""
        return _BUILDERS[self.variant](self.denoiser)


def _d3dp(config: DenoiserConfig) -> D3DPDenoiser:
    return cast(D3DPDenoiser, replace(config, kind="d3dp", htp=None).build())


def _spatial_gcn(config: DenoiserConfig) -> D3DPDenoiser:
    model = _d3dp(config)
    model.Spatial_patch_to_embedding = SpatialGCN(
        model.in_channels, config.dim, model.num_joints, COORDINATES
    )
    return model


def _noisy_gcn(config: DenoiserConfig) -> D3DPDenoiser:
    model = _htp(HTPDenoiser, config)
    model.Spatial_patch_to_embedding = SpatialGCN(
        model.in_channels + COORDINATES, config.dim, model.num_joints
    )
    return model


def _baseline(config: DenoiserConfig) -> D3DPDenoiser:
    embedded = _spatial_gcn if (config.htp or HTPConfig()).spatial_gcn else _d3dp
    return _recovered(embedded(config), config)


def _full_length(kind: type[HTPDenoiser], config: DenoiserConfig) -> D3DPDenoiser:
    """An HTP denoiser that prunes nothing; the recovery, which it would skip, comes before the head."""
    htp = replace(config.htp or HTPConfig(), num_keep=1.0, recovery="interpolate")
    return _recovered(_htp(kind, replace(config, htp=htp)), config)


def _chain(config: DenoiserConfig) -> D3DPDenoiser:
    model = cast(HTPDenoiser, _full_length(UnmaskedHTPDenoiser, config))
    for convolution in model.htp.tcep.layers:
        for table in ("adjacency", "modulation"):  # as they begin, for good
            start = getattr(convolution, table).detach()
            delattr(convolution, table)
            convolution.register_buffer(table, start)
    return model


def _htp(kind: type[HTPDenoiser], config: DenoiserConfig) -> HTPDenoiser:
    return kind(
        num_frames=config.num_frames,
        dim=config.dim,
        depth=config.depth,
        num_heads=config.num_heads,
        drop_path=config.drop_path,
        config=config.htp,
    )


def _unguided(kind: type[HTPDenoiser], config: DenoiserConfig) -> D3DPDenoiser:
    model = _htp(kind, config)
    mgptp = model.htp.mgptp
    model.htp.mgptp = UnguidedMGPTP(mgptp.num_keep, mgptp.num_neighbors, mgptp.required)
    return model


def _unrefined(config: DenoiserConfig) -> D3DPDenoiser:
    model = _htp(HTPDenoiser, config)
    model.htp.tcep = UnrefinedTCEP(config.dim, config.num_frames, model.htp.config.num_neighbors)
    return model


def _recovered(model: D3DPDenoiser, config: DenoiserConfig) -> D3DPDenoiser:
    model.head = RecoveredHead(model.head, config.dim, config.num_frames, config.num_heads)  # pyright: ignore[reportAttributeAccessIssue]
    return model


_BUILDERS: dict[Variant, Callable[[DenoiserConfig], D3DPDenoiser]] = {
    "d3dp": _d3dp,
    "spatial-gcn": _spatial_gcn,
    "noisy-gcn": _noisy_gcn,
    "baseline": _baseline,
    "tcep": partial(_full_length, UnmaskedHTPDenoiser),
    "tcep-chain": _chain,
    "tcep-sft": partial(_full_length, HTPDenoiser),
    "mask-pruner": partial(_htp, UnmaskedHTPDenoiser),
    "mask-attention": partial(_unguided, HTPDenoiser),
    "mask-neither": partial(_unguided, UnmaskedHTPDenoiser),
    "unrefined": _unrefined,
    "htp": partial(_htp, HTPDenoiser),
}
