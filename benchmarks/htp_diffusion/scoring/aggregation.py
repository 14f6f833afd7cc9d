"""From H hypotheses to one pose, and what each way needs to know.

The four ways of D3DP (Shan et al. 2023). Only the mean works on the network's output alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.pose.cameras import Camera, ImagePlane
from htp_diffusion.scoring.metrics import joint_error, mpjpe


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What is known about the windows beside the hypotheses.

    Attributes:
        pose_2d: The 2D input, screen-normalised.
        root: True root trajectory, in the unit and frame of reference of the poses.
        camera: The camera of all the windows.
        target: True poses, root-relative.
    """

    pose_2d: Float[Tensor, "batch frames joints 2"]
    root: Float[Tensor, "batch frames 3"]
    camera: Camera | ImagePlane
    target: Float[Tensor, "batch frames joints 3"]


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """One way to aggregate.

    Attributes:
        name: For tables.
        needs: What it needs beyond the hypotheses, in words; "nothing" if that is so.
        oracle: True if it picks by the ground-truth pose: a bound, not a method.
        combine: From hypotheses (batch hyps frames joints 3) and evidence to poses (batch frames joints 3).
    """

    name: str
    needs: str
    oracle: bool
    combine: Callable[[Tensor, Evidence], Tensor]

    @property
    def label(self) -> str:
        """The name, marked unless it needs nothing."""
        mark = (
            "" if self.needs == "nothing" else " (oracle)" if self.oracle else " (not free of ground truth)"
        )
        return f"{self.name}{mark}"


def mean(hypotheses: Float[Tensor, "batch hyps frames joints 3"]) -> Float[Tensor, "batch frames joints 3"]:
    """The mean hypothesis (P-Agg). Needs nothing else."""
    return hypotheses.mean(dim=1)


def jpma(
    hypotheses: Float[Tensor, "batch hyps frames joints 3"],
    pose_2d: Float[Tensor, "batch frames joints 2"],
    root: Float[Tensor, "batch frames 3"],
    camera: Camera | ImagePlane,
) -> Float[Tensor, "batch frames joints 3"]:
    """Per frame and joint, the hypothesis that reprojects nearest to the 2D input (J-Agg, JPMA).

    It is not free of ground truth: to reproject, it adds the true root trajectory to the root-relative
    hypotheses, as D3DP's published evaluation does, and it uses the true camera.

    Args:
        hypotheses: Root-relative; metres in the camera frame, or half image widths on an image plane.
        pose_2d: The 2D input, screen-normalised.
        root: True root trajectory, likewise.
        camera: The camera of all the windows.
    """
    screen = camera.to_screen(hypotheses + root[:, None, :, None])
    distance = (screen - pose_2d[:, None]).norm(dim=-1)
    return _pick(hypotheses, distance)


def p_best(
    hypotheses: Float[Tensor, "batch hyps frames joints 3"], target: Float[Tensor, "batch frames joints 3"]
) -> Float[Tensor, "batch frames joints 3"]:
    """Oracle: per frame, the hypothesis whose pose has the lowest MPJPE (P-Best).

    D3DP's code picks one hypothesis for a whole evaluation batch, a number that depends on the batch size and
    is never lower than this one.
    """
    error = mpjpe(hypotheses, target[:, None].expand_as(hypotheses))
    return _pick(hypotheses, error[..., None].expand(hypotheses.shape[:-1]))


def j_best(
    hypotheses: Float[Tensor, "batch hyps frames joints 3"], target: Float[Tensor, "batch frames joints 3"]
) -> Float[Tensor, "batch frames joints 3"]:
    """Oracle: per frame and joint, the hypothesis nearest to the true joint (J-Best)."""
    return _pick(hypotheses, joint_error(hypotheses, target[:, None].expand_as(hypotheses)))


def _pick(
    hypotheses: Float[Tensor, "batch hyps frames joints 3"], cost: Float[Tensor, "batch hyps frames joints"]
) -> Float[Tensor, "batch frames joints 3"]:
    """Per frame and joint the hypothesis of the lowest cost."""
    index = cost.argmin(dim=1, keepdim=True)[..., None].expand(-1, -1, -1, -1, 3)
    return torch.gather(hypotheses, 1, index).squeeze(1)


AGGREGATIONS = (
    Aggregation(name="mean", needs="nothing", oracle=False, combine=lambda hyps, _: mean(hyps)),
    Aggregation(
        name="JPMA",
        needs="camera and true root trajectory",
        oracle=False,
        combine=lambda hyps, known: jpma(hyps, known.pose_2d, known.root, known.camera),
    ),
    Aggregation(
        name="P-Best",
        needs="ground truth",
        oracle=True,
        combine=lambda hyps, known: p_best(hyps, known.target),
    ),
    Aggregation(
        name="J-Best",
        needs="ground truth",
        oracle=True,
        combine=lambda hyps, known: j_best(hyps, known.target),
    ),
)


NEEDS = " ".join(f"{way.name} needs {way.needs}." for way in AGGREGATIONS if way.needs != "nothing")
"""What the ways need beyond the hypotheses, for people."""
