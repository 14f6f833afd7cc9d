"""Arrays in MATLAB files, in the order that MATLAB v7.3 files have on disk."""

import json
import subprocess
import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from htp_diffusion.base.errors import DATA_PAGE, BenchmarkError

_NEW, _OLD = b"MATLAB 7.3", b"MATLAB 5.0"
_CHILD = Path(__file__).with_name("matlab_child.py")
_SECONDS = 60.0
"""A sequence takes one; a package on a slow disk takes more."""


def read_mat(path: str | Path, keys: Sequence[str]) -> dict[str, Any]:
    """Read numeric arrays of a MATLAB file, in a process of its own: a damaged file can end it.

    MATLAB counts the first axis fastest. A v7.3 file is HDF5 and lists the axes the other way round: what
    MATLAB calls 3 x 17 x 1 x frames is (frames, 1, 17, 3) there, and here for files of every version.

    Args:
        path: The file. v7.3 needs the package h5py, older files scipy.
        keys: The variables to read.

    Raises:
        BenchmarkError: No such file, not a MATLAB file, a damaged one, one that takes more than a minute or
            more memory than twice its size and 200 MB; the package is not installed, or a variable is missing
            or not an array of numbers.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(len(_NEW))
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read ({error.strerror}); {DATA_PAGE}") from None
    if head not in (_NEW, _OLD):
        raise BenchmarkError(f"{path}: not a MATLAB file of version 7.3 or 5")
    command = [sys.executable, str(_CHILD), str(path), *keys]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{path}: damaged MATLAB file (not read within {_SECONDS:.0f} s)") from None
    line, _, content = done.stdout.partition(b"\n")
    if done.returncode:
        raise BenchmarkError(f"{path}: damaged MATLAB file (its reader ended with {done.returncode})")
    wrong = json.loads(line)
    if wrong is not None:
        raise BenchmarkError(f"{path}: {wrong}")
    arrays = BytesIO(content)
    return {key: np.lib.format.read_array(arrays, allow_pickle=False) for key in keys}
