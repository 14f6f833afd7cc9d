"""Results as JSON whose shape is that of their dataclasses, checked when written and when read.

A type is one of bool, int, float, str, None, a union of these kinds, Literal, list[X], tuple[X, ...],
tuple[X, Y], dict[str, X], or a dataclass of them. Numbers that are not finite are refused: JSON has none.
A field with metadata ADDED_LATER may be missing from an older file; it then has its default.
"""

import dataclasses
import json
import math
import os
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import write_text

Result = TypeVar("Result")

ADDED_LATER = {"added later": True}


def write_json(path: str | os.PathLike[str], result: Any) -> None:
    """Write a result; the file is whole or not there, never half written.

    Args:
        path: Where; a file that is there is replaced.
        result: A dataclass, or a list of dataclasses.

    Raises:
        BenchmarkError: A field has another type than its annotation says, or a number is not finite (the
            message names the field); or the file cannot be written.
    """
    text = json.dumps(_encode(result, "result"), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_text(Path(path), text)


def read_json(path: str | os.PathLike[str], cls: type[Result]) -> Result:
    """Read a result that `write_json` wrote.

    Args:
        path: Where from.
        cls: Its dataclass, or list[...] of one.

    Raises:
        BenchmarkError: The file is missing or no JSON, or a field is missing, unknown, of another type or not
            finite; the message names the field.
    """
    try:
        plain = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} is not JSON: {error}") from error
    try:
        return _decode(plain, cls, "result")
    except BenchmarkError as error:
        raise BenchmarkError(f"{path}: {error}") from error


def _encode(value: Any, where: str) -> Any:
    """Turn a value into what JSON has, and check every dataclass in it against its annotations."""
    # By exact type: numpy's float64 is a float too, and would come back as another type.
    if type(value) in (bool, int, str, NoneType):
        return value
    if type(value) is float:
        return _finite(value, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        plain = {
            field.name: _encode(getattr(value, field.name), f"{where}.{field.name}")
            for field in dataclasses.fields(value)
        }
        _decode(plain, type(value), where)
        return plain
    if isinstance(value, dict):
        return {key: _encode(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item, f"{where}[{index}]") for index, item in enumerate(value)]
    raise BenchmarkError(f"{where}: cannot be written as JSON, of type {type(value).__name__}")


def _decode(plain: Any, kind: Any, where: str) -> Any:
    """Turn what JSON has into a value of the given type, or say which field does not fit."""
    origin, arguments = get_origin(kind), get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _decode_dataclass(plain, kind, where)
    if origin in (Union, UnionType):
        return _decode_union(plain, arguments, where)
    if origin is Literal:
        if any(plain == choice and type(plain) is type(choice) for choice in arguments):
            return plain
    elif origin is dict:
        if isinstance(plain, dict) and all(isinstance(key, str) for key in plain):
            return {key: _decode(item, arguments[1], f"{where}[{key!r}]") for key, item in plain.items()}
    elif origin in (list, tuple):
        if isinstance(plain, list):
            return _decode_sequence(plain, origin, arguments, where)
    elif kind is float:
        if type(plain) in (int, float):  # JSON has one kind of number
            try:
                return _finite(float(plain), where)
            except OverflowError:
                raise BenchmarkError(f"{where}: expected a finite number, got one too large") from None
    elif kind in (bool, int, str, NoneType):
        if type(plain) is kind:
            return plain
    else:
        raise BenchmarkError(f"{where}: annotated with {_name(kind)}, which results cannot hold")
    raise BenchmarkError(f"{where}: expected {_name(kind)}, got {_shown(plain)}")


def _decode_dataclass(plain: Any, kind: type, where: str) -> Any:
    if not isinstance(plain, dict):
        raise BenchmarkError(f"{where}: expected the fields of {kind.__name__}, got {_shown(plain)}")
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    missing = [name for name in fields if name not in plain and fields[name].metadata != ADDED_LATER]
    extra = [name for name in plain if name not in fields]
    if missing or extra:
        problem = f"missing {', '.join(missing)}" if missing else f"unknown {', '.join(extra)}"
        raise BenchmarkError(f"{where}: {problem} among the fields of {kind.__name__}")
    values = {name: _decode(item, hints[name], f"{where}.{name}") for name, item in plain.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise BenchmarkError(f"{where}: {error}") from error


def _decode_union(plain: Any, kinds: tuple[Any, ...], where: str) -> Any:
    if plain is None and NoneType in kinds:
        return None
    some = [kind for kind in kinds if kind is not NoneType]
    if len(some) == 1:  # its own message names the field inside it
        return _decode(plain, some[0], where)
    # An integer of `float | int` stays one: the exact kind goes first.
    for kind in sorted(some, key=lambda kind: kind is not type(plain)):
        try:
            return _decode(plain, kind, where)
        except BenchmarkError:
            continue
    raise BenchmarkError(f"{where}: expected {' or '.join(map(_name, kinds))}, got {_shown(plain)}")


def _decode_sequence(plain: list[Any], origin: type, kinds: tuple[Any, ...], where: str) -> Any:
    if origin is list or kinds[1:] == (Ellipsis,):
        kinds = (kinds[0],) * len(plain)
    if len(kinds) != len(plain):
        raise BenchmarkError(f"{where}: expected {len(kinds)} items, got {len(plain)}")
    items = (
        _decode(item, kind, f"{where}[{i}]") for i, (item, kind) in enumerate(zip(plain, kinds, strict=True))
    )
    return origin(items)


def _finite(number: float, where: str) -> float:
    if not math.isfinite(number):
        raise BenchmarkError(f"{where}: expected a finite number, got {number}")
    return number


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)


def _shown(plain: Any) -> str:
    text = json.dumps(plain)
    return text if len(text) <= 60 else f"{text[:57]}..."
