"""Reads a MATLAB file in a process of its own, which a damaged file can end with a segmentation fault.

python matlab_child.py FILE VARIABLE ...

It imports nothing of this package, so that it starts in a fraction of a second. Standard output gets a line
of JSON, null or what is wrong, then each variable as an npy file.
"""

import importlib
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

NEW = b"MATLAB 7.3"
MOST = 200 * 2**20  # bytes beyond twice the file's: a sequence takes 10 MB


class _RefusedError(Exception):
    """What is told to the user."""


def _read(path: str, keys: Sequence[str]) -> list[Any]:
    """The variables, axes as v7.3 files have them."""
    with open(path, "rb") as file:
        new = file.read(len(NEW)) == NEW
    package = _package("h5py" if new else "scipy.io")
    _limit_memory(MOST + 2 * os.path.getsize(path))
    arrays = _read_new(package, path, keys) if new else _read_old(package, path, keys)
    for key, value in zip(keys, arrays, strict=True):
        if value.dtype.kind not in "biuf":
            raise _RefusedError(f"{key} is not an array of numbers")
    return arrays


def _read_new(package: Any, path: str, keys: Sequence[str]) -> list[Any]:
    """Variables of a v7.3 file, which is HDF5."""
    import numpy as np

    with package.File(path, "r") as file:
        _check_keys(keys, list(file))
        return [np.asarray(file[key]) for key in keys]


def _read_old(package: Any, path: str, keys: Sequence[str]) -> list[Any]:
    """Variables of an older file, whose axes are turned round."""
    variables = package.loadmat(path, variable_names=list(keys))
    _check_keys(keys, [name for name in variables if not name.startswith("__")])
    return [variables[key].T for key in keys]


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        package = name.partition(".")[0]
        raise _RefusedError(
            f"this version of MATLAB file needs the package {package}: pip install {package}"
        ) from None


def _check_keys(keys: Sequence[str], found: Sequence[str]) -> None:
    missing = [key for key in keys if key not in found]
    if missing:
        raise _RefusedError(f"no variable {', '.join(missing)}; the file has {', '.join(found) or 'none'}")


def _limit_memory(more: int) -> None:
    """So many bytes more than what is taken now, where the system can limit it."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            limit = more + int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError):  # not Linux
        return
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _main(path: str, keys: Sequence[str]) -> None:
    arrays, wrong = [], None
    try:
        arrays = _read(path, keys)
    except _RefusedError as error:
        wrong = str(error)
    except Exception as error:  # of a damaged file, the packages raise anything
        wrong = f"damaged MATLAB file ({type(error).__name__}: {error})"
    sys.stdout.buffer.write(json.dumps(wrong).encode() + b"\n")
    for array in arrays:
        import numpy as np

        np.lib.format.write_array(sys.stdout.buffer, array, allow_pickle=False)


if __name__ == "__main__":
    # Not from the folder of this file: its neighbours have names that a package may import.
    sys.path[:] = [folder for folder in sys.path if folder != os.path.dirname(os.path.abspath(__file__))]
    _main(sys.argv[1], sys.argv[2:])
