"""Grading: the mean errors of one denoiser, sampled on its own."""

from collections.abc import Sequence

import torch
from torch import nn

from htp_diffusion.data.motion import Windows
from htp_diffusion.sampling import Sampling, batches
from htp_diffusion.scoring import Errors, Scorer, mean_scores, score_clip


def grade(denoiser: nn.Module, clips: Sequence[Windows], sampling: Sampling, device: torch.device) -> Errors:
    """Sample every window and score the mean of the hypotheses over all scored frames.

    Args:
        denoiser: In evaluation mode; it is moved to the device.
        clips: What to score, cut into windows.
        sampling: How to sample.
        device: Where.
    """
    denoiser.to(device)
    scorer = Scorer(clips, score_clip)
    for number, pose_2d in enumerate(batches(clips, sampling.batch_size).to(device)):
        scorer.add(sampling.draw(denoiser, pose_2d, number))
    return mean_scores(scorer.clips).over_frames["mean"]
