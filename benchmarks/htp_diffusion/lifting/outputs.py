"""Outputs: the files that lifting a video writes into its folder, none of which may be one that it reads."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from htp_diffusion.base.errors import BenchmarkError

_SAVED = ("poses.npz", "motion.bvh")
SCORES = "scores.json"
DRAWN = ("sheet.png", "page.html", "motion.gif", "motion.mp4")

Drawing = Literal["all", "sheet", "none"]
"""Which pictures are drawn."""


def outputs_of(draw: Drawing, *, scored: bool) -> tuple[str, ...]:
    """Names of the files that may be written.

    Args:
        draw: Which pictures.
        scored: Whether there is a reference to compare with.
    """
    drawn = {"all": DRAWN, "sheet": DRAWN[:1], "none": ()}[draw]
    return (*_SAVED, *drawn, *((SCORES,) if scored else ()))


def refuse_overwriting(out: Path, names: Sequence[str], inputs: Iterable[Path | None]) -> None:
    """Check that nothing that is read will be written over, under whatever name it was given.

    Args:
        out: Folder of what is written.
        names: What is written there.
        inputs: What is read, None standing for nothing; what is not there is left for its reader to tell.

    Raises:
        BenchmarkError: A file is both.
    """
    # By os.path, which takes a folder that must not be searched for one that holds nothing.
    targets = [path for path in map(out.joinpath, names) if os.path.exists(path)]
    for given in inputs:
        for target in targets:
            if given is not None and os.path.exists(given) and os.path.samefile(given, target):
                raise BenchmarkError(
                    f"{given} is read and would be written over: name another folder with --out"
                )
