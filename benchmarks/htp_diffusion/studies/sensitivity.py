"""Sensitivity: the error of a trained HTP where k and k' are changed at inference (Table X, Figure 4)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.data.motion import Windows
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.contender import Contender
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.models.lifter import HTPLifter
from htp_diffusion.scoring.draw_and_score import grade
from htp_modules import HTPConfig
from htp_modules.config import resolve_frames

NEIGHBORS = (1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6, 1.0)
"""k, shares of T; the paper has 1/3, 2/3 and 1 (Table X)."""
DENSITY = (1, 2, 3, 5, 8)
"""k'."""
PRINTED = {1 / 3: "k=81", 2 / 3: "k=162", 1.0: "k=243"}
"""Rows of Table X, by their share of T."""
SAMPLING = Sampling(hypotheses=1, steps=1, eta=1.0, flip=True, seed=0, batch_size=12)


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
            f"{self.model}, {self.data.partition(':')[0]}, T={self.num_frames}, H={SAMPLING.hypotheses}, "
            f"K={SAMPLING.steps}, flip; changed at inference, not trained for"
        )

    @property
    def panels(self) -> list[tuple[str, list[tuple[int, float]], int]]:
        """For a picture: the name of a number, its values with their errors, and the value trained with."""
        neighbors = [(row.neighbors, row.mpjpe) for row in self.over_neighbors]
        density = [(row.density, row.mpjpe) for row in self.over_density]
        return [("k, frames", neighbors, self.trained_neighbors), ("k'", density, self.trained_density)]


@torch.inference_mode()
def sensitivity_of(
    contender: Contender,
    data: str,
    clips: Sequence[Windows],
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Sensitivity:
    """Score a model at every k and k'.

    Args:
        contender: A trained HTP denoiser or lifter.
        data: What the motion is called.
        clips: The motion, in windows of the model's length.
        device: Where.
        progress: Told the settings done and all settings after each.

    Raises:
        BenchmarkError: A model that has neither.
    """
    denoiser, trained = contender.denoiser, contender.config.htp
    if not isinstance(denoiser, HTPDenoiser | HTPLifter) or trained is None:
        raise BenchmarkError(f"{contender.name} has no k and k' to change: it is not HTP")
    num_frames = contender.config.num_frames
    settings = [replace(trained, num_neighbors=share) for share in NEIGHBORS]
    settings += [replace(trained, density_neighbors=count) for count in DENSITY]
    scored: dict[HTPConfig, float] = {}
    for number, setting in enumerate(settings):
        if setting not in scored:
            denoiser.htp.config = setting
            scored[setting] = grade(denoiser, clips, SAMPLING, device).mpjpe
        progress(number + 1, len(settings))
    denoiser.htp.config = trained
    rows = [_row(setting, scored[setting], num_frames) for setting in settings]
    return Sensitivity(
        model=contender.name,
        data=data,
        num_frames=num_frames,
        trained_neighbors=resolve_frames(trained.num_neighbors, num_frames),
        trained_density=trained.density_neighbors,
        over_neighbors=rows[: len(NEIGHBORS)],
        over_density=rows[len(NEIGHBORS) :],
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


def sensitivity_tables(result: Sensitivity) -> list[Table]:
    """One table of k, one of k'."""
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
