"""Grading: poses are sampled window by window and scored, clip by clip."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from htp_diffusion.data.motion import Windows
from htp_diffusion.data.window_batches import WindowBatches
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.scoring.action_scores import mean_scores
from htp_diffusion.scoring.clip_scores import Errors, score_clip

Score = TypeVar("Score")


def score_clips(
    clips: Sequence[Windows],
    batch_size: int,
    draw: Callable[[Tensor, int], Tensor],
    score: Callable[[Tensor, Windows], Score],
    *,
    device: torch.device,
) -> list[Score]:
    """Draw poses batch by batch, and score each clip once its windows are there.

    Args:
        clips: What to score, cut into windows.
        batch_size: Windows in one call.
        draw: From the 2D poses of a batch and its number to (windows, hypotheses, frames, joints, 3).
        score: Scores the hypotheses of one clip's windows.
        device: Where the 2D poses go.
    """
    batches = WindowBatches(clips, batch_size)
    scorer = batches.scorer(score)
    for number in range(len(batches)):
        scorer.add(draw(batches[number].to(device), number))
    return scorer.scores


def grade(denoiser: nn.Module, clips: Sequence[Windows], sampling: Sampling, device: torch.device) -> Errors:
    """The errors of the mean of the hypotheses over all scored frames.

    Args:
        denoiser: In evaluation mode; it is moved to the device.
        clips: What to score, cut into windows.
        sampling: How to sample.
        device: Where.
    """
    denoiser.to(device)

    def draw(pose_2d: Tensor, number: int) -> Tensor:
        return sampling.draw(denoiser, pose_2d, number)

    scores = score_clips(clips, sampling.batch_size, draw, score_clip, device=device)
    return mean_scores(scores).over_frames["mean"]
