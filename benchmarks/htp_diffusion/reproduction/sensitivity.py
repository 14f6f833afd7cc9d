"""Sensitivity: k and k' changed at inference, as a part (Figure 4, Table X)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from htp_diffusion.base.device import device_name
from htp_diffusion.reproduction.pair import Pair
from htp_diffusion.reproduction.part import Compared, Part, Picture, Workplace
from htp_diffusion.reproduction.sampled import embedded_windows
from htp_diffusion.speed.paper_tables import printed
from htp_diffusion.studies.sensitivity import PRINTED, Sensitivity, sensitivity_of, sensitivity_tables
from htp_diffusion.studies.sensitivity_picture import draw_sensitivity

PICTURE = "sensitivity.png"
_ABOUT = 20.0


@dataclass(frozen=True, kw_only=True)
class SensitivityAsked:
    """What the errors depend on: the weights' SHA-256, and where."""

    weights: list[str]
    device: str


def sensitivity_part(pair: Pair, device: torch.device) -> Part[Sensitivity]:
    """The part."""

    def make(work: Workplace) -> Sensitivity:
        contender = pair.contenders()[1]
        found, clips = embedded_windows(contender.config.num_frames)
        result = sensitivity_of(contender, found.description, clips, device, work.progress)
        draw_sensitivity(work.folder / PICTURE, result)
        return result

    return Part(
        name="sensitivity",
        title="k and k' changed at inference",
        items=("Figure 4", "Table X"),
        asked=SensitivityAsked(weights=pair.hashes, device=device_name(device)),
        kind=Sensitivity,
        estimate=_ABOUT,
        make=make,
        tables=sensitivity_tables,
        compared=_compared,
        pictures=lambda result: [Picture(file=PICTURE, item="Figure 4", caption=f"{result.condition}.")],
    )


def _compared(result: Sensitivity) -> Sequence[Compared]:
    found = [
        Compared(
            item=item,
            what=f"k = {row.share:.3g} T: MPJPE, mm",
            measured=row.mpjpe,
            quoted=printed("Table X", PRINTED[row.share], "MPJPE, mm") if item == "Table X" else None,
            condition=result.condition + ("; the paper: Human3.6M" if row.share in PRINTED else ""),
        )
        for item in ("Table X", "Figure 4")
        for row in result.over_neighbors
        if item == "Figure 4" or row.share in PRINTED
    ]
    found += [
        Compared(
            item="Figure 4",
            what=f"k' = {row.density}: MPJPE, mm",
            measured=row.mpjpe,
            quoted=None,
            condition=result.condition,
        )
        for row in result.over_density
    ]
    return found
