"""Motion in memory: world motion, the clip that a camera sees of it, and windows of a clip."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.cameras import Camera, ImagePlane, detector_noise

Tail = Literal["first", "last", "both", "dropped"]
"""Frames that two windows share are scored in the earlier window, the later one, or both; with 'dropped'
there are none: frames after the last whole window are not scored."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Motion:
    """One recording in the world.

    Attributes:
        name: Subject and action, such as "S01/01_05".
        positions: World, metres, z up, float32.
        fps: Frames a second.
    """

    name: str
    positions: Float[Tensor, "frames joints 3"]
    fps: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """A motion as one camera sees it.

    Attributes:
        name: The motion's name and the camera's.
        pose_2d: Screen-normalised (``Camera.normalise_screen``).
        pose_3d: Camera frame, metres, relative to the root joint, which is exactly 0; or, on an image plane,
            half image widths.
        root: The root joint's trajectory, likewise.
        camera: The camera.
        fps: Frames a second.
        scale: Metres a unit of each frame's pose, in which it is scored; None: the unit is the metre, or no
            metres are known.
    """

    name: str
    pose_2d: Float[Tensor, "frames joints 2"]
    pose_3d: Float[Tensor, "frames joints 3"]
    root: Float[Tensor, "frames 3"]
    camera: Camera | ImagePlane
    fps: float
    scale: Float[Tensor, " frames"] | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """A clip cut into windows of equal length, stacked.

    Attributes:
        name: The clip's name.
        pose_2d: Screen-normalised.
        pose_3d: Root-relative, in the clip's unit.
        root: Root trajectory, likewise.
        scored: True where a frame counts.
        start: The clip's frame that each window begins with.
        camera: The clip's camera.
        scale: Metres a unit, as the clip's.
    """

    name: str
    pose_2d: Float[Tensor, "windows frames joints 2"]
    pose_3d: Float[Tensor, "windows frames joints 3"]
    root: Float[Tensor, "windows frames 3"]
    scored: Bool[Tensor, "windows frames"]
    start: Int64[Tensor, " windows"]
    camera: Camera | ImagePlane
    scale: Float[Tensor, "windows frames"] | None = None

    def every(self, step: int) -> "Windows":
        """The first window and every ``step``-th after it.

        Raises:
            BenchmarkError: A step below 1.
        """
        if step < 1:
            raise BenchmarkError(f"every expects at least 1, got {step}")
        return self.take(slice(None, None, step))

    def take(self, which: slice | Bool[Tensor, " windows"]) -> "Windows":
        """Some of the windows."""
        return replace(
            self,
            pose_2d=self.pose_2d[which],
            pose_3d=self.pose_3d[which],
            root=self.root[which],
            scored=self.scored[which],
            start=self.start[which],
            scale=None if self.scale is None else self.scale[which],
        )

    def to_metres(
        self, poses: Float[Tensor, "windows frames joints 3"]
    ) -> Float[Tensor, "windows frames joints 3"]:
        """Poses in the clip's unit, true or predicted, as they are scored."""
        return poses if self.scale is None else poses * self.scale[..., None, None]


def view(motion: Motion, camera: Camera, generator: torch.Generator | None = None) -> Clip:
    """See a motion through a camera.

    Args:
        motion: The motion; its joint 0 is the root.
        camera: The camera.
        generator: Draws detector-like noise for the 2D poses; None leaves them clean.
    """
    pose = camera.to_camera(motion.positions)
    pixels = camera.project(pose)
    if generator is not None:
        pixels = pixels + detector_noise(generator, *pixels.shape[:2]).to(pixels)
    return Clip(
        name=f"{motion.name}@{camera.name}",
        pose_2d=camera.normalise_screen(pixels),
        pose_3d=pose - pose[:, :1],
        root=pose[:, 0],
        camera=camera,
        fps=motion.fps,
    )


def windows(clip: Clip, num_frames: int, tail: Tail = "first") -> Windows:
    """Cut a clip of any length into windows.

    They are consecutive, the last one aligned to the clip's end. A clip shorter than a window becomes one,
    its last frame repeated; the repeated frames are not scored.

    Args:
        clip: The clip.
        num_frames: T, frames of a window.
        tail: What becomes of the frames that two windows share; by default every frame counts once.

    Raises:
        BenchmarkError: Windows without frames.
    """
    if num_frames < 1:
        raise BenchmarkError(f"windows of {num_frames} frames were asked for, expected at least 1")
    length = len(clip.pose_2d)
    count = max(1, length // num_frames if tail == "dropped" else -(-length // num_frames))
    aligned = torch.arange(count) * num_frames
    start = aligned.clamp(max=max(0, length - num_frames))
    frame = start[:, None] + torch.arange(num_frames)
    scored = frame < length
    if tail == "first":
        scored &= frame >= aligned[:, None]
    elif tail == "last":
        scored &= frame < torch.cat([start[1:], torch.tensor([length])])[:, None]
    index = frame.clamp(max=length - 1)
    return Windows(
        name=clip.name,
        pose_2d=clip.pose_2d[index],
        pose_3d=clip.pose_3d[index],
        root=clip.root[index],
        scored=scored,
        start=start,
        camera=clip.camera,
        scale=None if clip.scale is None else clip.scale[index],
    )


def shorter_windows(clip: Windows, num_frames: int) -> Windows:
    """Cut each window of a clip into consecutive ones; the last is aligned to the end of the window.

    The same frames are scored as before, each of them once.

    Raises:
        BenchmarkError: The windows are shorter already.
    """
    length = clip.pose_2d.shape[1]
    if not 1 <= num_frames <= length:
        raise BenchmarkError(f"windows of {length} frames cannot be cut into windows of {num_frames}")
    count = -(-length // num_frames)
    new = torch.arange(count) * num_frames  # the first frame that belongs to each
    start = new.clamp(max=length - num_frames)
    frame = start[:, None] + torch.arange(num_frames)
    return replace(
        clip,
        pose_2d=clip.pose_2d[:, frame].flatten(0, 1),
        pose_3d=clip.pose_3d[:, frame].flatten(0, 1),
        root=clip.root[:, frame].flatten(0, 1),
        scored=(clip.scored[:, frame] & (frame >= new[:, None])).flatten(0, 1),
        start=(clip.start[:, None] + start).flatten(),
    )
