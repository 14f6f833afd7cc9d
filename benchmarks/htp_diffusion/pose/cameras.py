"""Pinhole cameras, virtual cameras for data without any, and the noise of a 2D detector.

The world is in metres with z up. A camera frame has x to the right, y down and z forward.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from htp_diffusion.base.errors import BenchmarkError

MIN_DEPTH = 0.1
"""Metres. A point nearer to the camera plane than this, or behind it, is projected as if it were this far."""

FOCAL = 1145.0
IMAGE_SIZE = (1000, 1002)
"""Pixels. The focal length and image size of the Human3.6M cameras, rounded."""

VIRTUAL_DISTANCE = 4.5
VIRTUAL_HEIGHT = 1.5
VIRTUAL_AZIMUTHS = (45.0, 135.0, 225.0, 315.0)


def normalise_screen(
    pixels: Float[Tensor, "*batch 2"], image_size: tuple[int, int]
) -> Float[Tensor, "*batch 2"]:
    """Pixels to screen coordinates: x in [-1, 1] over the width, the same scale for y.

    As VideoPose3D (Pavllo et al. 2019) does: x / w * 2 - 1 and y / w * 2 - h / w.
    """
    width, height = image_size
    return pixels * (2.0 / width) - pixels.new_tensor([1.0, height / width])


def denormalise_screen(
    screen: Float[Tensor, "*batch 2"], image_size: tuple[int, int]
) -> Float[Tensor, "*batch 2"]:
    """Screen coordinates back to pixels, the inverse of ``normalise_screen``."""
    width, height = image_size
    return (screen + screen.new_tensor([1.0, height / width])) * (width / 2.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Camera:
    """A pinhole camera without lens distortion.

    Attributes:
        rotation: Turns world axes into camera axes.
        translation: The camera's centre in the world, metres.
        focal: Focal length along x and y, pixels.
        centre: Principal point, pixels.
        image_size: Width and height, pixels.
        name: Told in the names of the clips that it sees.
    """

    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    focal: Float[Tensor, "2"]
    centre: Float[Tensor, "2"]
    image_size: tuple[int, int] = IMAGE_SIZE
    name: str = "camera"

    def to_camera(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World coordinates to camera coordinates, metres."""
        return (points - self.translation.to(points)) @ self.rotation.to(points).T

    def to_world(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Camera coordinates to world coordinates, metres."""
        return points @ self.rotation.to(points) + self.translation.to(points)

    def project(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Camera coordinates (metres) to pixels.

        Depth is clamped from below at ``MIN_DEPTH``, so that a point behind the camera gives a finite
        pixel, far outside the image as a rule, and never a mirrored one.
        """
        depth = points[..., 2:].clamp(min=MIN_DEPTH)
        return points[..., :2] / depth * self.focal.to(points) + self.centre.to(points)

    def normalise_screen(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Pixels to screen coordinates, by the function of this name."""
        return normalise_screen(pixels, self.image_size)

    def to_screen(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Where camera coordinates (metres) fall on the screen: projected and screen-normalised."""
        return self.normalise_screen(self.project(points))

    def denormalise_screen(self, screen: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Screen coordinates back to pixels, by the function of this name."""
        return denormalise_screen(screen, self.image_size)


@dataclass(frozen=True)
class ImagePlane:
    """In place of a camera: poses that are in the image already, in half image widths."""

    def to_screen(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Where points fall on the screen: they are there, whatever their depth."""
        return points[..., :2]


def look_at(
    eye: Float[Tensor, "3"],
    target: Float[Tensor, "3"],
    *,
    name: str = "camera",
) -> Camera:
    """A level camera at ``eye`` that looks at ``target``, its principal point at the image's centre.

    Args:
        eye: The camera's centre in the world, metres.
        target: The point that falls on the principal point, metres.
        name: The camera's name.

    Raises:
        BenchmarkError: ``target`` is ``eye``, or straight above or below it: no direction is level.
    """
    forward = (target - eye).to(torch.float64)
    up = forward.new_tensor([0.0, 0.0, 1.0])
    right = torch.linalg.cross(forward, up)
    if not right.norm() > 1e-6:
        raise BenchmarkError(
            f"camera {name}: cannot look from {eye.tolist()} at {target.tolist()}, straight up or down"
        )
    forward, right = forward / forward.norm(), right / right.norm()
    down = torch.linalg.cross(forward, right)
    width, height = IMAGE_SIZE
    return Camera(
        rotation=torch.stack([right, down, forward]).float(),
        translation=eye.float(),
        focal=torch.tensor([FOCAL, FOCAL]),
        centre=torch.tensor([width / 2, height / 2]),
        image_size=IMAGE_SIZE,
        name=name,
    )


def camera_at(
    target: Float[Tensor, "3"],
    azimuth: float,
    distance: float = VIRTUAL_DISTANCE,
    height: float = VIRTUAL_HEIGHT,
) -> Camera:
    """A camera on a circle around a point, looking at that point.

    Args:
        target: The point, world, metres.
        azimuth: Where on the circle, degrees from the world's x axis towards its y axis.
        distance: Radius of the circle (horizontal distance), metres.
        height: The camera's z in the world, metres above the ground.

    Raises:
        BenchmarkError: The distance is zero.
    """
    angle = math.radians(azimuth)
    x, y, _ = target.tolist()
    eye = torch.tensor([x + distance * math.cos(angle), y + distance * math.sin(angle), height])
    return look_at(eye, target.float().cpu(), name=f"az{round(azimuth) % 360:03d}")


def virtual_cameras(positions: Float[Tensor, "frames joints 3"]) -> tuple[Camera, ...]:
    """Four cameras around the mean root position of a clip, which has none of its own.

    They stand 4.5 m away and 1.5 m high at azimuths 45, 135, 225 and 315 degrees.

    Args:
        positions: World, metres, z up, the root joint first.
    """
    target = positions[:, 0].mean(dim=0)
    return tuple(camera_at(target, azimuth) for azimuth in VIRTUAL_AZIMUTHS)


# Synthetic: chosen so that the mean error is near 5 px, and so that limbs are worse than the torso, as the
# errors of 2D detectors on images of 1000 px are. They are not fitted to any detector's output.
_JOINT_NOISE = (0.8, 0.8, 1.0, 1.3, 0.8, 1.0, 1.3, 0.8, 0.7, 0.8, 0.9, 0.8, 1.1, 1.5, 0.8, 1.1, 1.5)
_NOISE_SIGMA = 3.75  # px, a coordinate of an average joint
_CORRELATION = 0.9  # from one frame to the next
_CORRELATED_SHARE = 0.8  # of the variance; the rest is white
_OUTLIER_RATE = 0.01  # of the joints and frames
_OUTLIER_SCALE = 5.0  # times the joint's sigma
FILTER_LENGTH = 64  # 0.9 ** 64 is 1e-3: the rest of the infinite response does not matter


def detector_noise(
    generator: torch.Generator, frames: int, joints: int = 17
) -> Float[Tensor, "frames joints 2"]:
    """Noise like a 2D detector's, in pixels, about 5 px a joint on the mean. It is synthetic.

    Each joint has its own scale (wrists and ankles the largest). Of the variance, 80 percent is a first-order
    autoregressive process along time (correlation 0.9 between frames), 20 percent is white; in one of a
    hundred joints and frames an outlier of five times the scale comes on top.

    Args:
        generator: The only source of randomness.
        frames: Number of frames.
        joints: Number of joints; the scales are known for the 17 Human3.6M joints alone.

    Raises:
        BenchmarkError: Another number of joints.
    """
    if joints != len(_JOINT_NOISE):
        raise BenchmarkError(f"detector noise is defined for {len(_JOINT_NOISE)} joints, not for {joints}")
    return detector_like(
        torch.randn(4, joints, 2, frames, generator=generator),
        torch.randn(joints, 2, FILTER_LENGTH - 1, generator=generator),
        torch.rand(joints, 1, frames, generator=generator),
    )


def detector_like(
    normal: Float[Tensor, "4 *batch joints 2 frames"],
    before: Float[Tensor, "*batch joints 2 past"],
    chance: Float[Tensor, "*batch joints 1 frames"],
) -> Float[Tensor, "*batch frames joints 2"]:
    """Shape random numbers like a 2D detector's noise, in pixels; ``detector_noise`` says how.

    Args:
        normal: Unit Gaussians: innovations, white noise, and two whose quotient is heavy-tailed.
        before: Innovations of the frames before.
        chance: Even in [0, 1): which joints and frames are outliers.
    """
    innovations = torch.cat([before, normal[0]], dim=-1)
    # An autoregressive process is white noise through an exponential response: one convolution, no loop.
    response = _CORRELATION ** torch.arange(FILTER_LENGTH - 1, -1, -1.0, device=normal.device)
    response = response / response.norm()
    flat = innovations.reshape(-1, 1, innovations.shape[-1])
    correlated = functional.conv1d(flat, response.view(1, 1, -1)).reshape(normal.shape[1:])
    outlier = chance < _OUTLIER_RATE
    # A normal over an independent normal's size is heavy-tailed; 0.5 bounds the quotient.
    heavy = normal[2] / normal[3].abs().clamp(min=0.5) * outlier
    noise = math.sqrt(_CORRELATED_SHARE) * correlated + math.sqrt(1 - _CORRELATED_SHARE) * normal[1]
    noise = noise + _OUTLIER_SCALE * heavy
    relative = torch.tensor(_JOINT_NOISE, device=noise.device).view(-1, 1, 1)
    scale = relative * (_NOISE_SIGMA / (sum(_JOINT_NOISE) / len(_JOINT_NOISE)))
    return (noise * scale).movedim(-1, -3).contiguous()
