"""Options of the studies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import by_default
from htp_diffusion.data.formats.units import Unit
from htp_diffusion.data.options import UNIT
from htp_diffusion.data.virtual_views import EvaluationSet, embedded_set, file_set

SEEDS = tyro.conf.arg(help="Each model is trained once with each.")
AVERAGED = tyro.conf.arg(
    help="Score the weights averaged over the steps, as sampling takes them; without it those of the last "
    "step, for runs so short that the average still holds much of the first steps."
)


@dataclass(frozen=True, kw_only=True)
class StudyMotion:
    """The motion of a study.

    Attributes:
        data: An npz file of world motion, such as the CMU clips: its test clips are scored, and what a study
            trains is trained on the others.
    """

    data: Annotated[Path | None, by_default("synthetic motion", "FILE")] = None
    unit: Annotated[Unit, UNIT] = "metres"

    def scored(self, num_frames: int) -> EvaluationSet:
        """What is scored: the file's test clips, or the embedded motion as windows of T frames ask for.

        Raises:
            BenchmarkError: As ``file_set``.
        """
        return embedded_set(num_frames) if self.data is None else file_set(self.data, unit=self.unit)
