"""What a benchmark scores: motion that was not trained on, seen by four virtual cameras."""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.npz import read_npz
from htp_diffusion.data.formats.units import Unit
from htp_diffusion.data.mocap.cmu import CMU_TEST, cmu_split
from htp_diffusion.data.motion import Clip, Motion, view
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.pose.cameras import virtual_cameras

EVALUATION_SEED = 2026
"""Of the embedded motion and of the detector noise; training draws its synthetic motion from other seeds."""

_ACTIONS = 3  # one motion of each kind
_WINDOWS_PER_MOTION = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluationSet:
    """Clips to score.

    Attributes:
        description: What they are, for people.
        motions: The motions behind them.
        clips: Each motion as each virtual camera sees it, with detector-like noise.
    """

    description: str
    motions: tuple[str, ...]
    clips: tuple[Clip, ...]

    @cached_property
    def identity(self) -> str:
        """The description and a hash of the poses: files of one name may hold other motion."""
        found = hashlib.sha256()
        for clip in self.clips:
            for poses in (clip.pose_2d, clip.pose_3d):
                found.update(poses.contiguous().numpy().tobytes())
        return f"{self.description}; {found.hexdigest()[:16]}"


def embedded_set(num_frames: int) -> EvaluationSet:
    """The synthetic motion that needs no file: little of it, so that a CPU is done with it in two minutes."""
    frames = _WINDOWS_PER_MOTION * num_frames
    motions = synthetic_motions(seed=EVALUATION_SEED, count=_ACTIONS, frames=frames)
    return _seen(motions, f"embedded synthetic motion (seed {EVALUATION_SEED})", cameras=2)


def check_fps(fps: float) -> None:
    """Check a frame rate.

    Raises:
        BenchmarkError: It is not a number above 0.
    """
    if not 0 < fps < math.inf:
        raise BenchmarkError(f"fps expects a frame rate above 0, got {fps:g}")


def file_set(path: str | os.PathLike[str], fps: float = 60.0, unit: Unit = "metres") -> EvaluationSet:
    """The CMU test clips if the file holds any of them, otherwise every clip of the file.

    Args:
        path: A data_3d_*.npz.
        fps: Its frame rate.
        unit: Its unit.

    Raises:
        BenchmarkError: As ``read_npz``, or a frame rate that is not positive.
    """
    check_fps(fps)
    motions = read_npz(os.fspath(path), fps, unit)
    name = os.path.basename(path)
    test = cmu_split(motions)[1]
    if not test:
        return _seen(motions, f"{name}, every clip (none of the CMU test clips, so no fixed split)")
    part = "" if len(test) == len(CMU_TEST) else f"{len(test)} of the {len(CMU_TEST)} clips of "
    return _seen(test, f"{name}, {part}the fixed CMU test split")


def virtual_views(
    motions: Sequence[Motion], cameras: int = 4, seed: int = EVALUATION_SEED
) -> tuple[Clip, ...]:
    """See each motion through this many of the four virtual cameras, evenly spread around it, with noise."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        view(motion, camera, generator)
        for motion in motions
        for camera in virtual_cameras(motion.positions)[:: 4 // cameras]
    )


def _seen(motions: Sequence[Motion], source: str, cameras: int = 4) -> EvaluationSet:
    return EvaluationSet(
        description=f"{source}: {len(motions)} motions, {cameras} virtual cameras, seeded detector noise",
        motions=tuple(motion.name for motion in motions),
        clips=virtual_views(motions, cameras),
    )
