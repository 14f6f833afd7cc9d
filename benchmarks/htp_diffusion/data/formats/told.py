"""How values out of an untrusted file are told in an error: short, on one line."""

from collections.abc import Iterable
from typing import Any

_MOST_CHARACTERS = 60
_MOST_LISTED = 200  # characters
_MOST_BITS = 128


def told(value: Any) -> str:
    """A text, cut short, or a number as Python writes it; of anything else the name of its type.

    A list that holds itself twice, and that list twice, and so on, is a few bytes in a pickle and gigabytes
    as a text; Python refuses to write integers of over 4,300 digits.
    """
    if isinstance(value, (str, bytes)):
        return repr(value[:_MOST_CHARACTERS])
    if isinstance(value, (bool, float, type(None))):
        return repr(value)
    if isinstance(value, int) and value.bit_length() <= _MOST_BITS:
        return repr(value)
    return f"a value of type {type(value).__name__}"


def listed(names: Iterable[Any]) -> str:
    """Names one after the other, cut short."""
    return ", ".join(map(str, names))[:_MOST_LISTED]
