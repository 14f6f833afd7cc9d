"""JSON from an untrusted source: a size limit, one clear error if it is not JSON, and checked numbers."""

import json
from collections.abc import Iterable
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.units import MEBIBYTE
from htp_diffusion.data.formats.told import listed

SIZE_LIMIT = 64 * MEBIBYTE
"""Bytes of a file, and of all files of a folder: 100,000 frames of one person, and as Python objects under
2 GiB whatever the text is."""

_MOST_PIXELS = 10**6  # along a side


def read_json(path: Path, limit: int = SIZE_LIMIT) -> Any:
    """The content of a JSON file.

    Args:
        path: The file.
        limit: Most bytes that are read: what other files of its folder left of ``SIZE_LIMIT``.

    Raises:
        BenchmarkError: No such file, a larger one, one that is cut off, nested too deeply, or no JSON.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > limit:
        raise BenchmarkError(
            f"{path}: more than {SIZE_LIMIT / MEBIBYTE:.4g} MiB of JSON, "
            "which is the limit of a file or folder"
        )
    try:
        return json.loads(data)
    except json.JSONDecodeError as error:
        rest = error.doc[error.pos :].strip()
        cut = "it is cut off" if not rest or error.msg.startswith("Unterminated string") else error.msg
        raise BenchmarkError(f"{path}: not a whole JSON file: {cut} (line {error.lineno})") from None
    except RecursionError:
        raise BenchmarkError(f"{path}: not detections: lists nested too deeply") from None
    except ValueError as error:  # bytes of no text, a number of thousands of digits
        raise BenchmarkError(f"{path}: not a JSON file ({error})") from None


def number_array(values: Any, width: int, what: str) -> Float64[np.ndarray, "rows width"]:
    """Numbers as rows of ``width``: a flat list, or a list of rows.

    Args:
        values: The numbers.
        width: Numbers of a row.
        what: Where they come from, told in the error.

    Raises:
        BenchmarkError: They are no such numbers.
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise BenchmarkError(f"{what}: expected numbers alone") from None
    if array.ndim == 1 and len(array) and len(array) % width == 0:
        return array.reshape(-1, width)
    if array.ndim == 2 and len(array) and array.shape[1] == width:
        return array
    raise BenchmarkError(f"{what}: expected rows of {width} numbers, got an array of shape {array.shape}")


def whole_number(value: Any, what: str) -> int:
    """A frame or track number, which may be written as 3.0.

    Raises:
        BenchmarkError: It is no whole number.
    """
    if isinstance(value, bool) or not isinstance(value, (Integral, float)) or value != value // 1:
        raise BenchmarkError(f"{what}: expected a whole number, got {str(value)[:40]!r}")
    return int(value)


def image_size(width: Any, height: Any, what: str) -> tuple[int, int] | None:
    """Width and height as a file tells them; None where it does not.

    Raises:
        BenchmarkError: One is told alone, or they are no sizes.
    """
    if width is None and height is None:
        return None
    size = (whole_number(width, f"{what}: width"), whole_number(height, f"{what}: height"))
    if not 1 <= min(size) <= max(size) < _MOST_PIXELS:
        raise BenchmarkError(f"{what}: width and height expect 1 to {_MOST_PIXELS - 1:,} pixels")
    return size


def require_keys(entry: Any, keys: Iterable[str], what: str) -> dict[str, Any]:
    """A dictionary that has these keys.

    Raises:
        BenchmarkError: It is none, or lacks one.
    """
    if not isinstance(entry, dict):
        raise BenchmarkError(f"{what}: expected a dictionary, got {type(entry).__name__}")
    missing = [key for key in keys if key not in entry]
    if missing:
        raise BenchmarkError(f"{what}: no {', '.join(missing)}; it has {listed(entry)}")
    return entry
