"""Validation: clips held out of the training motion, and the error of a denoiser on them.

They come from the training split: what is chosen by them has seen no test clip.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.cmu import cmu_name
from htp_diffusion.data.motion import Clip, Windows, windows
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.scoring.clip_scores import weighted_mean
from htp_diffusion.scoring.draw_and_score import score_clips
from htp_diffusion.scoring.metrics import mpjpe

CMU_VALIDATION = ("S01/01_08", "S02/02_05", "S02/02_08", "S03/03_03")
"""Of the CMU training clips: every subject, and each long enough for a window of 243 frames."""

VALIDATION_SEED = 4052
"""Of the detector noise and of the sampler's; neither training nor the test clips draw from it."""

_EVERY = 8  # of recordings that are not CMU's, this many give one
_BATCH = 16  # windows in one call of the denoiser


def held_out(recordings: Sequence[str]) -> set[str]:
    """Of training recordings, the names of those to hold out, whichever camera sees them.

    They are the four ``CMU_VALIDATION`` clips where these are there, and of any other motion every eighth
    recording, at least one.

    Raises:
        BenchmarkError: A single recording, of which nothing can be held out.
    """
    if len(recordings) < 2:
        raise BenchmarkError(f"holding out clips needs at least 2 recordings, got {len(recordings)}")
    known = {name for name in recordings if cmu_name(name) in CMU_VALIDATION}
    complete = {cmu_name(name) for name in known} == set(CMU_VALIDATION)
    return known if complete else set(recordings[1::_EVERY])


def one_view_each(clips: Sequence[Clip]) -> list[Clip]:
    """Of each recording, the clip of one of its cameras, in turn."""
    views: dict[str, list[Clip]] = {}
    for clip in clips:
        views.setdefault(clip.name.partition("@")[0], []).append(clip)
    return [seen[turn % len(seen)] for turn, seen in enumerate(views.values())]


class Validation:
    """Mean MPJPE over every frame of clips, at H=1 and K=1, always from the same noise.

    Args:
        clips: Held-out clips.
        num_frames: T, frames of a window.

    Raises:
        BenchmarkError: No clip.
    """

    def __init__(self, clips: Sequence[Clip], num_frames: int) -> None:
        if not clips:
            raise BenchmarkError("validation needs at least one clip, got none")
        self.names = [clip.name for clip in clips]
        self._clips = [windows(clip, num_frames) for clip in clips]
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
        """The error of a denoiser in evaluation mode; call it without gradients.

        In thousandths of the unit of the clips' poses: mm for metres.
        """

        def draw(pose_2d: Tensor, number: int) -> Tensor:
            return self._sampling.draw(denoiser, pose_2d, number)

        device = next(denoiser.parameters()).device
        return weighted_mean(score_clips(self._clips, _BATCH, draw, _error, device=device))


def _error(hypotheses: Float[Tensor, "windows hyps frames joints 3"], clip: Windows) -> tuple[float, int]:
    """Mean error of the one hypothesis over the scored frames, and how many they are."""
    predicted = hypotheses[:, 0][clip.scored]
    return mpjpe(predicted, clip.pose_3d[clip.scored]).mean().item(), len(predicted)
