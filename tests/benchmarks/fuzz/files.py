"""Small valid files of every format that the data room reads, and how each is read."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import detector_files
import numpy as np
from test_prepare_cmu import amc_text, asf_text, bvh_text
from written import write_checkpoints, write_h36m, write_motionbert, write_mpi_test, write_npz

from htp_diffusion.base.tensors import read_tensors
from htp_diffusion.data.formats.motionbert import read_motionbert
from htp_diffusion.data.formats.mpi_inf_3dhp import read_mpi_mat, read_mpi_test
from htp_diffusion.data.formats.npz import read_npz, read_npz_2d
from htp_diffusion.data.keypoints.reading import read_detections
from htp_diffusion.data.mocap.amc import read_amc
from htp_diffusion.data.mocap.asf import read_asf
from htp_diffusion.data.mocap.bvh import forward_kinematics, read_bvh
from htp_diffusion.lifting.watched import watch
from htp_diffusion.models.checkpoint import load_denoiser, read_record


@dataclass(frozen=True)
class Kind:
    """A format.

    Attributes:
        name: For people.
        write: Writes a valid file into a folder; returns its path.
        read: Reads it.
        member: Change this member of the archive, so that checksums do not hide what is inside.
    """

    name: str
    write: Callable[[Path], Path]
    read: Callable[[Path], object]
    member: str | None = None

    def payload(self, path):
        """The bytes to damage."""
        if self.member is None:
            return path.read_bytes()
        with zipfile.ZipFile(path) as archive:
            return archive.read(self.member)

    def put(self, path, payload):
        """Write damaged bytes in their place."""
        if self.member is None:
            path.write_bytes(payload)
            return
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(self.member, payload)


def _npz(folder):
    write_npz(folder / "a.npz", ["S01/01_01", "A/one"])
    return folder / "a.npz"


def _text(name, text):
    def write(folder):
        (folder / name).write_text(text)
        return folder / name

    return write


def _read_amc(path):
    skeleton = path.with_name("skeleton.asf")
    if not skeleton.exists():
        skeleton.write_text(asf_text())
    return read_amc(path, read_asf(skeleton))


def _checkpoint(ending):
    def write(folder):
        write_checkpoints(folder)
        return next(
            path for path in sorted(folder.iterdir()) if path.name.startswith("htp") and path.suffix == ending
        )

    return write


def _mat(folder, package):
    frames = 4
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 250, (3, 17, 1, frames)) + np.array([0, 0, 3500])[:, None, None, None]
    for hip, knee in ((8, 9), (11, 12)):
        poses[:, knee] = poses[:, hip] + np.array([0, 430, 0])[:, None, None]
    arrays = {
        "annot2": rng.uniform(300, 900, (2, 17, 1, frames)), "annot3": poses, "univ_annot3": poses,
        "valid_frame": np.ones((1, frames)), "activity_annotation": np.ones((1, frames)),
    }  # fmt: skip
    path = folder / "annot_data.mat"
    if package.__name__.startswith("scipy"):
        package.savemat(path, arrays)
        return path
    with package.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
    content = bytearray(path.read_bytes())
    content[:128] = b"MATLAB 7.3 MAT-file".ljust(128)
    path.write_bytes(content)
    return path


def mat_kind(name, package):
    """MATLAB files, where the package that writes and reads them is installed."""
    return Kind(name, lambda folder: _mat(folder, package), lambda path: read_mpi_mat(path, "annot3", "TS1"))


def _alphapose(folder):
    return detector_files.alphapose(folder / "a.json", detector_files.people(6, 17))


def _read_mpi(path):
    return read_mpi_test(path, "annot3")


def _read_motionbert(path):
    return read_motionbert(path, "test")


KINDS = (
    Kind("npz", _npz, read_npz),
    Kind("npz, inside", _npz, read_npz, "positions_3d.npy"),
    Kind("2D npz", lambda folder: write_h36m(folder)[1], read_npz_2d),
    Kind("MPI npz", lambda folder: write_mpi_test(folder / "a.npz"), _read_mpi),
    Kind("MPI npz, inside", lambda folder: write_mpi_test(folder / "a.npz"),
         _read_mpi, "data.npy"),
    Kind("pickle", lambda folder: write_motionbert(folder / "a.pkl"), _read_motionbert),
    Kind("ASF", _text("a.asf", asf_text()), read_asf),
    Kind("AMC", _text("a.amc", amc_text(3)), _read_amc),
    Kind("BVH", _text("a.bvh", bvh_text(3)), lambda path: forward_kinematics(read_bvh(path), 1.0)),
    Kind("detections JSON", _alphapose, lambda path: watch(read_detections(path, image_size=(1920, 1080)))),
    Kind("checkpoint JSON", _checkpoint(".json"), read_record),
    Kind("checkpoint JSON, built", _checkpoint(".json"), load_denoiser),
    Kind("checkpoint tensors", _checkpoint(".safetensors"), read_tensors),
)  # fmt: skip
