"""Multiply-accumulates and parameters of every model at the paper's sizes, beside the paper's figures."""

from dataclasses import dataclass

import torch

from adapters import patch_mixste, patch_motionbert
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.base.units import GIGA, MEGA
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.finepose import FinePOSEDenoiser
from htp_diffusion.models.ktpformer import KTPFormerDenoiser
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.models.variants import Variant, VariantConfig
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.counting import Count, count, count_denoiser
from htp_diffusion.speed.lineup import random_inputs
from htp_diffusion.speed.paper_tables import printed, printed_or_none
from htp_modules import HTPConfig

FRAMES, DIM, DEPTH = 243, 512, 8
_A_FRAME = "GMACs a frame, "
_TABLE_V = (
    ("training, one pass", "training, one pass", 1),
    ("H=1, K=1", "H=1, K=1, flip", 2),
    ("HxK=20", "HxK=20, flip", 40),
    ("H=20, K=10", "H=20, K=10, flip", 400),
)
"""Its settings: as the paper's table is kept here, as ours tells them, and the passes of a clip."""


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
        mixste, motionbert, finepose = MixSTE(), DSTformer(dim_feat=DIM, maxlen=FRAMES), FinePOSEDenoiser()
        htp_mixste = patch_mixste(MixSTE(), from_scratch=True)
        htp_motionbert = patch_motionbert(DSTformer(dim_feat=DIM, maxlen=FRAMES), from_scratch=True)
        pose_2d = torch.empty(1, FRAMES, H36M_17.num_joints, 2)
        confident = torch.empty(1, FRAMES, H36M_17.num_joints, 3)
        told = tuple(torch.empty_like(part, device="meta") for part in random_inputs("finepose", 1, FRAMES))
    d3dp = count_denoiser(D3DPDenoiser, FRAMES)
    htp = {layers: _count_htp(layers) for layers in (1, 2, 3, 4)}
    one, recovered = "one pass", "one pass, Cross MHSA on all frames"
    rows = [
        _row("MixSTE", one, count(mixste, (pose_2d,)), "Table I"),
        _row("D3DP", one, d3dp, "Table I"),
        _row("MotionBERT", one, count(motionbert, (confident,)), "Table I"),
        _row("FinePOSE", one, count(finepose, told), "Table I"),
        _row("KTPFormer", one, count_denoiser(KTPFormerDenoiser, FRAMES), "Table I"),
        _row("baseline: D3DP + Spatial GCN", recovered, _count_variant("baseline"), "Table XI", "baseline"),
        _row("baseline + TCEP", recovered, _count_variant("tcep"), "Table XI", "+ TCEP"),
        _row("HTP", "one pass, n=3, f=54", htp[3], "Table XI", "all"),
        *(_row("HTP", f"one pass, n={n}, f=54", htp[n], "Table VIII", f"n={n}") for n in (1, 2, 4)),
        _row("HTP w/ MixSTE", "one pass, patched", count(htp_mixste, (pose_2d,)), "Table I"),
        _row("HTP w/ MotionBERT", "one pass, patched", count(htp_motionbert, (confident,)), "Table I"),
    ]
    models = {"D3DP": d3dp, "HTP n=1": htp[1], "HTP n=3": htp[3]}
    for printed_as, setting, passes in _TABLE_V:
        for model, cost in models.items():
            figure = printed_or_none("Table V", model, f"{_A_FRAME}{printed_as}")
            if figure is not None:
                rows.append(_per_frame(model, setting, cost, passes, figure))
    for frames in (81, 162):
        kept = frames // 3
        setting = f"T={frames}, f={kept}, H=20, K=10, flip"
        figure = printed("Table XIII", f"T={frames}", f"{_A_FRAME}H=20, K=10")
        rows.append(_per_frame("HTP n=1", setting, _count_htp(1, frames, kept), 400, figure, frames))
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
            Column("THOP", ".3f", "counted"),
            Column("paper", "g", "quoted"),
            Column("difference", "+.3f"),
            Column("true", ".3f", "counted"),
            Column("params, M", ".3f", "counted"),
            Column("paper, M", "g", "quoted"),
        ),
        rows=tuple(cells),
        notes=(
            "THOP: linear layers, norms and poolings; attention and bare products are invisible to it.",
            "The query projection of Cross MHSA is computed once; THOP's column charges it for every joint, "
            "as the paper's does.",
            "FinePOSE: its text encoder of ViT-B/32's shapes included, which runs once a clip in a sampling. "
            "KTPFormer: the denoiser that its paper describes, which is not public.",
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


def _row(model: str, setting: str, cost: Count, item: str, printed_as: str | None = None) -> MacsRow:
    """A pass, beside the row of one of the paper's tables, called as the model unless it says otherwise."""
    row = printed_as or model
    return MacsRow(
        model=model,
        setting=setting,
        thop_gmacs=cost.thop_macs / GIGA,
        true_gmacs=cost.true_macs / GIGA,
        params_m=cost.params / MEGA,
        paper_gmacs=printed(item, row, "GMACs a pass"),
        paper_params_m=printed_or_none(item, row, "parameters, M"),
    )


def _per_frame(
    model: str, setting: str, cost: Count, passes: int, paper_gmacs: float, frames: int = FRAMES
) -> MacsRow:
    share = passes / frames / GIGA
    return MacsRow(
        model=model,
        setting=f"G/frame: {setting}",
        thop_gmacs=cost.thop_macs * share,
        true_gmacs=cost.true_macs * share,
        params_m=cost.params / MEGA,
        paper_gmacs=paper_gmacs,
        paper_params_m=None,
    )
