"""Arrays in MATLAB files, in the order that MATLAB v7.3 files have on disk."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from htp_diffusion.base.errors import DATA_PAGE, BenchmarkError

_NEW, _OLD = b"MATLAB 7.3", b"MATLAB 5.0"


def read_mat(path: str | Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read numeric arrays of a MATLAB file.

    MATLAB counts the first axis fastest. A v7.3 file is HDF5 and lists the axes the other way round: what
    MATLAB calls 3 x 17 x 1 x frames is (frames, 1, 17, 3) there, and here for files of every version.

    Args:
        path: The file. v7.3 needs the package h5py, older files scipy.
        keys: The variables to read.

    Raises:
        BenchmarkError: No such file, not a MATLAB file, the package is not installed, or a variable is
            missing or not an array of numbers.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(len(_NEW))
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read ({error.strerror}); {DATA_PAGE}") from None
    if head not in (_NEW, _OLD):
        raise BenchmarkError(f"{path}: not a MATLAB file of version 7.3 or 5")
    try:
        arrays = _read_new(path, keys) if head == _NEW else _read_old(path, keys)
    except BenchmarkError:
        raise
    except Exception as error:  # of a damaged file, the packages raise anything
        raise BenchmarkError(f"{path}: damaged MATLAB file ({type(error).__name__}: {error})") from None
    for key, value in arrays.items():
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            raise BenchmarkError(f"{path}: {key} is not an array of numbers")
    return arrays


def _read_new(path: str | Path, keys: Sequence[str]) -> dict[str, Any]:
    """Variables of a v7.3 file, which is HDF5."""
    package = _package("h5py", path)
    with package.File(path, "r") as file:
        _check_keys(keys, list(file), path)
        return {key: np.asarray(file[key]) for key in keys}


def _read_old(path: str | Path, keys: Sequence[str]) -> dict[str, Any]:
    """Variables of an older file, whose axes are turned round."""
    package = _package("scipy.io", path)
    variables = package.loadmat(path, variable_names=list(keys))
    _check_keys(keys, [name for name in variables if not name.startswith("__")], path)
    return {key: np.asarray(variables[key]).T for key in keys}


def _package(name: str, path: str | Path) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise BenchmarkError(
            f"{path}: this version of MATLAB file needs the package {package}: pip install {package}"
        ) from None


def _check_keys(keys: Sequence[str], found: Sequence[str], path: str | Path) -> None:
    missing = [key for key in keys if key not in found]
    if missing:
        raise BenchmarkError(
            f"{path}: no variable {', '.join(missing)}; the file has {', '.join(found) or 'none'}"
        )
