"""Validation: clips held out of the training motion, and the error of a denoiser on them.

They come from the training split: what is chosen by them has seen no test clip.
"""

from collections.abc import Sequence

import torch
from torch import nn

from htp_diffusion.data.cmu import CMU_TRAIN
from htp_diffusion.data.motion import Clip, Motion, view, windows
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.pose.cameras import virtual_cameras
from htp_diffusion.pose.metrics import mpjpe
from htp_diffusion.sampling import Sampling, batches

CMU_VALIDATION = ("S01/01_08", "S02/02_05", "S02/02_08", "S03/03_03")
"""Of the CMU training clips: every subject, and each long enough for a window of 243 frames."""

VALIDATION_SEED = 4052
"""Of the detector noise and of the sampler's; neither training nor the test clips draw from it."""

_EVERY = 8  # of motion that is not CMU's, this many clips give one
_BATCH = 16  # windows in one call of the denoiser


def hold_out(motions: Sequence[Motion]) -> tuple[list[Motion], list[Motion]]:
    """Split training motion into what is trained on and what is held out, in the order given.

    Held out are the four ``CMU_VALIDATION`` clips of the CMU training split, and of any other motion every
    eighth clip, at least one.

    Raises:
        BenchmarkError: A single motion, of which nothing can be held out.
    """
    if len(motions) < 2:
        raise BenchmarkError(f"holding out clips needs at least 2 motions, got {len(motions)}")
    if set(CMU_TRAIN) <= {motion.name for motion in motions}:
        chosen = set(CMU_VALIDATION)
    else:
        chosen = {motion.name for motion in motions[1::_EVERY]}
    return (
        [motion for motion in motions if motion.name not in chosen],
        [motion for motion in motions if motion.name in chosen],
    )


def validation_clips(motions: Sequence[Motion]) -> list[Clip]:
    """Each motion as one of the four virtual cameras sees it, in turn, with detector-like noise."""
    generator = torch.Generator().manual_seed(VALIDATION_SEED)
    return [
        view(motion, virtual_cameras(motion.positions)[turn % 4], generator)
        for turn, motion in enumerate(motions)
    ]


class Validation:
    """Mean MPJPE over every frame of clips, at H=1 and K=1, always from the same noise.

    Args:
        clips: Held-out clips.
        num_frames: T, frames of a window.

    Raises:
        BenchmarkError: No clip, or one that is shorter than a window.
    """

    def __init__(self, clips: Sequence[Clip], num_frames: int) -> None:
        if not clips:
            raise BenchmarkError("validation needs at least one clip, got none")
        cut = [windows(clip, num_frames) for clip in clips]
        self.names = [clip.name for clip in clips]
        self._inputs = batches(cut, _BATCH)
        self._target = torch.cat([clip.pose_3d for clip in cut])
        self._scored = torch.cat([clip.scored for clip in cut])
        self._sampling = Sampling(
            hypotheses=1,
            steps=1,
            eta=1.0,
            flip=False,
            seed=VALIDATION_SEED,
            batch_size=_BATCH,
            max_batch=_BATCH,
        )

    def __call__(self, denoiser: nn.Module) -> float:
        """The error of a denoiser in evaluation mode, mm; call it without gradients."""
        device = next(denoiser.parameters()).device
        drawn = [
            self._sampling.draw(denoiser, pose_2d.to(device), batch).float().cpu()
            for batch, pose_2d in enumerate(self._inputs)
        ]
        predicted = torch.cat(drawn)[: len(self._target), 0]
        return float(mpjpe(predicted[self._scored], self._target[self._scored]).mean())
