"""Errors of 3D poses: metres in, millimetres (or fractions) out, one value a frame.

Every function keeps the frame axis, so that the caller weights frames (a frame that two windows share counts
once). With one value a frame, a mean over frames is the mean over frames and joints that the field reports.
"""

import torch
from jaxtyping import Float
from torch import Tensor

MILLIMETRES = 1000.0
PCK_THRESHOLD = 150.0
AUC_THRESHOLDS = tuple(range(0, 151, 5))
"""Millimetres. PCK and AUC as MPI-INF-3DHP defines them (Mehta et al. 2017)."""


def joint_error(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints"]:
    """Euclidean distance of each joint, mm."""
    return (predicted - target).norm(dim=-1) * MILLIMETRES


def mpjpe(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch"]:
    """Mean per-joint position error, mm (Protocol 1 of Human3.6M)."""
    return joint_error(predicted, target).mean(dim=-1)


def procrustes(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch joints 3"]:
    """Each predicted pose after the rotation, scale and translation that bring it nearest to its target.

    Least squares by the singular value decomposition, reflections excluded (Umeyama 1991). A predicted pose
    that is a single point becomes the target's mean; a pose that is not finite stays so.
    """
    centre = target.mean(dim=-2, keepdim=True)
    shape, goal = predicted - predicted.mean(dim=-2, keepdim=True), target - centre
    covariance = shape.mT @ goal
    # The decomposition raises on NaN, and one such pose must not stop the others; its shape stays NaN.
    left, singular, right = torch.linalg.svd(covariance.nan_to_num(0.0, 0.0, 0.0))
    proper = torch.ones_like(singular)
    proper[..., -1] = torch.where(torch.linalg.det(left @ right) < 0, -1.0, 1.0)
    rotation = (left * proper[..., None, :]) @ right
    energy = shape.square().sum(dim=(-2, -1)).clamp(min=torch.finfo(shape.dtype).tiny)
    scale = (singular * proper).sum(dim=-1) / energy
    return scale[..., None, None] * (shape @ rotation) + centre


def p_mpjpe(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch"]:
    """MPJPE after ``procrustes`` of every frame, mm (Protocol 2 of Human3.6M)."""
    return mpjpe(procrustes(predicted, target), target)


def mpjve(
    predicted: Float[Tensor, "*batch frames joints 3"], target: Float[Tensor, "*batch frames joints 3"]
) -> Float[Tensor, "*batch frames-1"]:
    """Mean per-joint velocity error, mm a frame: MPJPE of the differences of consecutive frames.

    Value t belongs to the step from frame t to frame t + 1; one frame gives no value (Pavllo et al. 2019).
    """
    return mpjpe(predicted.diff(dim=-3), target.diff(dim=-3))


def pck(
    predicted: Float[Tensor, "*batch joints 3"],
    target: Float[Tensor, "*batch joints 3"],
    threshold: float = PCK_THRESHOLD,
) -> Float[Tensor, "*batch"]:
    """Fraction of the joints with an error below the threshold (mm)."""
    return (joint_error(predicted, target) < threshold).to(predicted.dtype).mean(dim=-1)


def auc(
    predicted: Float[Tensor, "*batch joints 3"], target: Float[Tensor, "*batch joints 3"]
) -> Float[Tensor, "*batch"]:
    """Mean of the PCK at 0, 5, ..., 150 mm, a fraction.

    An error is never below 0 mm, so that a perfect prediction scores 30 / 31.
    """
    error = joint_error(predicted, target)
    thresholds = torch.tensor(AUC_THRESHOLDS, dtype=error.dtype, device=error.device)
    return (error[..., None] < thresholds).to(predicted.dtype).mean(dim=(-2, -1))
