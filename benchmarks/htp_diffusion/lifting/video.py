"""LiftedVideo: everything that is known of one person in one video, and the file that holds it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import whole_file
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.data.keypoints.detections import Detections
from htp_diffusion.lifting.lifted import Lifted
from htp_diffusion.lifting.watched import Watched
from htp_diffusion.pose.space import CAMERA_METRES, PoseSpace

_UNKNOWN_FPS = 30.0  # to play at where nobody told the frame rate


@dataclass(frozen=True, kw_only=True, eq=False)
class LiftedVideo:
    """One person's poses and where they come from.

    Attributes:
        source: The detections' file or folder.
        detections: What is in it.
        watched: The person's 2D poses.
        lifted: Their 3D poses.
        model: The model's name.
        fps: Frames a second of the video; None if nobody told.
        provenance: Code, machine, versions and command.
        space: What the poses are.
    """

    source: str
    detections: Detections
    watched: Watched
    lifted: Lifted
    model: str
    fps: float | None
    provenance: Provenance
    space: PoseSpace = CAMERA_METRES

    @property
    def played_fps(self) -> float:
        """Frames a second at which it is shown."""
        return self.fps or _UNKNOWN_FPS

    @property
    def title(self) -> str:
        """For pictures."""
        return f"{self.source}, person {self.watched.person}, by {self.model}"


def save_poses(path: Path, video: LiftedVideo) -> None:
    """Write poses.npz: arrays of numbers and texts alone, which ``numpy.load`` reads without pickles.

    ``poses`` (frames, 17, 3) with ``joints``, ``parents``, ``layout``, ``unit`` and ``frame_of_reference``;
    ``frames``, ``gap`` (0 seen, 1 gap, 2 long gap), ``filled``, ``swapped``, ``uncertainty`` (metres),
    ``kept`` (of a model with HTP), ``pose_2d`` (screen-normalised), ``image_size``, ``fps`` (0 if unknown),
    ``person``, ``format``, ``detector_layout``, ``rule``, ``model``, ``window_frames``, ``source``,
    ``command``, ``commit`` and ``date``.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    watched, lifted, space = video.watched, video.lifted, video.space
    content = {
        "poses": lifted.poses.numpy(),
        "joints": np.array(space.layout.joints),
        "parents": np.array(space.layout.parents),
        "layout": space.layout.name,
        "unit": space.unit,
        "frame_of_reference": space.frame,
        "frames": watched.frames.numpy(),
        "gap": watched.gap.numpy().astype("int8"),
        "filled": watched.filled.numpy(),
        "swapped": watched.swapped.numpy(),
        "uncertainty": lifted.spread.numpy(),
        "pose_2d": watched.pose_2d.numpy(),
        "image_size": np.array(video.detections.image_size),
        "fps": video.fps or 0.0,
        "person": watched.person,
        "format": video.detections.format,
        "detector_layout": video.detections.layout.name,
        "rule": watched.rule or "",
        "model": video.model,
        "window_frames": lifted.window_frames,
        "source": video.source,
        "command": video.provenance.command,
        "commit": video.provenance.commit or "",
        "date": video.provenance.date,
    }
    if lifted.kept is not None:
        content["kept"] = lifted.kept.numpy()
    try:
        with whole_file(path) as partial, partial.open("wb") as file:
            np.savez_compressed(file, **content)
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from error
