"""Patches public pose transformers with hierarchical temporal pruning, in place and reversibly."""

from typing import Any

from adapters.adapter import Adapter, Facts
from adapters.checkpoints import LoadReport, load_checkpoint
from adapters.d3dp import D3DP
from adapters.describe import Description, describe
from adapters.errors import CheckpointError, PatchError, UnrecognisedHostError
from adapters.mixste import MIXSTE
from adapters.motionbert import MOTIONBERT
from adapters.patching import ADAPTERS, Model, htp_of, is_patched, patch_with, unpatch, unpruned
from adapters.probe import Probe
from htp_modules import HTPConfig

__all__ = [
    "D3DP",
    "MIXSTE",
    "MOTIONBERT",
    "Adapter",
    "CheckpointError",
    "Description",
    "Facts",
    "LoadReport",
    "PatchError",
    "Probe",
    "UnrecognisedHostError",
    "describe",
    "htp_of",
    "is_patched",
    "load_checkpoint",
    "patch",
    "patch_d3dp",
    "patch_mixste",
    "patch_motionbert",
    "patch_with",
    "unpatch",
    "unpruned",
]


def patch(
    model: Model, config: HTPConfig | None = None, *, from_scratch: bool = False, **config_fields: Any
) -> Model:
    """Patch a MixSTE, D3DP or MotionBERT, whichever ``model`` is; see :func:`patch_with`."""
    return patch_with(ADAPTERS, model, config, from_scratch=from_scratch, **config_fields)


def patch_mixste(
    model: Model, config: HTPConfig | None = None, *, from_scratch: bool = False, **config_fields: Any
) -> Model:
    """Patch a MixSTE; see :func:`patch_with`."""
    return patch_with(MIXSTE, model, config, from_scratch=from_scratch, **config_fields)


def patch_d3dp(
    model: Model, config: HTPConfig | None = None, *, from_scratch: bool = False, **config_fields: Any
) -> Model:
    """Patch a D3DP denoiser, or the one in a D3DP; see :func:`patch_with`."""
    return patch_with(D3DP, model, config, from_scratch=from_scratch, **config_fields)


def patch_motionbert(
    model: Model, config: HTPConfig | None = None, *, from_scratch: bool = False, **config_fields: Any
) -> Model:
    """Patch a MotionBERT DSTformer, or the one in an action or mesh network; see :func:`patch_with`."""
    return patch_with(MOTIONBERT, model, config, from_scratch=from_scratch, **config_fields)
