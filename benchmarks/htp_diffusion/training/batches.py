"""Batches: random windows of training clips, a function of the seed and the step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Clip
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.pose.space import CAMERA_METRES, PoseSpace

_STEP_STRIDE = 2**20  # more steps than any run has, so that two seeds never share a step's generator


def step_generator(seed: int, step: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The source of everything random in one step: a resumed run draws what the killed one would have."""
    return torch.Generator(device).manual_seed(seed * _STEP_STRIDE + step)


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
    def view(self) -> str:
        """How the recordings are seen, in words: by which cameras, detections or conversion."""
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


def check_windows(what: str, lengths: Mapping[str, int], num_frames: int, batch_size: int) -> None:
    """Check that windows can be drawn from recordings of these lengths.

    Raises:
        BenchmarkError: No recording, one that is shorter than a window, or no window in a batch.
    """
    short = [f"{name} ({length})" for name, length in lengths.items() if length < num_frames]
    if short or not lengths:
        raise BenchmarkError(
            f"training windows of {num_frames} frames need {what} at least as long, "
            f"got {'shorter ones: ' + ', '.join(short) if short else 'none'}"
        )
    if batch_size < 1:
        raise BenchmarkError(f"batch size expects at least 1 window, got {batch_size}")


def steps_that_cover(lengths: Mapping[str, int], num_frames: int, batch_size: int) -> int:
    """Batches that hold as many frames as recordings of these lengths do."""
    return max(1, round(sum(lengths.values()) / (num_frames * batch_size)))


class ClipBatches:
    """Draws training batches from clips of fixed cameras, with the 2D poses that they come with.

    So come the sets with cameras and detections of their own. Each frame of each clip is drawn about equally
    often; half of the windows are mirrored.

    Args:
        clips: Training clips; those shorter than a window are refused, as repeated frames would teach that
            people stand still.
        num_frames: T, frames of a window.
        batch_size: Windows in a batch.
        space: What the numbers of the clips' 3D poses mean; its layout says what the mirror exchanges.
        view: How they are seen, in words.

    Raises:
        BenchmarkError: No clip, two of one name, or one that is shorter than a window.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        num_frames: int,
        batch_size: int,
        space: PoseSpace = CAMERA_METRES,
        view: str = "their own cameras",
    ) -> None:
        lengths = {clip.name: len(clip.pose_3d) for clip in clips}
        if len(lengths) != len(clips):
            raise BenchmarkError(
                f"training clips need names of their own, got {[clip.name for clip in clips]}"
            )
        check_windows("clips", lengths, num_frames, batch_size)
        self.names = list(lengths)
        self.clips = list(clips)
        self.num_frames, self.batch_size = num_frames, batch_size
        self.space = space
        self.view = view
        self.steps_per_epoch = steps_that_cover(lengths, num_frames, batch_size)
        self._lengths = torch.tensor(list(lengths.values()), dtype=torch.float64)

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch."""
        windows = [self._window(generator) for _ in range(self.batch_size)]
        return Batch(*(torch.stack(poses) for poses in zip(*windows, strict=True)))

    def _window(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        mirror, start = torch.rand(2, generator=generator).tolist()
        clip = self.clips[int(torch.multinomial(self._lengths, 1, generator=generator))]
        first = int(start * (len(clip.pose_3d) - self.num_frames + 1))
        window = slice(first, first + self.num_frames)
        poses = clip.pose_2d[window], clip.pose_3d[window]
        layout = self.space.layout
        return (flip_pose(poses[0], layout), flip_pose(poses[1], layout)) if mirror < 0.5 else poses
