"""A restricted unpickler: numpy arrays, numpy scalars and plain containers, nothing else.

A pickle is a program. This reader never hands one a real numpy callable, class or array while it runs: each
allowed global is replaced by an inert stand-in that only records what the pickle says. When the program has
ended, the records are checked and turned into arrays. So neither a call (REDUCE, NEWOBJ, INST, OBJ) nor a
state (BUILD) reaches anything but these stand-ins; numpy's own ``__setstate__``, which trusts its input, is
never called.
"""

import io
import math
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from htp_diffusion.base.errors import BenchmarkError

_DTYPE_CODE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248]|[SU]\d{1,4}|O[48]?)")
_SCALARS = (type(None), bool, int, float, complex, str, bytes)


class _RefusedError(Exception):
    """The pickle asks for something that is not plain data."""


class _Dtype:
    """What a pickle says about a dtype: its code and its byte order."""

    __slots__ = ("code", "order")

    def __init__(self, code: object):
        if isinstance(code, bytes):
            code = code.decode("latin1")
        if not isinstance(code, str) or not _DTYPE_CODE.fullmatch(code):
            raise _RefusedError(f"the array type {code!r}")
        self.order = code[0] if code[0] in "<>|=" else "|"
        self.code = code.lstrip("<>|=")

    def __setstate__(self, state: object):
        # (version, byte order, subarray, field names, fields, size, alignment, flags[, metadata]): nothing
        # but the byte order is believed; size, alignment and flags follow from the code.
        if (
            not isinstance(state, tuple)
            or len(state) not in (8, 9)
            or any(part is not None for part in state[2:5])
        ):
            raise _RefusedError("a structured array type")
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise _RefusedError(f"the byte order {order!r}")
        self.order = order

    @property
    def is_object(self) -> bool:
        return self.code.startswith("O")

    def build(self) -> np.dtype:
        return np.dtype(object) if self.is_object else np.dtype(self.order + self.code)


class _Array:
    """What a pickle says about an array: shape, dtype, memory order and the bytes or objects in it."""

    __slots__ = ("data", "dtype", "fortran", "scalar", "shape")

    def __init__(self):
        self.shape: tuple[int, ...] | None = None
        self.scalar = False

    def __setstate__(self, state: object):
        if not isinstance(state, tuple) or len(state) != 5:
            raise _RefusedError("an array without shape, type and data")
        self.fill(shape=state[1], dtype=state[2], fortran=state[3], data=state[4])

    def fill(self, *, shape: object, dtype: object, fortran: object, data: object):
        if not isinstance(shape, tuple) or any(type(size) is not int or size < 0 for size in shape):
            raise _RefusedError(f"the array shape {shape!r}")
        if not isinstance(dtype, _Dtype):
            raise _RefusedError("an array without a type")
        if isinstance(data, str):  # what Python 2 wrote as str
            data = data.encode("latin1")
        if not isinstance(data, list if dtype.is_object else (bytes, bytearray)):
            raise _RefusedError("array data of the wrong kind")
        size = math.prod(shape) * (1 if dtype.is_object else dtype.build().itemsize)
        if len(data) != size:
            raise _RefusedError(
                f"an array of shape {shape} with {len(data)} items of data where {size} belong"
            )
        self.shape, self.dtype, self.fortran, self.data = shape, dtype, bool(fortran), data


class _Global:
    """An allowed global. Calling it records; it takes no state, so that BUILD cannot change it."""

    __slots__ = ("_record",)

    def __init__(self, record: Callable[..., Any]):
        self._record = record

    def __setstate__(self, state: object):
        raise _RefusedError("a state given to a function")

    def __call__(self, *args: object) -> Any:
        return self._record(*args)


def _no_call(*_: object):
    raise _RefusedError("a call of numpy.ndarray")


_NDARRAY = _Global(_no_call)


def _dtype(code: object, *_align_copy: object) -> _Dtype:
    return _Dtype(code)


def _reconstruct(subtype: object, *_shape_code: object) -> _Array:
    if subtype is not _NDARRAY:
        raise _RefusedError("an array subclass")
    return _Array()


def _scalar(dtype: object, data: object) -> _Array:
    if isinstance(dtype, _Dtype) and dtype.is_object:
        raise _RefusedError("a scalar of objects")
    value = _Array()
    value.fill(shape=(), dtype=dtype, fortran=False, data=data)
    value.scalar = True
    return value


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> _Array:
    value = _Array()
    value.fill(shape=shape, dtype=dtype, fortran=order == "F", data=data)
    return value


def _encode(text: object, encoding: object) -> bytes:
    """Protocol 2 writes bytes as a latin-1 text and a call that encodes it: only that call is allowed."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise _RefusedError(f"an encoding to {encoding!r}")
    return text.encode("latin1")


_GLOBALS: dict[tuple[str, str], _Global] = {
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _Global(_dtype),
    ("_codecs", "encode"): _Global(_encode),
    **{
        (f"numpy.{core}.{module}", name): _Global(record)
        for core in ("core", "_core")  # renamed in numpy 2
        for module, name, record in (
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


# The one in Python: that in C makes room for whatever number a damaged pickle gives a memo, gigabytes of it.
class _Unpickler(pickle._Unpickler):  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _GLOBALS[module, name]
        except KeyError:
            raise _RefusedError(f"the global {module}.{name}") from None


def _resolve(value: Any, done: dict[int, Any]) -> Any:
    """Turn the records in a structure into arrays. ``done``: id to result, or to ``done`` itself."""
    if type(value) in _SCALARS:
        return value
    key = id(value)
    if key in done:
        if done[key] is done:
            raise _RefusedError("a structure that contains itself")
        return done[key]
    done[key] = done
    if type(value) is dict:
        result = {_resolve(name, done): _resolve(item, done) for name, item in value.items()}
    elif type(value) in (list, tuple, set, frozenset):
        result = type(value)(_resolve(item, done) for item in value)
    elif type(value) is _Array and value.shape is not None:
        result = _build_array(value, done)
    else:
        raise _RefusedError("something that is neither an array nor a plain container")
    done[key] = result
    return result


def _build_array(record: _Array, done: dict[int, Any]) -> Any:
    dtype, shape = record.dtype.build(), record.shape
    order = "F" if record.fortran else "C"
    if dtype.hasobject:
        flat = np.empty(len(record.data), dtype=object)
        for index, item in enumerate(record.data):
            flat[index] = _resolve(item, done)
    else:
        flat = np.frombuffer(bytes(record.data), dtype=dtype) if record.data else np.empty(0, dtype=dtype)
    if record.scalar:
        return flat[0]
    return flat.reshape(shape, order=order)


def restricted_loads(data: bytes, source: str) -> Any:
    """Read a pickle of numpy arrays, numpy scalars and plain containers; run nothing that is in it.

    Args:
        data: The pickle; bytes after its end are ignored.
        source: The file's name, told in errors.

    Returns:
        The value. Arrays of numbers are read-only.

    Raises:
        BenchmarkError: The pickle asks for anything else (the message names it), or it is damaged.
    """
    try:
        value = _Unpickler(io.BytesIO(data), fix_imports=False, encoding="latin1").load()
        return _resolve(value, {})
    except _RefusedError as refused:
        raise BenchmarkError(
            f"{source}: refused to read {refused}: only numpy arrays and plain containers are allowed"
        ) from None
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise BenchmarkError(f"{source}: damaged pickle ({type(error).__name__}: {error})") from None
