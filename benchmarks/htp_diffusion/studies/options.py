"""Options of the studies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import by_default
from htp_diffusion.data.formats.units import Unit
from htp_diffusion.data.options import UNIT

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
