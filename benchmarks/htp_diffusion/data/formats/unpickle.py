"""A restricted unpickler: numpy arrays, numpy scalars and plain containers, nothing else.

A pickle is a program. This reader never hands one a real numpy callable, class or array while it runs: each
allowed global is replaced by an inert stand-in that only records what the pickle says. When the program has
ended, the records are checked and turned into arrays. So neither a call (REDUCE, NEWOBJ, INST, OBJ) nor a
state (BUILD) reaches anything but these stand-ins; numpy's own ``__setstate__``, which trusts its input, is
never called.
"""

import io
import pickle
import struct
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any

import numpy as np

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.pickle_records import ArrayRecord, DtypeRecord, GlobalRecord, RefusedError
from htp_diffusion.data.formats.told import told

_SCALARS = (type(None), bool, int, float, complex, str, bytes)
_KEYS = (*_SCALARS, ArrayRecord)  # of records, arrays cannot be keys in the end, and scalars hold no tuples
_KEY_BITS = 64
_MEMO_DIGITS = 10  # more memos than any file has
_SHARED, _SHARED_AT_LEAST = 4, 10**7  # items: each byte four times over, or a second of work


def _no_call(*_: object):
    raise RefusedError("a call of numpy.ndarray")


_NDARRAY = GlobalRecord(_no_call)


def _dtype(code: object, *_align_copy: object) -> DtypeRecord:
    return DtypeRecord(code)


def _reconstruct(subtype: object, *_shape_code: object) -> ArrayRecord:
    if subtype is not _NDARRAY:
        raise RefusedError("an array subclass")
    return ArrayRecord()


def _scalar(dtype: object, data: object) -> ArrayRecord:
    if isinstance(dtype, DtypeRecord) and dtype.is_object:
        raise RefusedError("a scalar of objects")
    value = ArrayRecord()
    value.fill(shape=(), dtype=dtype, fortran=False, data=data)
    value.scalar = True
    return value


def _from_buffer(data: object, dtype: object, shape: object, order: object) -> ArrayRecord:
    value = ArrayRecord()
    value.fill(shape=shape, dtype=dtype, fortran=order == "F", data=data)
    return value


def _latin1(text: str) -> bytes:
    return text.encode("latin1")


