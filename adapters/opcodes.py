"""Opcodes: what a pickle would make, followed opcode by opcode without making or importing anything."""

import io
import pickletools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Any, NamedTuple, cast

_PUT = {"PUT", "BINPUT", "LONG_BINPUT"}
_GET = {"GET", "BINGET", "LONG_BINGET"}
_TUPLES = {"EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_DEEPEST = 100  # tuples in one another; a hash or a repr goes down all of them, on the stack of the machine
_HEAVIEST = 100_000  # values in tuples of tuples, each as often as it is met: shared ones double a level
_KEY = 100  # values in a tuple that is a key


class _Item(NamedTuple):
    """A value on the stack, as far as it is known.

    Attributes:
        constant: What its opcode carries: a text, a number, module and name of a class; else None.
        parts: Of a tuple.
        depth: Tuples in one another.
        weight: Values in it, each as often as it is met.
    """

    constant: Any = None
    parts: tuple["_Item", ...] = ()
    depth: int = 0
    weight: int = 1


_MARK = _Item()


@dataclass
class Followed:
    """What a pickle refers to.

    Attributes:
        classes: Module and name of each class or function, as it has them.
        protocol: 1 at most, unless it says one.
        storages: Key of each storage that it asks for.
        texts: That it states.
        opcodes: Names of its opcodes, but for those that remember and recall.
        result: What it states as a whole, if that is a constant.
        harm: What it would do that no program of good will does; None if nothing.
    """

    classes: set[tuple[str, str]] = field(default_factory=set)
    protocol: int = 1
    storages: set[str] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)
    opcodes: list[str] = field(default_factory=list)
    result: Any = None
    harm: str | None = None

    def note(self, harm: str) -> None:
        """Note a harm, if it is the first."""
        self.harm = self.harm or harm


def follow(file: io.BufferedIOBase) -> Followed:
    """Follow the pickle that a file is at, and leave the file behind it.

    Raises:
        ValueError: It is damaged.
    """
    found = Followed()
    stack: list[_Item] = []
    memo: dict[Any, _Item] = {}
    try:
        for opcode, argument, _ in pickletools.genops(cast("IO[bytes]", file)):
            name = opcode.name
            if name in _PUT or name == "MEMOIZE":
                memo[len(memo) if argument is None else argument] = stack[-1]
            elif name in _GET:
                stack.append(memo[argument])
            else:
                found.opcodes.append(name)
                stack.extend(_made(opcode, argument, _taken(stack, opcode), found))
    except (IndexError, KeyError) as error:
        raise ValueError("its pickle makes no sense") from error
    return found


def _taken(stack: list[_Item], opcode: pickletools.OpcodeInfo) -> list[_Item]:
    """Take what an opcode takes off the stack, in the order in which it was put there, without a mark."""
    wanted, items = list(opcode.stack_before), []
    if pickletools.markobject in wanted:
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        wanted = wanted[: wanted.index(pickletools.markobject)]
    items.extend(stack.pop() for _ in wanted)
    return items[::-1]


def _made(
    opcode: pickletools.OpcodeInfo, argument: Any, taken: list[_Item], found: Followed
) -> Iterator[_Item]:
    """What an opcode puts on the stack."""
    name = opcode.name
    if name == "PROTO":
        found.protocol = argument
    elif name == "GLOBAL":
        module, _, attribute = argument.partition(" ")
        found.classes.add((module, attribute))
        argument = module, attribute
    elif name == "STOP":
        found.result = taken[0].constant
    elif name == "BINPERSID":
        _note_storage(taken[0], found)
    elif name in ("SETITEM", "SETITEMS"):
        _check_keys(taken[1::2], found)
    elif name == "REDUCE":
        _check_call(taken[0], taken[1], found)
    if name == "MARK":
        yield _MARK
    elif name == "DUP":
        yield from taken * 2
    elif name in _TUPLES:
        yield _tuple(taken, found)
    else:
        if (text := _text(argument)) is not None:
            found.texts.add(text)
        for _ in opcode.stack_after:
            yield _Item(argument)


def _tuple(parts: list[_Item], found: Followed) -> _Item:
    depth = 1 + max((part.depth for part in parts), default=0)
    weight = 1 + sum(part.weight for part in parts)
    if depth > _DEEPEST or (depth > 1 and weight > _HEAVIEST):
        found.note("tuples in one another without end")
        return _Item()
    return _Item(None, tuple(parts), depth, weight)


def _check_keys(keys: list[_Item], found: Followed) -> None:
    """A key is hashed each time that it is used, and a tuple of tuples all the way down."""
    if any(key.depth > 1 or key.weight > _KEY for key in keys):
        found.note("a dictionary whose keys are tuples of tuples, or long ones")


def _check_call(function: _Item, arguments: _Item, found: Followed) -> None:
    """Of all that PyTorch calls, a bytearray alone takes memory for a number that the file states."""
    if function.constant in (("builtins", "bytearray"), ("__builtin__", "bytearray")):
        known = [part.constant for part in arguments.parts if part.constant is not None]
        if arguments.depth == 0 or not all(isinstance(value, str) for value in known):
            found.note("a bytearray of a stated length")


def _note_storage(item: _Item, found: Followed) -> None:
    """The key of a persistent id: ("storage", class, key, device, length, ...)."""
    texts = [_text(part.constant) for part in item.parts]
    if texts[:1] == ["module"]:  # the source of a class, which stays unread
        return
    if texts[:1] != ["storage"] or len(texts) < 3 or texts[2] is None:
        found.note("storages that it does not name")
        return
    found.storages.add(texts[2])


def _text(constant: Any) -> str | None:
    return constant if isinstance(constant, str) else None
