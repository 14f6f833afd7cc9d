"""MATLAB files, read by a process of their own; and MPI-INF-3DHP's annotations in them."""

import numpy as np
import pytest
from written import mpi_poses as poses

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats import matlab
from htp_diffusion.data.formats.matlab import read_mat
from htp_diffusion.data.formats.mpi_inf_3dhp import read_mpi_mat
from htp_diffusion.data.formats.mpi_inf_3dhp_cameras import mpi_test_camera

HEADER = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(128)


def annotations(frames=4):
    """The variables of annot_data.mat as v7.3 stores them: (frames, 1, 17, .), (frames, 1)."""
    table = poses(mpi_test_camera("TS5"), frames, 5)
    return {
        "annot2": table["data_2d"][:, None].astype("float64"),
        "annot3": table["data_3d"][:, None].astype("float64"),
        "univ_annot3": table["data_3d"][:, None] * 0.9,
        "valid_frame": np.array([[0], [1], [1], [1]], dtype="uint8")[:frames],
    }


def check_sequence(path):
    stored = annotations()
    for annotation in ("annot3", "univ_annot3"):
        item = read_mpi_mat(path, annotation)
        assert (item.clip.name, item.annotation) == (f"TS5@TS5:{annotation}", annotation)
        millimetres = stored[annotation][:, 0]
        back = (item.clip.pose_3d + item.clip.root[:, None]).numpy() * 1000
        np.testing.assert_allclose(back, millimetres, atol=1e-2)
        expected = stored["annot2"][:, 0] / 960 - [1, 1080 / 1920]
        np.testing.assert_allclose(item.clip.pose_2d.numpy(), expected, atol=1e-6)
        assert item.valid.tolist() == [False, True, True, True]


def stand_in(folder, monkeypatch, name, source):
    """A package of this name for the process that reads MATLAB files, before any that is installed."""
    (folder / "packages").mkdir(exist_ok=True)
    (folder / "packages" / f"{name}.py").write_text(source)
    monkeypatch.setenv("PYTHONPATH", str(folder / "packages"))


# What the reader uses of h5py: a file that is a mapping of arrays.
STAND_IN = """
from contextlib import contextmanager
from pathlib import Path
import numpy as np

@contextmanager
def File(path, mode):
    assert mode == "r"
    yield dict(np.load(Path(__file__).with_name("arrays.npz")))
"""

# What the reader uses of SciPy: axes are MATLAB's, which HDF5 turns round.
OLD_STAND_IN = """
import sys, types
from pathlib import Path
import numpy as np

def loadmat(path, variable_names):
    arrays = dict(np.load(Path(__file__).with_name("arrays.npz")))
    return {"__header__": b"MATLAB 5.0"} | {name: arrays[name].T for name in variable_names}

sys.modules["scipy.io"] = types.SimpleNamespace(loadmat=loadmat)
"""


def test_an_old_matlab_file_through_a_stand_in(tmp_path, monkeypatch):
    folder = tmp_path / "TS5"
    folder.mkdir()
    (folder / "annot_data.mat").write_bytes(HEADER.replace(b"7.3", b"5.0"))
    stand_in(tmp_path, monkeypatch, "scipy", OLD_STAND_IN)
    np.savez(tmp_path / "packages" / "arrays.npz", **annotations())
    check_sequence(folder / "annot_data.mat")


def test_a_new_matlab_file_through_a_stand_in(tmp_path, monkeypatch):
    folder = tmp_path / "TS5"
    folder.mkdir()
    (folder / "annot_data.mat").write_bytes(HEADER)
    stand_in(tmp_path, monkeypatch, "h5py", STAND_IN)
    np.savez(tmp_path / "packages" / "arrays.npz", **annotations(), name=np.array(["TS5"]))
    check_sequence(folder / "annot_data.mat")
    assert read_mpi_mat(folder / "annot_data.mat", "annot3", sequence="TS6").subject == "TS6"
    with pytest.raises(BenchmarkError, match="no variable depth; the file has annot2, annot3"):
        read_mat(folder / "annot_data.mat", ["annot2", "depth"])
    with pytest.raises(BenchmarkError, match=r"annot_data\.mat: name is not an array of numbers$"):
        read_mat(folder / "annot_data.mat", ["annot2", "name"])
    (tmp_path / "annot_data.mat").write_bytes(HEADER)
    with pytest.raises(BenchmarkError, match=r"no MPI-INF-3DHP test sequence .*; there are TS1"):
        read_mpi_mat(tmp_path / "annot_data.mat", "annot3")


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"its reader ended with -11"),
        ("File = lambda *_: 1 / 0", "ZeroDivisionError: division by zero"),
        ("File = lambda *_: bytearray(10**9)", "MemoryError: "),
        ("import time; time.sleep(60)", "not read within 1 s"),
    ],
)
def test_a_package_that_fails_or_ends_the_process_is_one_line(tmp_path, monkeypatch, faults, told):
    (tmp_path / "a.mat").write_bytes(HEADER)
    stand_in(tmp_path, monkeypatch, "h5py", faults)
    if "sleep" in faults:
        monkeypatch.setattr(matlab, "_SECONDS", 1.0)
    with pytest.raises(BenchmarkError, match=rf"a\.mat: damaged MATLAB file \({told}\)$"):
        read_mat(tmp_path / "a.mat", ["annot2"])


def test_a_new_matlab_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    folder = tmp_path / "TS5"
    folder.mkdir()
    path = folder / "annot_data.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        for key, value in annotations().items():
            file[key] = value
    with open(path, "r+b") as file:
        file.write(HEADER)
    check_sequence(path)
    path.write_bytes(HEADER)
    with pytest.raises(BenchmarkError, match="damaged MATLAB file"):
        read_mat(path, ["annot2"])


def test_an_old_matlab_file(tmp_path):
    io = pytest.importorskip("scipy.io")
    folder = tmp_path / "TS5"
    folder.mkdir()
    # MATLAB's own order of the axes is the other way round.
    io.savemat(folder / "annot_data.mat", {key: value.T for key, value in annotations().items()})
    check_sequence(folder / "annot_data.mat")


@pytest.mark.parametrize(
    ("head", "package"), [(HEADER, "h5py"), (b"MATLAB 5.0 MAT-file".ljust(128), "scipy")]
)
def test_a_missing_package_is_named(tmp_path, monkeypatch, head, package):
    (tmp_path / "a.mat").write_bytes(head)
    stand_in(tmp_path, monkeypatch, package, "raise ImportError")
    with pytest.raises(BenchmarkError, match=f"needs the package {package}: pip install {package}$"):
        read_mat(tmp_path / "a.mat", ["annot2"])


def test_a_file_that_is_not_matlabs(tmp_path):
    (tmp_path / "a.mat").write_text("hello")
    with pytest.raises(BenchmarkError, match="not a MATLAB file"):
        read_mat(tmp_path / "a.mat", ["annot2"])
    with pytest.raises(BenchmarkError, match="cannot be read"):
        read_mat(tmp_path / "none.mat", ["annot2"])
