"""Patches public pose transformers with hierarchical temporal pruning, in place and reversibly."""

from functools import partial

from adapters.adapter import Adapter, Facts, FrameState
from adapters.benchmark import Benchmark, Cost, benchmark
from adapters.checkpoints import LoadReport, load_checkpoint
from adapters.clock import SpeedUp, Timing
from adapters.d3dp import D3DP
from adapters.describe import Description, describe
from adapters.deviation import Deviation, joint_distance
from adapters.errors import CheckpointError, MeasurementError, PatchError, UnrecognisedHostError
from adapters.finepose import FINEPOSE
from adapters.ktpformer import KTPFORMER
from adapters.mixste import MIXSTE
from adapters.motionagformer import MOTIONAGFORMER
from adapters.motionbert import MOTIONBERT
from adapters.patching import ADAPTERS, adapter_of, htp_of, is_patched, patch_with, unpatch, unpruned
from adapters.probe import Probe
from adapters.stcformer import STCFORMER
from adapters.tune import tune
from adapters.tuning import Trade, Tuning

__all__ = [
    "D3DP",
    "FINEPOSE",
    "KTPFORMER",
    "MIXSTE",
    "MOTIONAGFORMER",
    "MOTIONBERT",
    "STCFORMER",
    "Adapter",
    "Benchmark",
    "CheckpointError",
    "Cost",
    "Description",
    "Deviation",
    "Facts",
    "FrameState",
    "LoadReport",
    "MeasurementError",
    "PatchError",
    "Probe",
    "SpeedUp",
    "Timing",
    "Trade",
    "Tuning",
    "UnrecognisedHostError",
    "adapter_of",
    "benchmark",
    "describe",
    "htp_of",
    "is_patched",
    "joint_distance",
    "load_checkpoint",
    "patch",
    "patch_d3dp",
    "patch_finepose",
    "patch_ktpformer",
    "patch_mixste",
    "patch_motionagformer",
    "patch_motionbert",
    "patch_stcformer",
    "patch_with",
    "tune",
    "unpatch",
    "unpruned",
]


patch = partial(patch_with, ADAPTERS)
"""Patch the host that a model is or holds, whichever it is; see :func:`patch_with`."""

patch_mixste = partial(patch_with, MIXSTE)
"""Patch a MixSTE; see :func:`patch_with`."""

patch_d3dp = partial(patch_with, D3DP)
"""Patch a D3DP denoiser, or the one in a D3DP; see :func:`patch_with`."""

patch_motionbert = partial(patch_with, MOTIONBERT)
"""Patch a MotionBERT DSTformer, or the one in an action or mesh network; see :func:`patch_with`."""

patch_finepose = partial(patch_with, FINEPOSE)
"""Patch a FinePOSE denoiser, or the one in a FinePOSE; see :func:`patch_with`."""

patch_ktpformer = partial(patch_with, KTPFORMER)
"""Patch a KTPFormer; see :func:`patch_with`."""

patch_stcformer = partial(patch_with, STCFORMER)
"""Patch an STCFormer; see :func:`patch_with`."""

patch_motionagformer = partial(patch_with, MOTIONAGFORMER)
"""Patch a MotionAGFormer; see :func:`patch_with`."""

_FUNCTIONS = (patch, patch_mixste, patch_d3dp, patch_motionbert, patch_finepose)
for _function in (*_FUNCTIONS, patch_ktpformer, patch_stcformer, patch_motionagformer):
    _function.__doc__ = patch_with.__doc__
