"""The paper's systems: parameters and multiply-accumulates as it prints them, and as public code counts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from htp_diffusion.base.tables import Column, Table
from htp_diffusion.speed.counting import thop_macs
from htp_diffusion.speed.lineup import Host, random_inputs
from htp_diffusion.speed.public_code import public_d3dp, public_mixste, public_motionbert
from htp_diffusion.speed.public_hosts import public_finepose, public_ktpformer, public_stcformer

_FRAMES = 243
_SIZES = {"frames": _FRAMES, "dim": 512, "heads": 8}
_COUNTED: dict[str, tuple[Host, int, Callable[..., nn.Module]]] = {
    "MixSTE": ("mixste", 8, public_mixste),
    "D3DP": ("d3dp", 8, public_d3dp),
    "MotionBERT": ("motionbert", 5, public_motionbert),
    "FinePOSE": ("finepose", 8, public_finepose),
    "KTPFormer": ("ktpformer", 8, public_ktpformer),
    "STCFormer-L": ("stcformer", 6, public_stcformer),
}
"""Systems that are counted anew: what they are called with, their depth, and what builds them."""
_GIGA, _MEGA = 1e9, 1e6


@dataclass(frozen=True, kw_only=True)
class SystemRow:
    """One system, at its published size.

    Attributes:
        system: Its name.
        frames: T of what was counted.
        printed_params_m: The paper's parameters, M.
        printed_gmacs: The paper's multiply-accumulates of a pass, G.
        counted_params_m: Parameters of the public class, M; None where nothing was counted.
        counted_gmacs: THOP's count on it, one clip, G; None where nothing was counted.
        counted_on: Repository, file and class that was counted.
        note: Why the two differ, or what else there is to know.
    """

    system: str
    frames: int
    printed_params_m: float
    printed_gmacs: float
    counted_params_m: float | None
    counted_gmacs: float | None
    counted_on: str | None
    note: str | None


def count_again(rows: list[SystemRow], public: Path) -> list[SystemRow]:
    """The rows with what is counted on the public classes now, for those that can be patched.

    Args:
        rows: The rows.
        public: Folder of checkouts, each called owner+name.

    Raises:
        BenchmarkError: No checkout, or one that does not import.
    """
    return [_again(row, public) if row.system in _COUNTED else row for row in rows]


def _again(row: SystemRow, public: Path) -> SystemRow:
    host, depth, build = _COUNTED[row.system]
    model = build(public, depth=depth, **_SIZES).eval()
    return replace(
        row,
        counted_params_m=sum(parameter.numel() for parameter in model.parameters()) / _MEGA,
        counted_gmacs=thop_macs(model, random_inputs(host, 1, _FRAMES)) / _GIGA,
    )


def systems_table(rows: list[SystemRow]) -> Table:
    """The rows, each figure marked as counted or quoted."""
    return Table(
        title="The paper's systems: parameters and multiply-accumulates of a pass",
        columns=(
            Column("system"),
            Column("T", "d"),
            Column("paper, M", "g", "quoted"),
            Column("params, M", ".2f", "measured"),
            Column("paper, G", "g", "quoted"),
            Column("THOP, G", ".2f", "measured"),
            Column("counted on"),
            Column("note"),
        ),
        rows=tuple(
            (
                row.system,
                row.frames,
                row.printed_params_m,
                row.counted_params_m,
                row.printed_gmacs,
                row.counted_gmacs,
                row.counted_on,
                row.note,
            )
            for row in rows
        ),
        notes=(
            "Counted: THOP 0.1.1, one clip, on the public classes with the sizes that their authors publish.",
        ),
    )
