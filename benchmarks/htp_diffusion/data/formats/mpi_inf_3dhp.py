"""MPI-INF-3DHP: the public npz files of P-STMO and D3DP, and the data set's own annot_data.mat."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.matlab import read_mat
from htp_diffusion.data.formats.mpi_inf_3dhp_cameras import MPI_TEST, mpi_test_camera, mpi_train_camera
from htp_diffusion.data.formats.npz import pose_array, read_object
from htp_diffusion.data.formats.told import told
from htp_diffusion.data.formats.units import require_pixels, require_unit
from htp_diffusion.data.motion import Clip
from htp_diffusion.pose.cameras import Camera
from htp_diffusion.pose.layout import MPI_INF_3DHP_17, Layout

MPI_ANNOTATIONS = ("annot3", "univ_annot3")
"""annot3: the poses as they were, which the cameras project onto the 2D poses (D3DP's _ori files);
univ_annot3: each person scaled to the height of Human3.6M's universal skeleton (P-STMO's files)."""

_MOST_FPS = 1e6

MPI_TEST_FPS = 25.0
"""The files of the test set do not tell it; half of the training sequences have it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MPIClip:
    """A sequence as one camera saw it, in MPI-INF-3DHP's own order of joints.

    Attributes:
        clip: The motion, relative to joint ``layout.root``; its name ends in the annotation.
        subject: "S1" to "S8" in training, "TS1" to "TS6" in the test set.
        sequence: "Seq1" or "Seq2" in training, the subject's name in the test set.
        annotation: One of ``MPI_ANNOTATIONS``, as the caller said.
        valid: Frames that the evaluation counts.
        layout: The order of the joints.
    """

    clip: Clip
    subject: str
    sequence: str
    annotation: str
    valid: Bool[Tensor, " frames"]
    layout: Layout = MPI_INF_3DHP_17


def read_mpi_train(path: str | Path, annotation: str) -> list[MPIClip]:
    """Read data_train_3dhp.npz or data_train_3dhp_ori.npz.

    ``data`` = {"S1 Seq1": [{camera: {"data_2d", "data_3d"}}, fps]}: pixels and millimetres in the camera
    frame, (frames, 17, .) in the order of ``MPI_INF_3DHP_17``.

    Args:
        path: The file.
        annotation: Which of ``MPI_ANNOTATIONS`` it holds; the file does not say which, you must.

    Returns:
        The clips in the file's order, every frame valid.

    Raises:
        BenchmarkError: Another annotation, no such file, a pickle that holds anything but arrays and plain
            containers, a missing key, a wrong shape, layout or unit, or an unknown camera.
    """
    _check(annotation)
    clips = []
    for name, value in read_object(Path(path), "data").items():
        what = f"{path}: {name}"
        subject, _, sequence = str(name).partition(" ")
        if not sequence:
            raise BenchmarkError(f"{what}: expected a name such as 'S1 Seq1': is this a training file?")
        if not isinstance(value, (list, tuple)) or len(value) != 2 or not isinstance(value[0], dict):
            raise BenchmarkError(f"{what} must hold [poses by camera, frames a second]")
        views, fps = value
        if not isinstance(fps, (int, float)) or not 0 < fps < _MOST_FPS:
            raise BenchmarkError(f"{what}: frames a second expects a number above 0, got {told(fps)}")
        for camera, table in views.items():
            view = f"{what}, camera {camera}"
            lens = mpi_train_camera(str(camera))
            pixels, pose = _poses(table, annotation, view)
            valid = torch.ones(len(pose), dtype=torch.bool)
            clip = _clip(pixels, pose, valid, f"{subject}/{sequence}", lens, annotation, float(fps), view)
            clips.append(
                MPIClip(clip=clip, subject=subject, sequence=sequence, annotation=annotation, valid=valid)
            )
    return clips


def read_mpi_test(path: str | Path, annotation: str) -> list[MPIClip]:
    """Read data_test_3dhp.npz or data_test_3dhp_ori.npz.

    ``data`` = {"TS1": {"data_2d", "data_3d", "valid"}}, as in training; TS5 and TS6 are normalised by their
    own image size, 1920 x 1080.

    Args:
        path: The file.
        annotation: Which of ``MPI_ANNOTATIONS`` it holds; the file does not say which, you must.

    Raises:
        BenchmarkError: As ``read_mpi_train``; or the valid frames are not one 0 or 1 a frame.
    """
    _check(annotation)
    clips = []
    for name, table in read_object(Path(path), "data").items():
        if name not in MPI_TEST:
            raise BenchmarkError(
                f"{path}: {name} is no test sequence ({', '.join(MPI_TEST)}): is this a test file?"
            )
        clips.append(_test_clip(table, str(name), annotation, f"{path}: {name}"))
    return clips


