"""Unseen: what a study scores, no checkpoint of it was trained on."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.cmu import trained_among
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
