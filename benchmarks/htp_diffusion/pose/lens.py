"""Lens cameras: calibrated real ones, with the distortion that a pinhole leaves out."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_ITERATIONS = 20
"""Of the inverse, which has no closed form: a contraction, exact to 1e-9 for the lenses of phones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LensCamera:
    """A camera as OpenCV calibrates it (model of Brown and Conrady).

    Attributes:
        rotation: Turns world axes into camera axes.
        translation: Added after the rotation, metres; the world's origin in the camera's axes.
        intrinsics: Focal lengths and principal point, pixels.
        distortion: k1, k2, p1, p2, k3.
        image_size: Width and height, pixels.
    """

    rotation: Float[Tensor, "3 3"]
    translation: Float[Tensor, "3"]
    intrinsics: Float[Tensor, "3 3"]
    distortion: Float[Tensor, "5"]
    image_size: tuple[int, int]

    @property
    def focal(self) -> Float[Tensor, "2"]:
        """Focal lengths along x and y, pixels."""
        return self.intrinsics.diagonal()[:2]

    def to_camera(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """World coordinates to camera coordinates, metres."""
        return points @ self.rotation.T + self.translation

    def project(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 2"]:
        """Camera coordinates (metres) before the camera to pixels."""
        plane = points[..., :2] / points[..., 2:]
        scale, shift = self._bend(plane)
        return (plane * scale + shift) * self.focal + self.intrinsics[:2, 2]

    def to_plane(self, pixels: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
        """Where rays through pixels cross the plane a metre before the camera: ``project``'s inverse."""
        bent = (pixels - self.intrinsics[:2, 2]) / self.focal
        plane = bent
        for _ in range(_ITERATIONS):
            scale, shift = self._bend(plane)
            plane = (bent - shift) / scale
        return plane

    def _bend(self, plane: Float[Tensor, "*batch 2"]) -> tuple[Tensor, Tensor]:
        """The lens's radial factor and tangential shift."""
        k1, k2, p1, p2, k3 = self.distortion
        squared = plane.square().sum(dim=-1, keepdim=True)
        product = plane.prod(dim=-1, keepdim=True)
        scale = 1 + squared * (k1 + squared * (k2 + squared * k3))
        crosswise = torch.stack((p2, p1)) * (squared + 2 * plane.square())
        return scale, 2 * product * torch.stack((p1, p2)) + crosswise
