"""Batches: random windows of motion through random virtual cameras, a function of the seed and the step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.data.motion import Motion, view
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.pose.cameras import VIRTUAL_DISTANCE, VIRTUAL_HEIGHT, camera_at
from htp_diffusion.pose.flip import flip_pose

# How far a training camera strays from the virtual cameras that score: any azimuth, and these shares of
# distance and metres of height.
_DISTANCE_JITTER, _HEIGHT_JITTER = 0.15, 0.3
_STEP_STRIDE = 2**20  # more steps than any run has, so that two seeds never share a step's generator


def step_generator(seed: int, step: int) -> torch.Generator:
    """The source of everything random in one step: a resumed run draws what the killed one would have."""
    return torch.Generator().manual_seed(seed * _STEP_STRIDE + step)


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows as a camera sees them: screen-normalised 2D, root-relative 3D in metres."""

    pose_2d: Float[Tensor, "batch frames joints 2"]
    pose_3d: Float[Tensor, "batch frames joints 3"]


class Batches:
    """Draws training batches from motions, each frame of each motion about equally often.

    Args:
        motions: Training motion; those shorter than a window are refused.
        num_frames: T, frames of a window.
        batch_size: Windows in a batch.

    Raises:
        BenchmarkError: No motion, or one that is shorter than a window.
    """

    def __init__(self, motions: Sequence[Motion], num_frames: int, batch_size: int) -> None:
        short = [
            f"{motion.name} ({len(motion.positions)})"
            for motion in motions
            if len(motion.positions) < num_frames
        ]
        if short or not motions:
            raise BenchmarkError(
                f"training windows of {num_frames} frames need motions at least as long, "
                f"got {'shorter ones: ' + ', '.join(short) if short else 'none'}"
            )
        self.motions = list(motions)
        self.num_frames = num_frames
        self.batch_size = batch_size
        self._lengths = torch.tensor([len(motion.positions) for motion in motions], dtype=torch.float64)

    @property
    def steps_per_epoch(self) -> int:
        """Batches that hold as many frames as the motions do."""
        return max(1, round(float(self._lengths.sum()) / (self.num_frames * self.batch_size)))

    def draw(self, generator: torch.Generator) -> Batch:
        """One batch."""
        windows = [self._window(generator) for _ in range(self.batch_size)]
        return Batch(*(torch.stack(poses) for poses in zip(*windows, strict=True)))

    def _window(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        azimuth, distance, height, mirror, start = torch.rand(5, generator=generator).tolist()
        motion = self.motions[int(torch.multinomial(self._lengths, 1, generator=generator))]
        camera = camera_at(
            motion.positions[:, 0].mean(dim=0),
            360.0 * azimuth,
            VIRTUAL_DISTANCE * (1.0 + _DISTANCE_JITTER * (2.0 * distance - 1.0)),
            VIRTUAL_HEIGHT + _HEIGHT_JITTER * (2.0 * height - 1.0),
        )
        first = int(start * (len(motion.positions) - self.num_frames + 1))
        cut = Motion(
            name=motion.name, positions=motion.positions[first : first + self.num_frames], fps=motion.fps
        )
        clip = view(cut, camera, generator)
        poses = (clip.pose_2d, clip.pose_3d)
        return (flip_pose(poses[0]), flip_pose(poses[1])) if mirror < 0.5 else poses
