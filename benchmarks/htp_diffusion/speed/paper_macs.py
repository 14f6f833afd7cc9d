"""Multiply-accumulates and parameters of every model at the paper's sizes, beside the paper's figures."""

from dataclasses import dataclass

import torch

from adapters import patch_mixste, patch_motionbert
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.models.variants import Variant, VariantConfig
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.counting import Count, count, count_denoiser
from htp_modules import HTPConfig

FRAMES, DIM, DEPTH = 243, 512, 8
_GIGA, _MEGA = 1e9, 1e6


@dataclass(frozen=True, kw_only=True)
class MacsRow:
    """One row.

    Attributes:
        model: The model.
        setting: What is counted.
        thop_gmacs: Multiply-accumulates by THOP, in the paper's convention, G.
        true_gmacs: Every matrix product counted, attention included, G.
        params_m: Parameters of the model as built, M.
        paper_gmacs: The paper's figure, G; None if it has none.
        paper_params_m: The paper's figure, M; None if it has none.
    """

    model: str
    setting: str
    thop_gmacs: float
    true_gmacs: float
    params_m: float
    paper_gmacs: float | None
    paper_params_m: float | None


def count_rows() -> list[MacsRow]:
    """Count every row; no weights are made, so it takes seconds.

    Returns:
        One pass of each model, then the cost a frame of a whole inference.
    """
    with torch.device("meta"):
        mixste, motionbert = MixSTE(), DSTformer(dim_feat=DIM, maxlen=FRAMES)
        htp_mixste = patch_mixste(MixSTE(), from_scratch=True)
        htp_motionbert = patch_motionbert(DSTformer(dim_feat=DIM, maxlen=FRAMES), from_scratch=True)
        pose_2d = torch.empty(1, FRAMES, H36M_17.num_joints, 2)
        confident = torch.empty(1, FRAMES, H36M_17.num_joints, 3)
    d3dp = count_denoiser(D3DPDenoiser, FRAMES)
    htp = {layers: _count_htp(layers) for layers in (1, 2, 3, 4)}
    one, recovered = "one pass", "one pass, Cross MHSA on all frames"
    rows = [
        _row("MixSTE", one, count(mixste, (pose_2d,)), 139.0, 33.8),
        _row("D3DP", one, d3dp, 139.1, 34.8),
        _row("MotionBERT", one, count(motionbert, (confident,)), 174.8, 42.5),
        _row(
            "baseline: D3DP + Spatial GCN",
            recovered,
            _count_variant("baseline"),
            143.375,
            35.5,
        ),
        _row("baseline + TCEP", recovered, _count_variant("tcep"), 143.392, 36.3),
        _row("HTP", "one pass, n=3, f=54", htp[3], 87.648, 37.5),
        _row("HTP", "one pass, n=1, f=54", htp[1], 60.6, None),
        _row("HTP", "one pass, n=2, f=54", htp[2], 74.2, None),
        _row("HTP", "one pass, n=4, f=54", htp[4], 101.2, None),
        _row("HTP w/ MixSTE", "one pass, patched", count(htp_mixste, (pose_2d,)), 87.6, 36.4),
        _row("HTP w/ MotionBERT", "one pass, patched", count(htp_motionbert, (confident,)), 101.7, 47.6),
        _per_frame("D3DP", "training, one pass", d3dp, 1, 0.58),
        _per_frame("HTP n=3", "training, one pass", htp[3], 1, 0.36),
        _per_frame("D3DP", "H=1, K=1, flip", d3dp, 2, 1.14),
        _per_frame("HTP n=1", "H=1, K=1, flip", htp[1], 2, 0.50),
        _per_frame("HTP n=3", "H=1, K=1, flip", htp[3], 2, 0.72),
        _per_frame("D3DP", "HxK=20, flip", d3dp, 40, 22.9),
        _per_frame("HTP n=1", "HxK=20, flip", htp[1], 40, 10.0),
        _per_frame("D3DP", "H=20, K=10, flip", d3dp, 400, 228.8),
        _per_frame("HTP n=1", "H=20, K=10, flip", htp[1], 400, 99.8),
    ]
    for frames in (81, 162):
        kept = frames // 3
        setting = f"T={frames}, f={kept}, H=20, K=10, flip"
        rows.append(_per_frame("HTP n=1", setting, _count_htp(1, frames, kept), 400, 119.2, frames))
    return rows


def macs_table(rows: list[MacsRow]) -> Table:
    """The rows with the difference between THOP's count and the paper's figure."""
    cells = [
        (
            row.model,
            row.setting,
            row.thop_gmacs,
            row.paper_gmacs,
            None if row.paper_gmacs is None else row.thop_gmacs - row.paper_gmacs,
            row.true_gmacs,
            row.params_m,
            row.paper_params_m,
        )
        for row in rows
    ]
    return Table(
        title=f"Multiply-accumulates, G: batch 1, T={FRAMES}, J={H36M_17.num_joints}, D={DIM}, depth {DEPTH}",
        columns=(
            Column("model"),
            Column("setting"),
            Column("THOP", ".3f", "measured"),
            Column("paper", "g", "quoted"),
            Column("difference", "+.3f"),
            Column("true", ".3f", "measured"),
            Column("params, M", ".3f", "measured"),
            Column("paper, M", "g", "quoted"),
        ),
        rows=tuple(cells),
        notes=(
            "THOP: linear layers, norms and poolings; attention and bare products are invisible to it.",
            "The query projection of Cross MHSA is computed once; THOP's column charges it for every joint, "
            "as the paper's does.",
            "HTP w/: the model above patched by adapters, with the Spatial GCN in place of its embedding "
            "(from_scratch=True).",
            "true: every matrix product computed, attention included.",
            "G/frame: passes x one pass / T; flip doubles the passes. Parameters are the model's.",
            "Parameters in the paper's Table XI: + TCEP's 36.3 leaves out the Cross MHSA (1.17) that its "
            "MACs include; the baseline's 35.5 fits neither count.",
        ),
    )


def _count_variant(variant: Variant) -> Count:
    return count_denoiser(VariantConfig(variant=variant, denoiser=DenoiserConfig(kind="htp")).build, FRAMES)


def _count_htp(num_sft_layers: int, frames: int = FRAMES, kept: int = 54) -> Count:
    pruning = HTPConfig(num_sft_layers=num_sft_layers, num_keep=kept)
    return count_denoiser(DenoiserConfig(kind="htp", num_frames=frames, htp=pruning).build, frames)


def _row(
    model: str, setting: str, cost: Count, paper_gmacs: float | None, paper_params_m: float | None
) -> MacsRow:
    return MacsRow(
        model=model,
        setting=setting,
        thop_gmacs=cost.thop_macs / _GIGA,
        true_gmacs=cost.true_macs / _GIGA,
        params_m=cost.params / _MEGA,
        paper_gmacs=paper_gmacs,
        paper_params_m=paper_params_m,
    )


def _per_frame(
    model: str, setting: str, cost: Count, passes: int, paper_gmacs: float, frames: int = FRAMES
) -> MacsRow:
    share = passes / frames / _GIGA
    return MacsRow(
        model=model,
        setting=f"G/frame: {setting}",
        thop_gmacs=cost.thop_macs * share,
        true_gmacs=cost.true_macs * share,
        params_m=cost.params / _MEGA,
        paper_gmacs=paper_gmacs,
        paper_params_m=None,
    )