def read_mpi_mat(path: str | Path, annotation: str, sequence: str | None = None) -> MPIClip:
    """Read the annot_data.mat of one test sequence, which holds both annotations.

    MATLAB v7.3 files need the package h5py, older ones scipy.

    Args:
        path: The file.
        annotation: Which of ``MPI_ANNOTATIONS`` to take.
        sequence: "TS1" to "TS6"; None takes the name of the file's folder.

    Raises:
        BenchmarkError: As ``read_mpi_test``, or the package that the file needs is not installed.
    """
    _check(annotation)
    name = sequence or Path(path).resolve().parent.name
    arrays = read_mat(path, ("annot2", annotation, "valid_frame"))
    table = {
        "data_2d": _people(arrays["annot2"], f"{path}: annot2"),
        "data_3d": _people(arrays[annotation], f"{path}: {annotation}"),
        "valid": arrays["valid_frame"],
    }
    return _test_clip(table, name, annotation, str(path))


def _check(annotation: str) -> None:
    if annotation not in MPI_ANNOTATIONS:
        raise BenchmarkError(f"annotation expects one of {', '.join(MPI_ANNOTATIONS)}, got {annotation!r}")


def _people(array: Any, what: str) -> Any:
    """(frames, 1, 17, .) of the one person without the axis of people."""
    if array.ndim != 4 or array.shape[1] != 1:
        raise BenchmarkError(f"{what} has shape {array.shape}, expected (frames, 1, 17, 2 or 3)")
    return array[:, 0]


def _test_clip(table: Any, name: str, annotation: str, what: str) -> MPIClip:
    """A test sequence with its valid frames."""
    camera = mpi_test_camera(name)
    pixels, pose = _poses(table, annotation, what)
    valid = _valid(table, len(pose), what)
    clip = _clip(pixels, pose, valid, name, camera, annotation, MPI_TEST_FPS, what)
    return MPIClip(clip=clip, subject=name, sequence=name, annotation=annotation, valid=valid)


def _valid(table: Mapping[Any, Any], frames: int, what: str) -> Bool[Tensor, " frames"]:
    """The frames that count."""
    value = table.get("valid")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf" or value.size != frames:
        raise BenchmarkError(f"{what}: valid must be an array of {frames} numbers, one a frame")
    valid = torch.from_numpy(value.reshape(-1).astype("int64"))
    if not set(valid.unique().tolist()) <= {0, 1}:
        raise BenchmarkError(f"{what}: valid expects 0 or 1 for each frame")
    if not bool(valid.any()):
        raise BenchmarkError(f"{what}: no valid frame")
    return valid.bool()


def _poses(
    table: Any, annotation: str, what: str
) -> tuple[Float[Tensor, "frames joints 2"], Float[Tensor, "frames joints 3"]]:
    """Pixels and camera-frame millimetres, as they stand in a file."""
    if not isinstance(table, dict) or not {"data_2d", "data_3d"} <= set(table):
        has = ", ".join(map(str, table)) if isinstance(table, dict) else type(table).__name__
        raise BenchmarkError(f"{what} must hold data_2d and data_3d, it has {has}")
    pixels = pose_array(table["data_2d"], 2, f"{what}: data_2d")
    pose = pose_array(table["data_3d"], 3, f"{what}: data_3d ({annotation})")
    for key, poses in (("data_2d", pixels), ("data_3d", pose)):
        MPI_INF_3DHP_17.require(poses, f"{what}: {key}")
    if len(pixels) != len(pose):
        raise BenchmarkError(f"{what}: data_2d has {len(pixels)} frames, data_3d {len(pose)}")
    return pixels, pose


def _clip(
    pixels: Float[Tensor, "frames joints 2"],
    pose: Float[Tensor, "frames joints 3"],
    counts: Bool[Tensor, " frames"],
    name: str,
    camera: Camera,
    annotation: str,
    fps: float,
    what: str,
) -> Clip:
    """Pixels and camera-frame millimetres as a clip."""
    # Nobody vouches for the frames that do not count, which are most of the test set.
    require_unit(pose[counts], MPI_INF_3DHP_17, "millimetres", f"{what}: data_3d ({annotation})")
    require_pixels(pixels[counts], f"{what}: data_2d")
    root = pose[:, MPI_INF_3DHP_17.root]
    if not bool((root[counts, 2] > 0).all()):
        raise BenchmarkError(
            f"{what}: data_3d ({annotation}) is not in front of the camera: expected camera-frame poses, "
            "not root-relative ones"
        )
    return Clip(
        name=f"{name}@{camera.name}:{annotation}",
        pose_2d=camera.normalise_screen(pixels),
        pose_3d=(pose - root[:, None]) / 1000.0,
        root=root / 1000.0,
        camera=camera,
        fps=fps,
    )