def _encode(latin1: Callable[[str], bytes], text: object, encoding: object) -> bytes:
    """Protocol 2 writes bytes as a latin-1 text and a call that encodes it: only that call is allowed."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"an encoding to {told(encoding)}")
    return latin1(text)


def _globals(latin1: Callable[[str], bytes]) -> dict[tuple[str, str], GlobalRecord]:
    """What a pickle may name; ``latin1`` encodes a text."""
    return {
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): GlobalRecord(_dtype),
        ("_codecs", "encode"): GlobalRecord(partial(_encode, latin1)),
        **{
            (f"numpy.{core}.{module}", name): GlobalRecord(record)
            for core in ("core", "_core")  # renamed in numpy 2
            for module, name, record in (
                ("multiarray", "_reconstruct", _reconstruct),
                ("multiarray", "scalar", _scalar),
                ("numeric", "_frombuffer", _from_buffer),
            )
        },
    }


_Parent: Any = pickle._Unpickler  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


# The one in Python: that in C makes room for whatever number a damaged pickle gives a memo, gigabytes of it.
class _Unpickler(_Parent):
    def __init__(self, data: bytes, latin1: Callable[[str], bytes]):
        super().__init__(io.BytesIO(data), fix_imports=False, encoding="latin1")
        self._globals = _globals(latin1)

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._globals[module, name]
        except KeyError:
            raise RefusedError(f"the global {told(f'{module}.{name}')[1:-1]}") from None

    def load_setitem(self):
        _check_keys(self.stack[-2:-1])
        _Parent.load_setitem(self)

    def load_setitems(self):
        _check_keys(self.stack[::2])
        _Parent.load_setitems(self)

    def load_dict(self):
        _check_keys(self.stack[::2])
        _Parent.load_dict(self)

    def load_additems(self):
        _check_keys(self.stack)
        _Parent.load_additems(self)

    def load_frozenset(self):
        _check_keys(self.stack)
        _Parent.load_frozenset(self)

    def load_bytearray8(self):
        # Python's own makes room for the length that the pickle tells before it looks what is there.
        (size,) = struct.unpack("<Q", self.read(8))
        data = self.read(size)
        if len(data) != size:
            raise RefusedError(f"{size} bytes of which {len(data)} are there")
        self.append(bytearray(data))

    def load_put(self):
        number = self.readline()[:-1]
        if len(number) > _MEMO_DIGITS:  # see _check_keys
            raise RefusedError("a memo of many digits")
        self.memo[int(number)] = self.stack[-1]

    dispatch = _Parent.dispatch | {
        pickle.SETITEM[0]: load_setitem,
        pickle.SETITEMS[0]: load_setitems,
        pickle.DICT[0]: load_dict,
        pickle.ADDITEMS[0]: load_additems,
        pickle.FROZENSET[0]: load_frozenset,
        pickle.BYTEARRAY8[0]: load_bytearray8,
        pickle.PUT[0]: load_put,
    }


def _check_keys(keys: Iterable[object]) -> None:
    """Refuse keys that a few bytes make endless work: only texts, short numbers and None are left.

    The hash of a tuple goes through all that it holds: tuples in tuples overflow the stack of C, a tuple that
    holds another one twice takes twice as long as that one. Tuples and long integers can also be chosen so
    that all have the same hash, and a dictionary of them takes a time quadratic in their count.
    """
    for key in keys:
        if not isinstance(key, _KEYS) or (isinstance(key, int) and key.bit_length() > _KEY_BITS):
            raise RefusedError(f"a dictionary or set with {told(key)} as a key")


class _Resolver:
    """Turns the records in a structure into arrays.

    Args:
        latin1: Encodes a text, the same one only once.
        most: How many items the structure may have, what is in several places counted in each: whoever
            turns it into an array or a text goes through all of them.
    """

    def __init__(self, latin1: Callable[[str], bytes], most: int):
        self._latin1 = latin1
        self._most = most
        self._done: dict[int, Any] = {}  # by id
        self._items: dict[int, int] = {}  # by id

    def resolve(self, value: Any) -> Any:
        if type(value) in _SCALARS:
            return value
        key = id(value)
        if key in self._done:
            if self._done[key] is _Resolver:
                raise RefusedError("a structure that contains itself")
            return self._done[key]
        self._done[key] = _Resolver  # begun
        if type(value) is dict:
            result = {self.resolve(name): self.resolve(item) for name, item in value.items()}
            items = self._count(value.values())
        elif type(value) in (list, tuple, set, frozenset):
            result = type(value)(map(self.resolve, value))
            items = self._count(value)
        elif type(value) is ArrayRecord and value.shape is not None:
            result = self._array(value)
            items = self._items[id(value.data)] if value.dtype.is_object else int(result.size)
        else:
            raise RefusedError("something that is neither an array nor a plain container")
        if items > self._most:
            raise RefusedError("lists or arrays that are in too many places")
        self._done[key], self._items[key] = result, items
        return result

    def _count(self, values: Iterable[Any]) -> int:
        return 1 + sum(self._items.get(id(item), 1) for item in values)

    def _array(self, record: ArrayRecord) -> Any:
        dtype, data = record.dtype.build(), record.data
        if isinstance(data, list):
            if id(data) in self._done:  # no array shares its list, and each would copy it
                raise RefusedError("arrays that share their objects")
            flat = np.empty(len(data), dtype=object)
            for index, item in enumerate(self.resolve(data)):
                flat[index] = item
        elif data:
            flat = np.frombuffer(self._latin1(data) if isinstance(data, str) else data, dtype=dtype)
            flat.flags.writeable = False  # of a bytearray too
        else:
            flat = np.empty(0, dtype=dtype)
        if record.scalar:
            return flat[0]
        return flat.reshape(record.shape, order="F" if record.fortran else "C")


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
        latin1 = cache(_latin1)
        value = _Unpickler(data, latin1).load()
        return _Resolver(latin1, _SHARED * len(data) + _SHARED_AT_LEAST).resolve(value)
    except RefusedError as refused:
        raise BenchmarkError(
            f"{source}: refused to read {refused}: only numpy arrays and plain containers are allowed"
        ) from None
    except Exception as error:  # a damaged or hostile pickle can raise anything
        raise BenchmarkError(
            f"{source}: damaged pickle ({type(error).__name__}: {str(error)[:200]})"
        ) from None
