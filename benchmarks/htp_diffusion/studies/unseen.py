"""Unseen: what a study scores, none of its models was trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.cmu import trained_among
from htp_diffusion.data.motion import Motion
from htp_diffusion.data.virtual_views import EvaluationSet
from htp_diffusion.models.checkpoint import Checkpoint


def check_unseen(found: Mapping[Path, Checkpoint], motions: Sequence[str]) -> None:
    """Refuse motion that was trained on.

    Args:
        found: The checkpoints by their files.
        motions: What is to be scored.

    Raises:
        BenchmarkError: A checkpoint was trained on some of it.
    """
    for path, checkpoint in found.items():
        trained = trained_among(motions, checkpoint.motions)
        if trained:
            raise BenchmarkError(
                f"{path} was trained on motion that is to be scored: {', '.join(trained[:3])}"
            )


def check_split(data: Path | None, motions: Sequence[Motion], scored: EvaluationSet) -> None:
    """Refuse a file of which the same motion is to be trained on and scored.

    Args:
        data: The file; None for procedural motion, whose test clips are other draws.
        motions: What is to be trained on.
        scored: The test clips.

    Raises:
        BenchmarkError: Some motion is in both.
    """
    if data is not None and {motion.name for motion in motions} & set(scored.motions):
        raise BenchmarkError(
            f"{data} is not the file of the 28 CMU clips, and no other split into training and test "
            "motion is known here"
        )
