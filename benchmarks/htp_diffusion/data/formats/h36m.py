"""Human3.6M in VideoPose3D's files: data_3d_h36m.npz with any data_2d_h36m_*.npz."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.h36m_cameras import H36M_FPS, h36m_cameras
from htp_diffusion.data.formats.npz import Keypoints2D, read_npz, read_npz_2d
from htp_diffusion.data.formats.units import require_pixels
from htp_diffusion.data.motion import Clip, Motion
from htp_diffusion.pose.conversions import convert
from htp_diffusion.pose.layout import H36M_17, Layout
from htp_diffusion.pose.layouts import COCO_17

H36M_TRAIN = ("S1", "S5", "S6", "S7", "S8")
H36M_TEST = ("S9", "S11")
H36M_ACTIONS = (
    "Directions",
    "Discussion",
    "Eating",
    "Greeting",
    "Phoning",
    "Photo",
    "Posing",
    "Purchases",
    "Sitting",
    "SittingDown",
    "Smoking",
    "Waiting",
    "WalkDog",
    "Walking",
    "WalkTogether",
)
"""The 15 actions of the field's tables. A file names each of a subject's two trials after one of them, with
or without a number: "Walking", "Walking 1"."""

_LAYOUTS = {"h36m": H36M_17, "coco": COCO_17}
"""By the layout_name of a file's metadata."""


@dataclass(frozen=True, kw_only=True, eq=False)
class H36MClip:
    """A trial as one of the four cameras saw it.

    Attributes:
        clip: The motion; its name is "subject/trial@camera".
        subject: Such as "S9".
        action: One of ``H36M_ACTIONS``.
    """

    clip: Clip
    subject: str
    action: str


def read_h36m(
    path_3d: str | Path,
    path_2d: str | Path,
    subjects: Sequence[str],
    conversion: str | None = None,
) -> list[H36MClip]:
    """Read subjects of Human3.6M, each trial seen by its four cameras.

    The 3D poses are world poses in metres, of 32 joints or of the 17; the 2D poses are pixels. 2D poses that
    go on after the 3D poses have ended are cut, and those of a trial without 3D poses are left out.

    Args:
        path_3d: data_3d_h36m.npz.
        path_2d: data_2d_h36m_gt.npz, data_2d_h36m_cpn_ft_h36m_dbb.npz or another.
        subjects: ``H36M_TRAIN``, ``H36M_TEST`` or others with public cameras.
        conversion: The rule that turns the 2D poses into ``H36M_17``, where they have another layout.

    Returns:
        The clips by subject, trial and camera, subjects in the order asked for, trials in the file's order.
        2D poses are screen-normalised by each camera's own image size, 3D poses in the camera frame.

    Raises:
        BenchmarkError: As ``read_npz``; a subject, a trial or a camera is missing in one of the files; an
            action that Human3.6M does not have; 2D poses shorter than 3D; poses that are not in metres or
            pixels; a layout that is not Human3.6M's, and no conversion.
    """
    motions = read_npz(path_3d, fps=H36M_FPS)
    layout, views = _read_2d(Path(path_2d))
    known = {motion.name.partition("/")[0] for motion in motions}
    clips = []
    for subject in subjects:
        if subject not in known:
            raise BenchmarkError(
                f"{path_3d}: no subject {subject}; positions_3d has {', '.join(sorted(known))}"
            )
        for motion in motions:
            owner, _, trial = motion.name.partition("/")
            if owner != subject:
                continue
            if motion.name not in views:
                raise BenchmarkError(f"{path_2d}: positions_2d has no {motion.name}, which {path_3d} has")
            action = _action(trial, path_3d)
            for clip in _clips(motion, subject, views[motion.name], layout, path_2d, conversion):
                clips.append(H36MClip(clip=clip, subject=subject, action=action))
    return clips


def _action(trial: str, path: str | Path) -> str:
    """The action that a trial is one of."""
    action = trial.split(" ")[0]
    if action not in H36M_ACTIONS:
        raise BenchmarkError(f"{path}: {trial} is not one of the actions {', '.join(H36M_ACTIONS)}")
    return action


def _clips(
    motion: Motion,
    subject: str,
    views: Sequence[Float[Tensor, "_ joints 2"]],
    layout: Layout,
    path: str | Path,
    conversion: str | None,
) -> list[Clip]:
    """A motion with the 2D poses of each of its cameras."""
    cameras = h36m_cameras(subject)
    if len(views) != len(cameras):
        raise BenchmarkError(
            f"{path}: positions_2d of {motion.name} has {len(views)} cameras, expected {len(cameras)}"
        )
    length = len(motion.positions)
    clips = []
    for camera, pixels in zip(cameras, views, strict=True):
        what = f"{path}: positions_2d of {motion.name}, camera {camera.name}"
        if len(pixels) < length:
            raise BenchmarkError(f"{what}, has {len(pixels)} frames, fewer than the {length} of the 3D poses")
        require_pixels(pixels, f"{what},")
        pose = camera.to_camera(motion.positions)
        clips.append(
            Clip(
                name=f"{motion.name}@{camera.name}",
                pose_2d=camera.normalise_screen(convert(pixels[:length], layout, H36M_17, conversion)),
                pose_3d=pose - pose[:, :1],
                root=pose[:, 0],
                camera=camera,
                fps=motion.fps,
            )
        )
    return clips


def _read_2d(path: Path) -> tuple[Layout, dict[str, tuple[Float[Tensor, "_ joints 2"], ...]]]:
    """The layout and, by motion name, the 2D poses of every camera."""
    found = read_npz_2d(path)
    layout = _layout(found, path)
    for name, views in found.poses.items():
        for pose in views:
            layout.require(pose, f"{path}: positions_2d of {name}")
    return layout, found.poses


def _layout(found: Keypoints2D, path: Path) -> Layout:
    """The layout that a file's metadata describe by name and symmetry, or without a name by symmetry."""
    left, right = set(found.left), set(found.right)
    for known, layout in _LAYOUTS.items():
        same = left == set(layout.left) and right == set(layout.right)
        if same and found.layout_name in (None, known):
            return layout
    described = f"layout_name {found.layout_name!r}, left {sorted(left)} and right {sorted(right)}"
    raise BenchmarkError(
        f"{path}: metadata has {described}; known: "
        + "; ".join(f"{k!r}, left {sorted(v.left)} and right {sorted(v.right)}" for k, v in _LAYOUTS.items())
    )
