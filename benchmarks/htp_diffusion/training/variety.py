"""Variety: how bodies, cameras and a 2D detector's errors differ from one training window to the next."""

from dataclasses import dataclass
from typing import Literal

from htp_diffusion.pose.cameras import FOCAL, IMAGE_SIZE, VIRTUAL_DISTANCE, VIRTUAL_HEIGHT

Range = tuple[float, float]
VarietyName = Literal["scored", "wide"]

_SQUARE = IMAGE_SIZE[1] / IMAGE_SIZE[0]


@dataclass(frozen=True, kw_only=True)
class Variety:
    """What is drawn anew for every window, evenly within its range unless said otherwise.

    Attributes:
        speed: Factor on the pace of the motion, evenly in its logarithm.
        limb: Largest share by which the length of a bone changes, left and right alike.
        body: Largest share by which the whole body does.
        joints: "recorded", or "detected": where a detector and the rule ``cmu`` have them
            (:mod:`~htp_diffusion.training.bodies`), with forearms and bends as said next.
        forearm: Factor on the forearms, evenly in its logarithm.
        other_arms: Share of the arms that move as another window's do.
        bend: Standard deviation of rotations of the arms' and legs' bones, degrees, cut at three of them.
        shoulder_bend: Likewise of the upper arms: people carry them in more ways than the recordings show.
        follows: The camera is placed around the window's own motion; otherwise around the whole recording's,
            as the cameras that score are.
        distance: Horizontal distance of the camera from the person, metres, evenly in its logarithm.
        height: Height of the camera above the ground, metres.
        aim: Standard deviation of how far off the person the camera looks, metres up or down and sideways.
        roll: Standard deviation of the camera's roll, degrees, cut at three of them.
        focal: Focal length in half the image's longer side, evenly in its logarithm.
        aspects: Heights over widths of the images; each is as likely.
        person: Height of a standing person in half image widths; a camera beyond it moves. None: any.
        detector: "synthetic", the noise of the test clips; or "measured", as a real detector errs.
    """

    speed: Range
    limb: float
    body: float
    joints: Literal["recorded", "detected"]
    forearm: Range
    other_arms: float
    bend: float
    shoulder_bend: float
    follows: bool
    distance: Range
    height: Range
    aim: float
    roll: float
    focal: Range
    aspects: tuple[float, ...]
    person: Range | None
    detector: Literal["synthetic", "measured"]


VARIETIES: dict[VarietyName, Variety] = {
    # Near the virtual cameras that score: any azimuth, some distance and height more or less.
    "scored": Variety(
        speed=(0.8, 1.25),
        limb=0.03,
        body=0.03,
        joints="recorded",
        forearm=(1.0, 1.0),
        other_arms=0.0,
        bend=0.0,
        shoulder_bend=0.0,
        follows=False,
        distance=(0.85 * VIRTUAL_DISTANCE, 1.15 * VIRTUAL_DISTANCE),
        height=(VIRTUAL_HEIGHT - 0.3, VIRTUAL_HEIGHT + 0.3),
        aim=0.0,
        roll=0.0,
        focal=(2 * FOCAL / IMAGE_SIZE[1], 2 * FOCAL / IMAGE_SIZE[1]),
        aspects=(_SQUARE,),
        person=None,
        detector="synthetic",
    ),
    # Phones and webcams, held by hand, in portrait and landscape.
    "wide": Variety(
        speed=(0.7, 1.4),
        limb=0.15,
        body=0.12,
        joints="detected",
        forearm=(1.0, 1.5),
        other_arms=0.5,
        bend=15.0,
        shoulder_bend=25.0,
        follows=True,
        distance=(2.5, 8.0),
        height=(0.5, 2.5),
        aim=0.35,
        roll=6.0,
        focal=(1.2, 2.4),
        aspects=(9 / 16, 3 / 4, _SQUARE, 4 / 3, 16 / 9, 16 / 9),
        person=(0.4, 1.6),
        detector="measured",
    ),
}


def name_of(variety: Variety) -> str:
    """What a variety is called; its numbers, if it is none of ``VARIETIES``."""
    return next((name for name, known in VARIETIES.items() if known == variety), str(variety))
