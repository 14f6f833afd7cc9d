"""The windows that MotionBERT's preparation cuts out of Human3.6M, one pickle each."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.motionbert import image_clip
from htp_diffusion.data.formats.table import array, load_table, numbers, to_tensor
from htp_diffusion.data.motion import Clip
from htp_diffusion.pose.layout import H36M_17

_JOINTS = H36M_17.num_joints


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionBertWindow:
    """One window that MotionBERT's preparation cut out: 2D poses and targets.

    Attributes:
        name: The file's name without its ending.
        pose_2d: Screen-normalised.
        target: In half image widths, as ``MotionBertSequence.target``.
    """

    name: str
    pose_2d: Float[Tensor, "frames joints 2"]
    target: Float[Tensor, "frames joints 3"]

    def to_clip(self) -> Clip:
        """The window as a clip in the image, relative to the root's place there; no metres are known."""
        return image_clip(f"{self.name}@window", self.pose_2d, self.target)


def read_motionbert_windows(folder: str | Path) -> Iterator[MotionBertWindow]:
    """Read a folder of per-window pickles, such as MB3D_f243s81/H36M-SH/train, one after the other.

    Raises:
        BenchmarkError: No pickle in the folder; otherwise as ``read_motionbert``.
    """
    paths = sorted(Path(folder).glob("*.pkl"))
    if not paths:
        raise BenchmarkError(f"{folder}: no folder with *.pkl files")
    for path in paths:
        window = load_table(path)
        label = array(window, "data_label", str(path))
        frames = label.shape[0] if label.ndim else 0
        target = numbers(window, "data_label", str(path), (frames, _JOINTS), (3,))
        seen = numbers(window, "data_input", str(path), (frames, _JOINTS), (3,))
        if np.abs(target).max() > 20 or np.abs(seen).max() > 20:
            raise BenchmarkError(f"{path}: expected screen-normalised poses, got pixels or millimetres")
        yield MotionBertWindow(
            name=path.stem,
            pose_2d=to_tensor(seen[..., :2]),
            target=to_tensor(target),
        )
