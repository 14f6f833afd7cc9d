"""Motion in memory: world motion, the clip that a camera sees of it, and windows of a clip."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from htp_diffusion.errors import BenchmarkError
from htp_diffusion.pose.cameras import Camera, detector_noise


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
        pose_3d: Camera frame, metres, relative to the root joint, which is exactly 0.
        root: The root joint's trajectory in the camera frame, metres.
        camera: The camera.
        fps: Frames a second.
    """

    name: str
    pose_2d: Float[Tensor, "frames joints 2"]
    pose_3d: Float[Tensor, "frames joints 3"]
    root: Float[Tensor, "frames 3"]
    camera: Camera
    fps: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Windows:
    """A clip cut into windows of equal length, stacked.

    Attributes:
        name: The clip's name.
        pose_2d: Screen-normalised.
        pose_3d: Camera frame, metres, root-relative.
        root: Root trajectory in the camera frame, metres.
        scored: True where a frame counts; every frame of the clip is True in exactly one window.
        start: The clip's frame that each window begins with.
        camera: The clip's camera.
    """

    name: str
    pose_2d: Float[Tensor, "windows frames joints 2"]
    pose_3d: Float[Tensor, "windows frames joints 3"]
    root: Float[Tensor, "windows frames 3"]
    scored: Bool[Tensor, "windows frames"]
    start: Int64[Tensor, " windows"]
    camera: Camera


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


def windows(clip: Clip, num_frames: int) -> Windows:
    """Cut a clip into consecutive windows; the last one is aligned to the clip's end.

    Where the last window overlaps the one before it, its own frames are not scored again.

    Raises:
        BenchmarkError: The clip is shorter than one window.
    """
    length = len(clip.pose_2d)
    if num_frames < 1 or length < num_frames:
        raise BenchmarkError(
            f"clip {clip.name} has {length} frames, windows of {num_frames} frames were asked for: "
            f"take clips of at least {max(num_frames, 1)} frames or a model of fewer frames"
        )
    count = -(-length // num_frames)
    start = (torch.arange(count) * num_frames).clamp(max=length - num_frames)
    frame = start[:, None] + torch.arange(num_frames)
    return Windows(
        name=clip.name,
        pose_2d=clip.pose_2d[frame],
        pose_3d=clip.pose_3d[frame],
        root=clip.root[frame],
        scored=frame >= (torch.arange(count) * num_frames)[:, None],
        start=start,
        camera=clip.camera,
    )
