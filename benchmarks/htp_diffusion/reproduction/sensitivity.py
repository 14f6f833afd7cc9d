"""Sensitivity: k and k' changed at inference, as a part (Figure 4, Table X)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from htp_diffusion.base.device import device_name
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.reproduction.pair import Pair
from htp_diffusion.reproduction.part import Compared, Part, Picture, Workplace
from htp_diffusion.reproduction.pictures import draw_sensitivity
from htp_diffusion.reproduction.sampled import embedded_windows
from htp_diffusion.scoring.draw_and_score import grade
from htp_diffusion.speed.paper_tables import printed
from htp_modules import HTPConfig
from htp_modules.config import resolve_frames

PICTURE = "sensitivity.png"
_NEIGHBORS = (
    1 / 6,
    1 / 3,
    1 / 2,
    2 / 3,
    5 / 6,
    1.0,
)  # k, shares of T; the paper has 1/3, 2/3 and 1 (Table X)
_DENSITY = (1, 2, 3, 5, 8)  # k'
_PRINTED = {1 / 3: "k=81", 2 / 3: "k=162", 1.0: "k=243"}  # rows of Table X, by their share of T
_HYPOTHESES, _STEPS = 1, 1
_ABOUT = 20.0
_BATCH = 12


@dataclass(frozen=True, kw_only=True)
class SensitivityAsked:
    """What the errors depend on: the weights' SHA-256, and where."""

    weights: list[str]
    device: str


@dataclass(frozen=True, kw_only=True)
class Sensitive:
    """One setting: k as a share of T and in frames, k', and the MPJPE in mm."""

    share: float
    neighbors: int
    density: int
    mpjpe: float


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The settings.

    Attributes:
        model: The model.
        data: The motion.
        num_frames: T.
        trained_neighbors: k that it was trained with, frames.
        trained_density: k' that it was trained with.
        over_neighbors: k changed alone.
        over_density: k' changed alone.
    """

    model: str
    data: str
    num_frames: int
    trained_neighbors: int
    trained_density: int
    over_neighbors: list[Sensitive]
    over_density: list[Sensitive]

    @property
    def condition(self) -> str:
        """How it was measured."""
        return (
            f"{self.model}, {self.data.partition(':')[0]}, T={self.num_frames}, H={_HYPOTHESES}, "
            f"K={_STEPS}, flip; changed at inference, not trained for"
        )


def sensitivity_part(pair: Pair, device: torch.device) -> Part[Sensitivity]:
    """The part."""

    def make(work: Workplace) -> Sensitivity:
        contender = pair.contenders()[1]
        denoiser, trained = contender.denoiser.to(device), contender.config.htp
        if not isinstance(denoiser, HTPDenoiser) or trained is None:
            raise TypeError(f"expected an HTP denoiser, got {type(denoiser).__name__}")
        num_frames = contender.config.num_frames
        found, clips = embedded_windows(num_frames)
        sampling = Sampling(
            hypotheses=_HYPOTHESES, steps=_STEPS, eta=1.0, flip=True, seed=0, batch_size=_BATCH
        )
        settings = [replace(trained, num_neighbors=share) for share in _NEIGHBORS]
        settings += [replace(trained, density_neighbors=count) for count in _DENSITY]
        scored: dict[HTPConfig, float] = {}
        with torch.inference_mode():
            for number, setting in enumerate(settings):
                if setting not in scored:
                    denoiser.htp.config = setting
                    scored[setting] = grade(denoiser, clips, sampling, device).mpjpe
                work.progress(number + 1, len(settings))
        rows = [_row(setting, scored[setting], num_frames) for setting in settings]
        result = Sensitivity(
            model=contender.name,
            data=found.description,
            num_frames=num_frames,
            trained_neighbors=resolve_frames(trained.num_neighbors, num_frames),
            trained_density=trained.density_neighbors,
            over_neighbors=rows[: len(_NEIGHBORS)],
            over_density=rows[len(_NEIGHBORS) :],
        )
        draw_sensitivity(
            work.folder / PICTURE,
            [
                (
                    "k, frames",
                    [(row.neighbors, row.mpjpe) for row in result.over_neighbors],
                    result.trained_neighbors,
                ),
                ("k'", [(row.density, row.mpjpe) for row in result.over_density], result.trained_density),
            ],
            result.condition,
        )
        return result

    return Part(
        name="sensitivity",
        title="k and k' changed at inference",
        items=("Figure 4", "Table X"),
        asked=SensitivityAsked(weights=pair.hashes, device=device_name(device)),
        kind=Sensitivity,
        estimate=_ABOUT,
        make=make,
        tables=_tables,
        compared=_compared,
        pictures=lambda result: [Picture(file=PICTURE, item="Figure 4", caption=f"{result.condition}.")],
    )


def _row(setting: HTPConfig, error: float, num_frames: int) -> Sensitive:
    neighbors = resolve_frames(setting.num_neighbors, num_frames)
    share = setting.num_neighbors
    return Sensitive(
        share=share if isinstance(share, float) else neighbors / num_frames,
        neighbors=neighbors,
        density=setting.density_neighbors,
        mpjpe=error,
    )


def _tables(result: Sensitivity) -> list[Table]:
    columns = (
        Column("k", "d"),
        Column("k / T", ".2f"),
        Column("k'", "d"),
        Column("MPJPE, mm", ".2f", "measured"),
    )
    return [
        Table(
            title=f"{name}: {result.condition}",
            columns=columns,
            rows=tuple((row.neighbors, row.share, row.density, row.mpjpe) for row in rows),
            notes=(f"Trained with k={result.trained_neighbors}, k'={result.trained_density}.",),
        )
        for name, rows in (("k", result.over_neighbors), ("k'", result.over_density))
    ]


def _compared(result: Sensitivity) -> Sequence[Compared]:
    found = [
        Compared(
            item=item,
            what=f"k = {row.share:.3g} T: MPJPE, mm",
            measured=row.mpjpe,
            quoted=printed("Table X", _PRINTED[row.share], "MPJPE, mm") if item == "Table X" else None,
            condition=result.condition + ("; the paper: Human3.6M" if row.share in _PRINTED else ""),
        )
        for item in ("Table X", "Figure 4")
        for row in result.over_neighbors
        if item == "Figure 4" or row.share in _PRINTED
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
