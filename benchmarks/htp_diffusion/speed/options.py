"""Options of scripts that time models."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from htp_diffusion.base.command import by_default
from htp_diffusion.models.contender import NUM_KEEP

CLIPS = tyro.conf.arg(help="Clips in a pass or sampling.")
PUBLIC = tyro.conf.arg(
    metavar="FOLDER", help="Folder of checkouts called owner+name; their public code is taken, too."
)


@dataclass(frozen=True, kw_only=True)
class TimedSizes:
    """Sizes of the models, by default the paper's.

    Attributes:
        dim: D, channels of a token.
        depth: Pairs of a spatial and a temporal block, at least 4.
        heads: Attention heads.
    """

    dim: int = 512
    depth: int = 8
    heads: int = 8
    num_keep: Annotated[int | float, NUM_KEEP, by_default("two ninths", "INT|FLOAT")] = 2 / 9


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How often everything is timed.

    Attributes:
        repeats: Timed rounds; a round runs every model once.
        warmup: Rounds before them, not timed.
    """

    repeats: int = 7
    warmup: int = 1
