"""Triangulation: 3D joints from what several calibrated cameras saw at the same time."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.lens import LensCamera

_TRUSTED = 10.0  # pixels: beyond it a detection counts less the further off it is
_ITERATIONS = 10


def triangulate(
    pixels: Float[Tensor, "views frames joints 2"],
    weight: Float[Tensor, "views frames joints"],
    cameras: Sequence[LensCamera],
) -> Float[Tensor, "frames joints 3"]:
    """The points whose projections lie nearest to the detections, in the world, metres.

    Linear triangulation, repeated with weights such that distances in the images count: by their square up to
    10 pixels, by themselves beyond (Huber's loss).

    Args:
        pixels: Detections of the cameras, in their order.
        weight: How much each counts; every joint of a frame needs two views above 0.
        cameras: Calibrated cameras.

    Raises:
        BenchmarkError: The rays do not meet in finite points: the cameras are not those of the detections.
    """
    seen = torch.stack([camera.to_plane(view.double()) for camera, view in zip(cameras, pixels, strict=True)])
    rotation = torch.stack([camera.rotation for camera in cameras])[:, None, None].double()
    translation = torch.stack([camera.translation for camera in cameras])[:, None, None].double()
    focal = torch.stack([camera.focal.mean() for camera in cameras])[:, None, None].double()
    # A point X falls on (u, v) where (u r3 - r1) X = t1 - u t3, and likewise v: two lines for each view.
    lines = seen[..., None] * rotation[..., 2:, :] - rotation[..., :2, :]
    offsets = translation[..., :2] - seen * translation[..., 2:]
    root = weight.double().sqrt()
    points = _crossing(lines, offsets, root)
    for _ in range(_ITERATIONS):
        local = (rotation @ points[..., None])[..., 0] + translation
        depth = local[..., 2]
        off = (local[..., :2] / depth[..., None] - seen).norm(dim=-1) * focal
        points = _crossing(lines, offsets, root * (_TRUSTED / off.clamp(min=_TRUSTED)).sqrt() / depth)
    return points.float()


def _crossing(
    lines: Float[Tensor, "views frames joints 2 3"],
    offsets: Float[Tensor, "views frames joints 2"],
    scale: Float[Tensor, "views frames joints"],
) -> Float[Tensor, "frames joints 3"]:
    """Where the views' lines cross, by least squares."""
    system = (scale[..., None, None] * lines).movedim(0, 2).flatten(2, 3)
    right = (scale[..., None] * offsets).movedim(0, 2).flatten(2, 3)
    if not (system.isfinite().all() and right.isfinite().all()):  # which LAPACK is not made for
        raise BenchmarkError("the views' rays do not meet: these are not the cameras that saw the joints")
    return torch.linalg.lstsq(system, right[..., None]).solution[..., 0]
