"""Plug-and-play temporal token pruning for video-based 3D human pose transformers (HTP, arXiv 2508.21363)."""

from htp_modules.config import HTPConfig
from htp_modules.conflict import check_no_conflict
from htp_modules.errors import (
    ConfigError,
    ConflictError,
    DtypeError,
    HTPError,
    MaskError,
    NonFiniteError,
    ShapeError,
)
from htp_modules.graph import SpatialGCN
from htp_modules.htp import HTP, Pair
from htp_modules.kept import KeptFrames
from htp_modules.mask import TemporalMask
from htp_modules.mgptp import MGPTP
from htp_modules.record import Record, record
from htp_modules.recovery import CrossMHSA, Interpolation
from htp_modules.sft_mhsa import SFTMHSA
from htp_modules.tcep import TCEP

__all__ = [
    "HTP",
    "MGPTP",
    "SFTMHSA",
    "TCEP",
    "ConfigError",
    "ConflictError",
    "CrossMHSA",
    "DtypeError",
    "HTPConfig",
    "HTPError",
    "Interpolation",
    "KeptFrames",
    "MaskError",
    "NonFiniteError",
    "Pair",
    "Record",
    "ShapeError",
    "SpatialGCN",
    "TemporalMask",
    "record",
]
__version__ = "0.2.0"

check_no_conflict()
