"""The fixed split of the CMU motion capture clips (subjects 01, 02 and 03, mocap.cs.cmu.edu)."""

from collections.abc import Sequence

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Motion

CMU_FPS = 60.0
CMU_TEST = ("S01/01_05", "S01/01_12", "S02/02_02", "S02/02_04", "S02/02_06", "S02/02_09", "S03/03_02")
CMU_TRAIN = (
    *(f"S01/01_{clip:02d}" for clip in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 14)),
    *(f"S02/02_{clip:02d}" for clip in (1, 3, 5, 7, 8, 10)),
    *(f"S03/03_{clip:02d}" for clip in (1, 3, 4)),
)
"""Every figure on this data is made with these names: no test clip is ever trained on."""


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


def cmu_action(name: str) -> str | None:
    """The action of one of the 28 clips; None for other motion."""
    if name not in CMU_TRAIN + CMU_TEST:
        return None
    return _ACTIONS.get(name) or _ACTIONS[name.partition("/")[0]]


def cmu_split(motions: Sequence[Motion]) -> tuple[list[Motion], list[Motion]]:
    """Split the CMU clips into training and test clips, in the order of the name lists.

    Raises:
        BenchmarkError: A clip is missing, or one is neither a training nor a test clip.
    """
    by_name = {motion.name: motion for motion in motions}
    missing = [name for name in CMU_TRAIN + CMU_TEST if name not in by_name]
    unknown = sorted(set(by_name) - set(CMU_TRAIN + CMU_TEST))
    if missing or unknown:
        raise BenchmarkError(
            "the CMU split needs its 28 clips and no others: "
            f"missing {', '.join(missing) or 'none'}; unknown {', '.join(unknown) or 'none'}"
        )
    return [by_name[name] for name in CMU_TRAIN], [by_name[name] for name in CMU_TEST]
