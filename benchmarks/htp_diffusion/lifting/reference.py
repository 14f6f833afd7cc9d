"""Reference: triangulated 3D joints of a video, and how far lifted poses lie from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.npz import npz_keys, read_member
from htp_diffusion.data.formats.units import require_unit
from htp_diffusion.lifting.triangulation import triangulate
from htp_diffusion.lifting.watched import Watched
from htp_diffusion.pose.cameras import denormalise_screen
from htp_diffusion.pose.conversions import convert
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.layouts import MEDIAPIPE_33
from htp_diffusion.pose.lens import LensCamera
from htp_diffusion.scoring.metrics import mpjpe, p_mpjpe

LIMB_JOINTS = tuple(
    index
    for index, joint in enumerate(H36M_17.joints)
    if joint.endswith(("hip", "knee", "ankle", "shoulder", "elbow", "wrist"))
)
"""The 12 joints that every detector sees itself; the other five are made of them by rules."""

SOUND_WITHIN = 0.25
"""A bone that is a quarter longer or shorter than its median was triangulated from wrong points."""

_FILLED = 0.1  # weight of a joint that was not seen but filled in
_SIZE_LIMIT = 2**28
_FAR = 1e4  # metres: nobody stands as far from a camera
_MODERATE = 1e6  # pixels, metres and a lens's factors are below it, and squares of it are still exact enough
_APART = 1e-3  # metres: rays of cameras that stand nearer to each other do not tell a depth
_ROUNDED = 1e-2  # by which the rows of a rotation may miss their length and right angles
_BONES = (
    *(("left_hip", "right_hip"), ("left_shoulder", "right_shoulder")),
    *(
        (f"{side}_{near}", f"{side}_{far}")
        for side in ("left", "right")
        for near, far in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
    ),
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Reference:
    """Triangulated joints.

    Attributes:
        positions: The 17 Human3.6M joints, world, metres.
        sound: Frames in which hips, shoulders and limbs are as long as in the middle frame, to a quarter.
        rotations: World to camera, of each camera; None if the file has none.
    """

    positions: Float[Tensor, "frames joints 3"]
    sound: Bool[Tensor, " frames"]
    rotations: Float[Tensor, "cameras 3 3"] | None

    def rotation_of(self, camera: int) -> Float[Tensor, "3 3"]:
        """World to camera of a camera, numbered from 1.

        Raises:
            BenchmarkError: No such camera.
        """
        if self.rotations is None:
            raise BenchmarkError("the reference tells no rotation of its cameras: leave --camera out")
        if not 1 <= camera <= len(self.rotations):
            raise BenchmarkError(f"the reference has cameras 1 to {len(self.rotations)}, got {camera}")
        return self.rotations[camera - 1]


@dataclass(frozen=True, kw_only=True)
class Score:
    """Distance from a reference, mm: over all frames, and over those in which the reference is sound.

    Attributes:
        name: The model.
        frames: Frames that both have.
        p_mpjpe, limbs: After Procrustes of each frame, of the 17 joints and of the 12 of the limbs alone.
        mpjpe: Relative to the root in the camera's frame; None without the camera.
        sound_frames, sound_p_mpjpe, sound_limbs, sound_mpjpe: The same over sound frames; None without any.
    """

    name: str
    frames: int
    p_mpjpe: float
    limbs: float
    mpjpe: float | None
    sound_frames: int
    sound_p_mpjpe: float | None
    sound_limbs: float | None
    sound_mpjpe: float | None


def read_reference(path: Path, rule: str) -> Reference:
    """Read MediaPipe's 33 landmarks of a video, triangulated.

    Args:
        path: npz with ``points`` (frames, 33, 3), world, metres, and perhaps ``rotation`` (cameras, 3, 3).
        rule: The conversion to the 17 joints: the one that made the lifter's 2D joints.

    Raises:
        BenchmarkError: No such file, another content or unit, or no such rule.
    """
    points = _numbers(path, "points", (MEDIAPIPE_33.num_joints, 3), _FAR)
    positions = convert(points, MEDIAPIPE_33, H36M_17, rule)
    require_unit(positions, H36M_17, "metres", f"{path}: points")
    rotations = _rotations(path) if "rotation" in npz_keys(path) else None
    return Reference(positions=positions, sound=sound_frames(positions), rotations=rotations)


def read_cameras(path: Path) -> list[LensCamera]:
    """The calibrated cameras of a reference.

    Args:
        path: npz with ``rotation`` (cameras, 3, 3), ``translation`` (cameras, 3; after the rotation, metres),
            ``intrinsics`` (cameras, 3, 3), ``distortion`` (cameras, 5) and ``sizes`` (cameras, 2).

    Raises:
        BenchmarkError: A part is missing or has another shape, or is no camera's; or two cameras stand in one
            place.
    """
    shapes = {"translation": (3,), "intrinsics": (3, 3), "distortion": (5,)}
    parts = {"rotation": _rotations(path).double()}
    parts |= {key: _numbers(path, key, shape, _MODERATE).double() for key, shape in shapes.items()}
    pixels = _numbers(path, "sizes", (2,), _MODERATE)
    if pixels.min() < 1:
        raise BenchmarkError(f"{path}: sizes expects at least 1 pixel, got {pixels.min():g}")
    sizes = pixels.int().tolist()
    if {len(part) for part in parts.values()} != {len(sizes)}:
        raise BenchmarkError(f"{path}: {', '.join(parts)} and sizes tell of different numbers of cameras")
    focal = parts["intrinsics"].diagonal(dim1=1, dim2=2)[:, :2]
    if focal.min() <= 0:
        raise BenchmarkError(f"{path}: intrinsics expects focal lengths above 0, got {focal.min():g}")
    centres = -(parts["rotation"].mT @ parts["translation"][..., None])[..., 0]
    if len(sizes) > 1 and torch.pdist(centres).min() < _APART:
        raise BenchmarkError(
            f"{path}: two cameras stand in one place, from which nothing can be triangulated"
        )
    return [
        LensCamera(**{key: part[index] for key, part in parts.items()}, image_size=(width, height))
        for index, (width, height) in enumerate(sizes)
    ]


def triangulated_reference(
    given: Reference, cameras: Sequence[LensCamera], views: Sequence[Watched]
) -> Reference:
    """A reference whose joints are triangulated anew.

    Args:
        given: The reference as it was.
        cameras: Cameras of it.
        views: What each of them saw.

    Raises:
        BenchmarkError: A frame that fewer than two of them saw, or detections that are not of these cameras.
    """
    count = len(given.positions)
    pixels = torch.zeros(len(views), count, H36M_17.num_joints, 2)
    weight = torch.zeros(pixels.shape[:-1])
    for index, (view, camera) in enumerate(zip(views, cameras, strict=True)):
        rows = _rows(view.frames, count)
        inside = (rows >= 0) & (rows < count)
        pixels[index, rows[inside]] = denormalise_screen(view.pose_2d[inside], camera.image_size)
        weight[index, rows[inside]] = torch.where(view.filled[inside], _FILLED, 1.0)
    unseen = ((weight > 0).sum(dim=0) < 2).any(dim=1)
    if unseen.any():
        raise BenchmarkError(
            f"frame {int(unseen.nonzero()[0])} of the reference is seen by fewer than two of the views"
        )
    positions = triangulate(pixels, weight, cameras)
    if not positions.abs().max() <= _FAR:
        raise BenchmarkError(f"a joint triangulated from the views lies {positions.abs().max():g} m away")
    return Reference(positions=positions, sound=sound_frames(positions), rotations=given.rotations)


def _rows(frames: Int64[Tensor, " frames"], count: int) -> Int64[Tensor, " frames"]:
    """Frame numbers to rows of ``count``."""
    return frames - first_number(frames, count)


def first_number(frames: Int64[Tensor, " frames"], count: int) -> int:
    """The number of a video's first frame: 1 where the last of ``count`` frames has that number, else 0."""
    return 1 if int(frames[-1]) == count else 0


