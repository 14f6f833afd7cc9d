"""Options of the studies."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import by_default
from htp_diffusion.data.formats.units import Unit
from htp_diffusion.data.options import UNIT

SEEDS = tyro.conf.arg(help="Each model is trained once with each.")


@dataclass(frozen=True, kw_only=True)
class StudyMotion:
    """The motion of a study.

    Attributes:
        data: An npz file of world motion, such as the CMU clips: its test clips are scored, and what a study
            trains is trained on the others.
    """

    data: Annotated[Path | None, by_default("synthetic motion", "FILE")] = None
    unit: Annotated[Unit, UNIT] = "metres"
