"""The field's npz layout (VideoPose3D's): nested dictionaries of poses by subject and action."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import DATA_PAGE, BenchmarkError
from htp_diffusion.base.units import MEBIBYTE
from htp_diffusion.data.formats.table import is_list
from htp_diffusion.data.formats.told import told
from htp_diffusion.data.formats.units import UNITS, Unit, require_unit
from htp_diffusion.data.formats.unpickle import restricted_loads
from htp_diffusion.data.motion import Motion
from htp_diffusion.pose.layout import H36M_17

_H36M_32_TO_17 = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""The joints of the 32 in the original Human3.6M files that the field keeps."""

_LEAST_LIMIT, _MOST_PACKED = 256 * MEBIBYTE, 50
"""Bytes of one key, unpacked: so many are always read, more if they are at most so many times the file's.
Poses pack to a half; zeros, to a thousandth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Keypoints2D:
    """2D poses of a data_2d_*.npz file.

    Attributes:
        poses: By motion name ("S1/Walking"), one pose sequence a camera, pixels.
        layout_name: The joint layout that the file names, such as "h36m"; None if it names none, as
            VideoPose3D's data_2d_h36m_gt.npz.
        num_joints: Number of joints.
        left: Indices of the left joints.
        right: Indices of the right joints, paired with ``left``.
    """

    poses: dict[str, tuple[Float[Tensor, "_ joints 2"], ...]]
    layout_name: str | None
    num_joints: int
    left: tuple[int, ...]
    right: tuple[int, ...]


def read_npz(path: str | Path, fps: float = 60.0, unit: Unit = "metres") -> list[Motion]:
    """Read a data_3d_*.npz: ``positions_3d`` = {subject: {action: (frames, joints, 3)}}, z up.

    Files of 17 joints are taken as they are; the 32 joints of the original Human3.6M are reduced to the 17.

    Args:
        path: The file.
        fps: Its frame rate, which the layout does not tell: 60 for the CMU file, 50 for Human3.6M.
        unit: Its unit, which the layout does not tell either.

    Returns:
        The motions in metres, named "subject/action", in the file's order.

    Raises:
        BenchmarkError: No such file, not this layout, a shape that is not a pose sequence, a value that is
            not finite, poses of another unit, or a pickle that holds anything but arrays and plain
            containers.
    """
    tree = read_object(Path(path), "positions_3d")
    motions = []
    for name, value in leaves(tree, path, "positions_3d"):
        positions = pose_array(value, 3, f"{path}: positions_3d of {name}")
        joints = positions.shape[1]
        if joints == 32:
            positions = positions[:, list(_H36M_32_TO_17)]
        elif joints != 17:
            raise BenchmarkError(
                f"{path}: positions_3d of {name} has {joints} joints, expected 17 or 32 (Human3.6M)"
            )
        what = f"{path}: positions_3d of {name}"
        require_unit(positions, H36M_17, unit, what, lambda fitting: f"--unit {fitting}")
        motions.append(Motion(name=name, positions=positions * UNITS[unit], fps=fps))
    return motions


def read_npz_2d(path: str | Path) -> Keypoints2D:
    """Read a data_2d_*.npz: ``positions_2d`` = {subject: {action: [poses of each camera]}} and ``metadata``.

    Poses are (frames, joints, 2), pixels.

    Raises:
        BenchmarkError: As ``read_npz``; or the metadata do not describe the poses.
    """
    path = Path(path)
    metadata = read_object(path, "metadata")
    try:
        num_joints = int(metadata["num_joints"])
        left, right = (tuple(int(joint) for joint in side) for side in metadata["keypoints_symmetry"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BenchmarkError(
            f"{path}: metadata must hold num_joints and keypoints_symmetry (left, right): "
            f"{type(error).__name__} {error}"
        ) from None
    poses = {}
    for name, value in leaves(read_object(path, "positions_2d"), path, "positions_2d"):
        if not is_list(value) or not len(value):
            raise BenchmarkError(f"{path}: positions_2d of {name} must be a list with one array a camera")
        views = tuple(
            pose_array(v, 2, f"{path}: positions_2d of {name}, camera {i}") for i, v in enumerate(value)
        )
        for pose in views:
            if pose.shape[1] != num_joints:
                raise BenchmarkError(
                    f"{path}: positions_2d of {name} has {pose.shape[1]} joints, the metadata {num_joints}"
                )
        poses[name] = views
    name = metadata.get("layout_name")
    if not isinstance(name, (str, type(None))):
        raise BenchmarkError(f"{path}: layout_name of the metadata expects a text, got {told(name)}")
    return Keypoints2D(poses=poses, layout_name=name, num_joints=num_joints, left=left, right=right)


def read_object(path: Path, key: str) -> dict[Any, Any]:
    """The dictionary that one key of an npz file wraps in an object array."""
    value = read_member(path, key)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        raise BenchmarkError(
            f"{path}: {key} is an array of {value.dtype}, expected a dictionary by subject and action"
        )
    if not isinstance(value, dict):
        raise BenchmarkError(f"{path}: {key} holds a {type(value).__name__}, expected a dictionary")
    return value


def npz_keys(path: Path) -> set[str]:
    """The keys of an npz file.

    Raises:
        BenchmarkError: No such file, or no npz file.
    """
    with _opened(path) as archive:
        return {name.removesuffix(".npy") for name in archive.namelist()}


def read_member(path: Path, key: str, limit: int | None = None) -> Any:
    """What one key of an npz file holds: an array of numbers, or what an object array wraps.

    Args:
        path: The file.
        key: The key.
        limit: Most bytes that it may have unpacked; None for more than data sets have.

    Raises:
        BenchmarkError: No such file or key, no npz file, one over the limit, or a pickle that holds anything
            but arrays and plain containers.
    """
    with _opened(path) as archive:
        names = archive.namelist()
        if f"{key}.npy" not in names:
            keys = ", ".join(name.removesuffix(".npy") for name in names)
            raise BenchmarkError(f"{path}: no key {key}; the file has {keys or 'no keys'}")
        size = archive.getinfo(f"{key}.npy").file_size
        if limit is None:
            limit = max(_LEAST_LIMIT, _MOST_PACKED * path.stat().st_size)
        if size > limit:
            raise BenchmarkError(
                f"{path}: {key} has {size / MEBIBYTE:.4g} MiB, over the limit of {limit / MEBIBYTE:.4g}"
            )
        with archive.open(f"{key}.npy") as member:
            version = np.lib.format.read_magic(member)
            if version == (1, 0):
                shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
            else:
                shape, fortran, dtype = np.lib.format.read_array_header_2_0(member)
            data = member.read()
        if dtype.kind != "O":
            return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    value = restricted_loads(data, str(path))
    return value.item() if isinstance(value, np.ndarray) and value.shape == () else value


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive; what goes wrong while it is read is one error that names the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BenchmarkError:
        raise
    except FileNotFoundError:
        raise BenchmarkError(f"{path}: no such file; {DATA_PAGE}") from None
    except Exception as error:  # of a damaged archive or header, Python's parsers raise anything
        raise BenchmarkError(f"{path}: not a readable npz file ({type(error).__name__}: {error})") from None


def leaves(tree: dict[Any, Any], path: str | Path, key: str) -> Iterator[tuple[str, Any]]:
    """The entries of a {subject: {action: value}} dictionary, named "subject/action"."""
    if not tree:
        raise BenchmarkError(f"{path}: {key} is empty")
    for subject, actions in tree.items():
        if not isinstance(actions, dict):
            raise BenchmarkError(
                f"{path}: {key} of {subject} holds a {type(actions).__name__}, expected a dictionary"
            )
        for action, value in actions.items():
            yield f"{subject}/{action}", value


def pose_array(value: Any, dim: int, what: str) -> Float[Tensor, "frames joints dim"]:
    """A numpy array as float32 poses, or an error that begins with ``what``."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise BenchmarkError(f"{what} is not an array of numbers")
    if value.ndim != 3 or value.shape[-1] != dim or 0 in value.shape:
        raise BenchmarkError(f"{what} has shape {value.shape}, expected (frames, joints, {dim})")
    pose = torch.from_numpy(value.astype("float32"))  # a copy in native byte order
    if not torch.isfinite(pose).all():
        raise BenchmarkError(f"{what} holds values that are not finite")
    return pose
