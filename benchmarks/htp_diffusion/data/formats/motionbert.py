"""Human3.6M as MotionBERT prepared it: one pickle of all frames, or one pickle a window.

The 2D poses are stacked-hourglass detections, whose confidences are not read. The 3D poses live in the
image: x and y are pixels, depth is relative to the root and in the scale that a pixel has at the root. The
2.5D factor, in millimetres a pixel, turns them into the poses that MotionBERT scores.
"""

import itertools
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.h36m_cameras import H36M_FPS, H36M_LENSES
from htp_diffusion.data.formats.table import load_table, numbers, texts, to_tensor
from htp_diffusion.data.formats.told import listed, told
from htp_diffusion.data.formats.units import require_unit
from htp_diffusion.data.motion import Clip
from htp_diffusion.pose.cameras import ImagePlane
from htp_diffusion.pose.layout import H36M_17

MOTIONBERT_EXCLUDED = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")
"""Test recordings that MotionBERT does not score."""

_SOURCE = re.compile(r"(?P<recording>s_(?P<subject>\d+)_act_\d+_subact_\d+)_(?P<camera>ca_\d+)")
_JOINTS = H36M_17.num_joints


@dataclass(frozen=True, kw_only=True, eq=False)
class MotionBertSequence:
    """One recording of one camera, all its frames.

    Attributes:
        recording: Subject, action and trial, such as "s_09_act_02_subact_01".
        subject: Such as "S9".
        camera: The camera's number, such as "ca_01".
        pose_2d: Screen-normalised, as ``Camera.normalise_screen`` does it.
        target: What MotionBERT predicts: x and y screen-normalised, depth relative to the root, all in half
            image widths.
        action: The action's name; None in the training part, whose file has none.
        scale: Metres that half an image width stands for, by the 2.5D factor of each frame; None in the
            training part.
        scored_pose: What MotionBERT scores predictions against: the 2.5D pose, metres, relative to the root;
            None in the training part.
    """

    recording: str
    subject: str
    camera: str
    pose_2d: Float[Tensor, "frames joints 2"]
    target: Float[Tensor, "frames joints 3"]
    action: str | None
    scale: Float[Tensor, " frames"] | None
    scored_pose: Float[Tensor, "frames joints 3"] | None

    def to_clip(self) -> Clip:
        """The recording as a clip in the image, relative to the root's place there.

        A test clip's pose times its scale is exactly the one that MotionBERT scores, which is that of
        ``target`` as far as the file's numbers agree with each other.
        """
        clip = image_clip(f"{self.recording}@{self.camera}", self.pose_2d, self.target)
        if self.scored_pose is None or self.scale is None:
            return clip
        return replace(clip, pose_3d=self.scored_pose / self.scale[:, None, None], scale=self.scale)


def image_clip(
    name: str, pose_2d: Float[Tensor, "frames joints 2"], target: Float[Tensor, "frames joints 3"]
) -> Clip:
    """Poses in the image, as ``MotionBertSequence.target``, as a clip relative to the root's place there."""
    return Clip(
        name=name,
        pose_2d=pose_2d,
        pose_3d=target - target[:, :1],
        root=target[:, 0],
        camera=ImagePlane(),
        fps=H36M_FPS,
    )


def read_motionbert(path: str | Path, part: str) -> list[MotionBertSequence]:
    """Read h36m_sh_conf_cam_source_final.pkl, or another file of its layout.

    Frames of one source, which stand together, become one sequence. Each frame is normalised by the image
    size of its own camera_name, as MotionBERT does it. ``MOTIONBERT_EXCLUDED`` are returned like any other.

    Args:
        path: The file; with its arrays it takes about twice its size in memory.
        part: "train" or "test".

    Raises:
        BenchmarkError: No such file, a pickle that holds anything but arrays and plain containers, a missing
            key, a shape that is not (frames, 17, ...), frames that are not as many in every key, an unknown
            camera, a source of another form, a 2.5D factor that is not above 0, or a 2.5D pose that is not in
            millimetres or not the image's times the factor.
    """
    parts = load_table(Path(path))
    if part not in ("train", "test") or not isinstance(parts.get(part), dict):
        raise BenchmarkError(f"{path}: no part {part!r}; the file has {listed(parts)}")
    table, what = parts[part], f"{path}: {part}"
    source = texts(table, "source", what)
    frames = len(source)
    pixels = numbers(table, "joint_2d", what, (frames, _JOINTS), (2, 3))[..., :2]
    image = numbers(table, "joint3d_image", what, (frames, _JOINTS), (3,))
    sizes = _image_sizes(texts(table, "camera_name", what, frames), what)
    width, shift = sizes[:, 0], np.stack([np.ones(frames), sizes[:, 1] / sizes[:, 0]], axis=-1)
    pose_2d = pixels / width[:, None, None] * 2 - shift[:, None]
    target = image / width[:, None, None] * 2
    target[..., :2] -= shift[:, None]
    actions = scale = scored = None
    if part == "test":
        actions = texts(table, "action", what, frames)
        factor = numbers(table, "2.5d_factor", what, (frames,), (None, 1)).reshape(frames)
        scored = numbers(table, "joints_2.5d_image", what, (frames, _JOINTS), (3,))
        _check_factor(image, factor, scored, what)
        require_unit(to_tensor(scored), H36M_17, "millimetres", f"{what}: joints_2.5d_image")
        scored = (scored - scored[:, :1]) / 1000.0
        scale = width / 2 * factor / 1000.0
    bounds = [0, *(t for t in range(1, frames) if source[t] != source[t - 1]), frames]
    names = [_names(source[start], what) for start in bounds[:-1]]
    return [
        MotionBertSequence(
            recording=recording,
            subject=subject,
            camera=camera,
            pose_2d=to_tensor(pose_2d[start:end]),
            target=to_tensor(target[start:end]),
            action=None if actions is None else actions[start],
            scale=None if scale is None else to_tensor(scale[start:end]),
            scored_pose=None if scored is None else to_tensor(scored[start:end]),
        )
        for (recording, subject, camera), (start, end) in zip(names, itertools.pairwise(bounds), strict=True)
    ]


def _names(source: str, what: str) -> tuple[str, str, str]:
    """Recording, subject and camera of a source."""
    match = _SOURCE.fullmatch(source)
    if match is None:
        raise BenchmarkError(
            f"{what}: source {told(source)}, expected a form such as s_09_act_02_subact_01_ca_01"
        )
    return match["recording"], f"S{int(match['subject'])}", match["camera"]


def _image_sizes(names: list[str], what: str) -> Any:
    """Width and height of each frame."""
    unknown = sorted(set(names) - set(H36M_LENSES))
    if unknown:
        raise BenchmarkError(
            f"{what}: camera_name expects one of {', '.join(H36M_LENSES)}, unknown {listed(unknown)}"
        )
    return np.array([H36M_LENSES[name].image_size for name in names], dtype="float64")


def _check_factor(image: Any, factor: Any, scored: Any, what: str) -> None:
    """The 2.5D pose must be the pose in the image times the factor, relative to the root."""
    if not (factor > 0).all():
        raise BenchmarkError(f"{what}: 2.5d_factor expects millimetres a pixel above 0, got {factor.min():g}")
    expected = (image - image[:, :1]) * factor[:, None, None]
    difference = float(np.median(np.abs(expected - (scored - scored[:, :1]))))
    if difference > 5.0:
        raise BenchmarkError(
            f"{what}: joints_2.5d_image is not joint3d_image times 2.5d_factor: off by {difference:.0f} mm"
        )
