"""Detections: the people that a 2D detector found in a video, each followed through the frames."""

import re
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Float64, Int64
from numpy import ndarray
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import Layout

Size = tuple[int, int]
"""Width and height of an image, pixels."""

_SIZE = re.compile(r"([1-9]\d{0,5})x([1-9]\d{0,5})")


def read_size(text: str) -> Size:
    """The size of an image from a text such as 1920x1080.

    Raises:
        BenchmarkError: Another form, or a side of more than six digits.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise BenchmarkError(f"size expects width and height as 1920x1080, got {text!r}")
    return int(match[1]), int(match[2])


def nobody(path: Path) -> BenchmarkError:
    """The error of a file that shows no person."""
    return BenchmarkError(f"{path}: no person was detected in any frame")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sighting:
    """One person in one frame, as a file tells it.

    Attributes:
        frame: The frame's number.
        joints: x and y of each joint, and the detector's confidence.
        track: The number by which the file follows this person from frame to frame; None if it does not.
    """

    frame: int
    joints: Float64[ndarray, "joints 3"]
    track: int | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """What a reader takes out of a file: sightings, nobody followed yet.

    Attributes:
        format: The format's name.
        layout: The order of the joints.
        sightings: In the file's order.
        image_size: As the file tells it; None if it does not.
        fps: Frames a second, likewise.
        per_image: Whether x and y are shares of the image's width and height, and not pixels.
    """

    format: str
    layout: Layout
    sightings: tuple[Sighting, ...]
    image_size: Size | None = None
    fps: float | None = None
    per_image: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Track:
    """One person in the frames in which a detector saw them.

    Attributes:
        number: The file's own number of the person, or the order in which they first appear.
        frames: Frame numbers, ascending, each once.
        joints: Pixels; meaningless where the confidence is 0.
        confidence: Of each joint.
    """

    number: int
    frames: Int64[Tensor, " seen"]
    joints: Float[Tensor, "seen joints 2"]
    confidence: Float[Tensor, "seen joints"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """The people in a video.

    Attributes:
        format: What the file is.
        layout: The order of the joints.
        image_size: Width and height, pixels.
        fps: Frames a second; None if the file does not tell.
        tracks: The person seen in the most frames first.
        followed: Who followed people from frame to frame: "the file", or "overlap" of their boxes.
    """

    format: str
    layout: Layout
    image_size: Size
    fps: float | None
    tracks: tuple[Track, ...]
    followed: str

    def person(self, number: int | None = None) -> Track:
        """The track of a person.

        Args:
            number: The person's number; None for the one seen in the most frames.

        Raises:
            BenchmarkError: There is no such person; the message lists those there are.
        """
        if number is None:
            return self.tracks[0]
        for track in self.tracks:
            if track.number == number:
                return track
        known = ", ".join(f"{track.number} ({len(track.frames)} frames)" for track in self.tracks[:20])
        more = f" and {len(self.tracks) - 20} more" if len(self.tracks) > 20 else ""
        raise BenchmarkError(f"no person {number}; there are: {known}{more}")