def sound_frames(positions: Float[Tensor, "frames joints 3"]) -> Bool[Tensor, " frames"]:
    """Frames in which no bone's length differs from its median by more than ``SOUND_WITHIN``."""
    ends = [[H36M_17.index(joint) for joint in bone] for bone in _BONES]
    near, far = torch.tensor(ends).T
    lengths = (positions[:, near] - positions[:, far]).norm(dim=-1)
    return ((lengths / lengths.median(dim=0).values - 1).abs() <= SOUND_WITHIN).all(dim=1)


def score(
    name: str,
    poses: Float[Tensor, "frames joints 3"],
    frames: Int64[Tensor, " frames"],
    reference: Reference,
    camera: int | None = None,
) -> Score:
    """Compare lifted poses with a reference, frame by frame.

    Args:
        name: The model.
        poses: Camera frame, relative to the root, metres.
        frames: Frame numbers. Where the last one is the number of the reference's frames, they are counted
            from 1, else from 0.
        reference: The reference.
        camera: The camera's number, from 1; None leaves the error without Procrustes out.

    Raises:
        BenchmarkError: No frame in common, or no such camera.
    """
    count = len(reference.positions)
    rows = _rows(frames, count)
    both = (rows >= 0) & (rows < count)
    if not both.any():
        raise BenchmarkError(f"the reference has frames 0 to {count - 1}, the poses {int(frames[0])} and on")
    predicted, target = poses[both], reference.positions[rows[both]].to(poses)
    errors = {
        "p_mpjpe": p_mpjpe(predicted, target),
        "limbs": p_mpjpe(predicted[:, LIMB_JOINTS], target[:, LIMB_JOINTS]),
        "mpjpe": None,
    }
    if camera is not None:
        relative = (target - target[:, :1]) @ reference.rotation_of(camera).to(target).T
        errors["mpjpe"] = mpjpe(predicted, relative)
    sound = reference.sound[rows[both]]

    def mean(key: str, where: Tensor | None = None) -> float | None:
        values = errors[key]
        if values is None or (where is not None and not where.any()):
            return None
        return float((values if where is None else values[where]).mean())

    return Score(
        name=name,
        frames=int(both.sum()),
        p_mpjpe=mean("p_mpjpe") or 0.0,
        limbs=mean("limbs") or 0.0,
        mpjpe=mean("mpjpe"),
        sound_frames=int(sound.sum()),
        sound_p_mpjpe=mean("p_mpjpe", sound),
        sound_limbs=mean("limbs", sound),
        sound_mpjpe=mean("mpjpe", sound),
    )


def _rotations(path: Path) -> Float[Tensor, "cameras 3 3"]:
    rotations = _numbers(path, "rotation", (3, 3), _MODERATE)
    if (rotations @ rotations.mT - torch.eye(3)).abs().max() > _ROUNDED:
        raise BenchmarkError(f"{path}: rotation expects rotations: rows of length 1 at right angles")
    return rotations


def _numbers(path: Path, key: str, shape: tuple[int, ...], most: float) -> Float[Tensor, " rows *shape"]:
    value = read_member(path, key, _SIZE_LIMIT)
    if (
        not isinstance(value, np.ndarray)
        or value.dtype.kind not in "fiu"
        or value.shape[1:] != shape
        or not len(value)
    ):
        raise BenchmarkError(f"{path}: {key} expects numbers of shape (rows, {', '.join(map(str, shape))})")
    with np.errstate(over="ignore"):  # what becomes infinite is refused
        numbers = torch.from_numpy(value.astype("float32"))
    if not torch.isfinite(numbers).all():
        raise BenchmarkError(f"{path}: {key} holds a value that is not finite")
    if numbers.abs().max() > most:
        raise BenchmarkError(f"{path}: {key} expects numbers up to {most:,.0f}, got {numbers.abs().max():g}")
    return numbers
