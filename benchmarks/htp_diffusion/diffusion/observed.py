"""Observed: what a denoiser samples, and the frames that it kept meanwhile."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.pose.layout import H36M_17, Layout
from htp_modules import MGPTP, record


class Observed(NamedTuple):
    """One batch.

    Attributes:
        poses: The hypotheses.
        kept: Frames kept at the last denoising step of hypothesis one, counted from each window's beginning,
            ascending; those of the mirrored copy are not told. None for a model that does not prune.
    """

    poses: Float[Tensor, "windows hyps frames joints 3"]
    kept: Int64[Tensor, "windows kept"] | None


def observe(
    denoiser: nn.Module,
    pose_2d: Float[Tensor, "windows frames joints 2"],
    sampling: Sampling,
    batch: int = 0,
    layout: Layout = H36M_17,
) -> Observed:
    """Sample one batch as ``Sampling.draw`` does and see which frames are kept."""
    pruners = nn.ModuleList(module for module in denoiser.modules() if isinstance(module, MGPTP))
    with record(pruners) as seen:  # not TCEP's masks, which take much room
        poses = sampling.draw(denoiser, pose_2d, batch, layout)
    if not seen.kept:
        return Observed(poses, None)
    # One step, in calls of any size: of each window its hypotheses, then all of it mirrored.
    hypotheses = len(pose_2d) * sampling.hypotheses
    last_step = torch.cat([call.index for call in seen.kept])[-hypotheses * (2 if sampling.flip else 1) :]
    return Observed(poses, last_step[: hypotheses : sampling.hypotheses])
