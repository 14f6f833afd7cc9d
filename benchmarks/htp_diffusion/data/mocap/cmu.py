"""The fixed split of the CMU motion capture clips (subjects 01, 02 and 03, mocap.cs.cmu.edu)."""

import re
from collections.abc import Iterable, Sequence

from htp_diffusion.data.motion import Motion

CMU_FPS = 60.0
CMU_TEST = ("S01/01_05", "S01/01_12", "S02/02_02", "S02/02_04", "S02/02_06", "S02/02_09", "S03/03_02")
CMU_TRAIN = (
    *(f"S01/01_{clip:02d}" for clip in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14)),
    *(f"S02/02_{clip:02d}" for clip in (1, 3, 5, 7, 8, 10)),
    *(f"S03/03_{clip:02d}" for clip in (1, 3, 4)),
)
"""Every figure on this data is made with these names: no test clip is ever trained on."""

# A trial's own name, with whatever a conversion puts after it: 01_05, 1_5, 01_05_poses.
_TRIAL = re.compile(r"0*(\d{1,3})_0*(\d{1,3})(?:\D.*)?", re.DOTALL)

_ACTIONS = {
    "S01": "playground",
    "S02/02_01": "walk",
    "S02/02_02": "walk",
    "S02/02_03": "run",
    "S02/02_04": "jump and balance",
    "S02/02_05": "punch",
    "S02/02_06": "bend, scoop and lift",
    "S02/02_07": "swordplay",
    "S02/02_08": "swordplay",
    "S02/02_09": "swordplay",
    "S02/02_10": "wash self",
    "S03": "walk on uneven terrain",
}
"""What the data set's index says of the clips; of a subject who does one thing, under the subject."""


def cmu_name(name: str) -> str:
    """The name that a clip of the CMU database has here; other motion keeps its own.

    A clip is known by its trial, which names the subject, however the folder is called: "001/01_05" is
    "S01/01_05".
    """
    match = _TRIAL.fullmatch(name.rpartition("/")[2])
    return f"S{int(match[1]):02d}/{int(match[1]):02d}_{int(match[2]):02d}" if match else name


def cmu_action(name: str) -> str | None:
    """The action of one of the 28 clips; None for other motion."""
    name = cmu_name(name)
    if name not in CMU_TRAIN + CMU_TEST:
        return None
    return _ACTIONS.get(name) or _ACTIONS[name.partition("/")[0]]


def trained_among(scored: Iterable[str], trained: Iterable[str]) -> list[str]:
    """The scored recordings that were trained on, however either list calls them."""
    known = {cmu_name(name) for name in trained}
    return [name for name in dict.fromkeys(scored) if cmu_name(name) in known]


def cmu_split(motions: Sequence[Motion]) -> tuple[list[Motion], list[Motion]]:
    """Split motion into what may be trained on and the CMU test clips that are there.

    Returns:
        Everything that is no test clip, and the test clips: the 28 clips in the order of the name lists,
        other motion after them.
    """
    order = {name: place for place, name in enumerate(CMU_TRAIN + CMU_TEST)}
    placed = sorted(motions, key=lambda motion: order.get(cmu_name(motion.name), len(order)))
    return (
        [motion for motion in placed if cmu_name(motion.name) not in CMU_TEST],
        [motion for motion in placed if cmu_name(motion.name) in CMU_TEST],
    )
