"""Dictionaries of arrays in a pickle, checked key by key."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from htp_diffusion.base.errors import DATA_PAGE, BenchmarkError
from htp_diffusion.data.formats.told import listed
from htp_diffusion.data.formats.unpickle import restricted_loads


def load_table(path: Path) -> dict[Any, Any]:
    """The dictionary in a pickle."""
    try:
        value = restricted_loads(path.read_bytes(), str(path))
    except OSError as error:
        raise BenchmarkError(f"{path}: cannot be read ({error.strerror}); {DATA_PAGE}") from None
    if not isinstance(value, dict):
        raise BenchmarkError(f"{path}: holds a {type(value).__name__}, expected a dictionary")
    return value


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Whether it is a list, or an array that can be gone through: one without axes cannot."""
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim > 0)


def entry(table: Mapping[Any, Any], key: str, what: str) -> Any:
    """The value of a key; ``what`` tells in the error where the dictionary comes from."""
    if key not in table:
        raise BenchmarkError(f"{what}: no key {key}; it has {listed(table) or 'none'}")
    return table[key]


def texts(table: Mapping[Any, Any], key: str, what: str, frames: int | None = None) -> list[str]:
    """One text a frame; ``frames`` None takes as many as there are."""
    value = entry(table, key, what)
    if not is_list(value) or not len(value):
        raise BenchmarkError(f"{what}: {key} must be a list with one text a frame")
    if frames is not None and len(value) != frames:
        raise BenchmarkError(f"{what}: {key} has {len(value)} texts, expected {frames}, one a frame")
    try:
        return [str(text) for text in value]
    except ValueError:  # an integer of over 4,300 digits
        raise BenchmarkError(f"{what}: {key} must be a list with one text a frame") from None


def array(table: Mapping[Any, Any], key: str, what: str) -> Any:
    """Numbers of any shape as float32."""
    found = entry(table, key, what)
    try:
        return np.asarray(found, dtype="float32")
    except (TypeError, ValueError, OverflowError):
        raise BenchmarkError(f"{what}: {key} is not an array of numbers") from None


def numbers(
    table: Mapping[Any, Any], key: str, what: str, shape: tuple[int, ...], last: tuple[int | None, ...]
) -> Any:
    """Finite numbers of a shape, to which one axis of a size in ``last`` is added; None: no further axis."""
    value = array(table, key, what)
    allowed = [shape if size is None else (*shape, size) for size in last]
    if value.shape not in allowed or 0 in value.shape:
        raise BenchmarkError(
            f"{what}: {key} has shape {value.shape}, expected {' or '.join(map(str, allowed))}"
        )
    if not np.isfinite(value).all():
        raise BenchmarkError(f"{what}: {key} holds values that are not finite")
    return value


def to_tensor(values: Any) -> Tensor:
    """Numbers as a float32 tensor of their own."""
    return torch.from_numpy(np.array(values, dtype="float32"))
