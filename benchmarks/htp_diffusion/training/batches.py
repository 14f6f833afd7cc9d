"""Batches: random windows of training motion, a function of the seed and the step."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Clip, Motion, view
from htp_diffusion.pose.cameras import VIRTUAL_DISTANCE, VIRTUAL_HEIGHT, camera_at
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.pose.space import CAMERA_METRES, PoseSpace

# How far a training camera strays from the virtual cameras that score: any azimuth, and these shares of
# distance and metres of height.
_DISTANCE_JITTER, _HEIGHT_JITTER = 0.15, 0.3
_STEP_STRIDE = 2**20  # more steps than any run has, so that two seeds never share a step's generator


def step_generator(seed: int, step: int) -> torch.Generator:
    """The source of everything random in one step: a resumed run draws what the killed one would have."""
    return torch.Generator().manual_seed(seed * _STEP_STRIDE + step)


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows as a camera sees them: screen-normalised 2D, root-relative 3D in its source's unit."""

    pose_2d: Float[Tensor, "batch frames joints 2"]
    pose_3d: Float[Tensor, "batch frames joints 3"]


class BatchSource(Protocol):
    """What the trainer asks of its data."""

    @property
    def names(self) -> list[str]:
        """The recordings, as the checkpoint names them."""
        ...

    @property
    def space(self) -> PoseSpace:
        """What the numbers of its 3D poses mean."""
        ...

    @property
    def num_frames(self) -> int:
        """T, frames of a window."""
        ...

    @property
    def batch_size(self) -> int:
        """Windows in a batch."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold as many frames as the recordings do."""
        ...

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch, a function of the generator's state; it may run in another thread."""
        ...


class _RandomWindows(ABC):
    """Windows of recordings, each frame of each recording about equally often."""

    def __init__(
        self, what: str, lengths: dict[str, int], num_frames: int, batch_size: int, space: PoseSpace
    ) -> None:
        short = [f"{name} ({length})" for name, length in lengths.items() if length < num_frames]
        if short or not lengths:
            raise BenchmarkError(
                f"training windows of {num_frames} frames need {what} at least as long, "
                f"got {'shorter ones: ' + ', '.join(short) if short else 'none'}"
            )
        if batch_size < 1:
            raise BenchmarkError(f"batch size expects at least 1 window, got {batch_size}")
        self.names = list(lengths)
        self.num_frames = num_frames
        self.batch_size = batch_size
        self.space = space
        self._lengths = torch.tensor(list(lengths.values()), dtype=torch.float64)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold as many frames as the recordings do."""
        return max(1, round(float(self._lengths.sum()) / (self.num_frames * self.batch_size)))

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch."""
        windows = [self._window(generator) for _ in range(self.batch_size)]
        return Batch(*(torch.stack(poses) for poses in zip(*windows, strict=True)))

    def _recording(self, generator: torch.Generator) -> int:
        return int(torch.multinomial(self._lengths, 1, generator=generator))

    def _first_frame(self, start: float, length: int) -> int:
        return int(start * (length - self.num_frames + 1))

    def _mirrored(self, poses: tuple[Tensor, Tensor], mirror: bool) -> tuple[Tensor, Tensor]:
        pose_2d, pose_3d = poses
        layout = self.space.layout
        return (flip_pose(pose_2d, layout), flip_pose(pose_3d, layout)) if mirror else poses

    @abstractmethod
    def _window(self, generator: torch.Generator) -> tuple[Tensor, Tensor]: ...


class Batches(_RandomWindows):
    """Draws training batches from motions, through random virtual cameras with detector-like noise.

    Args:
        motions: Training motion; those shorter than a window are refused.
        num_frames: T, frames of a window.
        batch_size: Windows in a batch.

    Raises:
        BenchmarkError: No motion, or one that is shorter than a window.
    """

    def __init__(self, motions: Sequence[Motion], num_frames: int, batch_size: int) -> None:
        lengths = {motion.name: len(motion.positions) for motion in motions}
        super().__init__("motions", lengths, num_frames, batch_size, CAMERA_METRES)
        self.motions = list(motions)

    def _window(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        azimuth, distance, height, mirror, start = torch.rand(5, generator=generator).tolist()
        motion = self.motions[self._recording(generator)]
        camera = camera_at(
            motion.positions[:, 0].mean(dim=0),
            360.0 * azimuth,
            VIRTUAL_DISTANCE * (1.0 + _DISTANCE_JITTER * (2.0 * distance - 1.0)),
            VIRTUAL_HEIGHT + _HEIGHT_JITTER * (2.0 * height - 1.0),
        )
        first = self._first_frame(start, len(motion.positions))
        cut = Motion(
            name=motion.name, positions=motion.positions[first : first + self.num_frames], fps=motion.fps
        )
        clip = view(cut, camera, generator)
        return self._mirrored((clip.pose_2d, clip.pose_3d), mirror < 0.5)


class ClipBatches(_RandomWindows):
    """Draws training batches from clips of fixed cameras, with the 2D poses that they come with.

    So come the sets with cameras and detections of their own. Half of the windows are mirrored.

    Args:
        clips: Training clips; those shorter than a window are refused, as repeated frames would teach that
            people stand still.
        num_frames: T, frames of a window.
        batch_size: Windows in a batch.
        space: What the numbers of the clips' 3D poses mean; its layout says what the mirror exchanges.

    Raises:
        BenchmarkError: No clip, two of one name, or one that is shorter than a window.
    """

    def __init__(
        self, clips: Sequence[Clip], num_frames: int, batch_size: int, space: PoseSpace = CAMERA_METRES
    ) -> None:
        lengths = {clip.name: len(clip.pose_3d) for clip in clips}
        if len(lengths) != len(clips):
            raise BenchmarkError(
                f"training clips need names of their own, got {[clip.name for clip in clips]}"
            )
        super().__init__("clips", lengths, num_frames, batch_size, space)
        self.clips = list(clips)

    def _window(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mirror, start = torch.rand(2, generator=generator).tolist()
        clip = self.clips[self._recording(generator)]
        first = self._first_frame(start, len(clip.pose_3d))
        window = slice(first, first + self.num_frames)
        return self._mirrored((clip.pose_2d[window], clip.pose_3d[window]), mirror < 0.5)
