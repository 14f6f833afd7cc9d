"""Stand-ins for numpy's arrays, dtypes and functions: they record what a pickle says of one, and check it."""

import math
import re
from collections.abc import Callable
from typing import Any, TypeGuard

import numpy as np

from htp_diffusion.data.formats.told import told

_DTYPE_CODE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,4}|O[48]?)")
_LONGEST_CODE = 8
_MOST_AXES = 64  # numpy's own limit


class RefusedError(Exception):
    """The pickle asks for something that is not plain data."""


class DtypeRecord:
    """What a pickle says about a dtype: its code and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: object):
        text = _short_text(code)
        if text is None or not _DTYPE_CODE.fullmatch(text):
            raise RefusedError(f"the array type {told(code)}")
        self.order = text[0] if text[0] in "<>|=" else "|"
        self.code = text.lstrip("<>|=")

    def __setstate__(self, state: object):
        # (version, byte order, subarray, field names, fields, size, alignment, flags[, metadata]): nothing
        # but the byte order is believed; size, alignment and flags follow from the code.
        if (
            not isinstance(state, tuple)
            or len(state) not in (8, 9)
            or any(part is not None for part in state[2:5])
        ):
            raise RefusedError("a structured array type")
        order = _short_text(state[1])
        if order not in ("<", ">", "|", "="):
            raise RefusedError(f"the byte order {told(state[1])}")
        self.order = order

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    def build(self) -> np.dtype:
        return np.dtype(object) if self.is_object else np.dtype(self.order + self.code)


class ArrayRecord:
    """What a pickle says about an array: shape, dtype, memory order and the bytes or objects in it."""

    __slots__ = ("data", "dtype", "fortran", "scalar", "shape")

    def __init__(self):
        self.shape: tuple[int, ...] | None = None
        self.scalar = False

    def __setstate__(self, state: object):
        if not isinstance(state, tuple) or len(state) != 5:
            raise RefusedError("an array without shape, type and data")
        if self.scalar:
            raise RefusedError("a state given to a scalar")
        self.fill(shape=state[1], dtype=state[2], fortran=state[3], data=state[4])

    def fill(self, *, shape: object, dtype: object, fortran: object, data: object):
        if not _is_shape(shape):
            raise RefusedError(f"the array shape {told(shape)}")
        if not isinstance(dtype, DtypeRecord):
            raise RefusedError("an array without a type")
        # Python 2 wrote str: a byte a character in latin-1, encoded once by whoever builds the array, as many
        # arrays can share one text.
        if not isinstance(data, list if dtype.is_object else (str, bytes, bytearray)):
            raise RefusedError("array data of the wrong kind")
        size = math.prod(shape) * (1 if dtype.is_object else dtype.build().itemsize)
        if len(data) != size:
            raise RefusedError(
                f"an array of shape {shape} with {len(data)} items of data where {size} belong"
            )
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, bool(fortran), data


class GlobalRecord:
    """An allowed global. Calling it records; it takes no state, so that BUILD cannot change it."""

    __slots__ = ("_record",)

    def __init__(self, record: Callable[..., Any]):
        self._record = record

    def __setstate__(self, state: object):
        raise RefusedError("a state given to a function")

    def __call__(self, *args: object) -> Any:
        return self._record(*args)


def _short_text(value: object) -> str | None:
    """A text of a few characters, which Python 2 wrote as bytes; None for anything else."""
    if not isinstance(value, (str, bytes)) or len(value) > _LONGEST_CODE:
        return None
    return value.decode("latin1") if isinstance(value, bytes) else value


def _is_shape(value: object) -> TypeGuard[tuple[int, ...]]:
    # The product of a million sizes would take minutes.
    if not isinstance(value, tuple) or len(value) > _MOST_AXES:
        return False
    return all(type(size) is int and 0 <= size < 2**63 for size in value)
