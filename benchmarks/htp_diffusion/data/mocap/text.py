"""What the text formats of motion capture share: errors by file and line, numbers, Euler rotations."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError

AXES = "xyz"


def read_lines(path: str | Path) -> list[str]:
    """The lines of a text file.

    Raises:
        BenchmarkError: The file cannot be read.
    """
    try:
        # Headers hold paths and names in whatever encoding the recording machine had; a byte-order mark,
        # which Windows editors put first, is none of the text.
        return Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error


def malformed(path: str | Path, line: int, problem: str) -> BenchmarkError:
    """The error that names a file, a line (the first is 1) and what is wrong with it."""
    return BenchmarkError(f"{path}, line {line}: {problem}")


def numbers(words: Sequence[str], count: int, path: str | Path, line: int, what: str) -> list[float]:
    """So many finite numbers.

    Args:
        words: One word a number.
        count: How many there must be.
        path: The file, for the error.
        line: The line, for the error.
        what: What they are, for the error.

    Raises:
        BenchmarkError: There are more or fewer, or one is not a finite number.
    """
    if len(words) != count:
        raise malformed(path, line, f"{what} expects {count} numbers, got {len(words)}")
    try:
        values = list(map(float, words))
    except ValueError as error:
        raise malformed(path, line, f"{what}: {error}") from None
    if not all(map(math.isfinite, values)):
        raise malformed(path, line, f"{what} holds a value that is not finite")
    return values


def euler_rotation(
    axes: str, degrees: Float64[np.ndarray, "frames angles"]
) -> Float64[np.ndarray, "frames 3 3"]:
    """The product of rotations about axes: of "zyx" it is Rz Ry Rx, which turns a vector about x first.

    Args:
        axes: Letters of ``AXES``, one an angle; the identity if empty.
        degrees: Right-handed angles.
    """
    product = np.broadcast_to(np.eye(3), (len(degrees), 3, 3))
    for axis, angle in zip(axes, np.radians(degrees).T, strict=True):
        product = product @ _axis_rotation(AXES.index(axis), angle)
    return product


def _axis_rotation(axis: int, radians: Float64[np.ndarray, " frames"]) -> Float64[np.ndarray, "frames 3 3"]:
    after, last = (axis + 1) % 3, (axis + 2) % 3
    rotation = np.zeros((len(radians), 3, 3))
    rotation[:, axis, axis] = 1.0
    rotation[:, after, after] = rotation[:, last, last] = np.cos(radians)
    rotation[:, last, after] = np.sin(radians)
    rotation[:, after, last] = -rotation[:, last, after]
    return rotation
