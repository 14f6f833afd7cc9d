"""Reading a file of ``torch.save`` without running anything of it, whatever lies beside the weights.

PyTorch's restricted unpickler makes tensors and plain containers, and refuses every other name that a file
refers to. Here each such name is given a stand-in that takes everything, keeps nothing and runs nothing, so
that an ``argparse.Namespace``, a config class or a NumPy random state beside the weights is passed over. A
name of Python's own library that is no plain data, as a file made to do harm would use, is refused.
"""

import io
import pickle
import re
import sys
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adapters.errors import CheckpointError
from adapters.opcodes import Followed, follow

_OLDEST = (2, 10)  # whose reader keeps to the memory of a pickle's storages
_ZIP = b"PK\x03\x04"
# Before PyTorch 1.6: magic number, protocol, system, content and keys of the storages, a pickle each; bytes.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_TEXT = r"(BINUNICODE|SHORT_BINUNICODE|SHORT_BINSTRING|BINSTRING)"
_LIST_OF_TEXTS = re.compile(rf"PROTO EMPTY_LIST( MARK( {_TEXT})+ APPENDS| {_TEXT} APPEND)* STOP")
_PROTOCOL = 2  # the one that torch.save writes, and its restricted unpickler reads

# Where the names are from that containers and tensors are made by: not worth a word in a report.
_PLUMBING = {"_codecs", "builtins", "collections", "copyreg", "torch", "torch._tensor", "torch._utils"}
_PLUMBING |= {"torch.nn.parameter", "torch.serialization", "torch.storage"}

# Names of Python's own library that make plain data: what a config or a log is made of.
_DATA = {
    "_codecs": {"encode"},
    "argparse": {"Namespace"},
    "array": {"array", "_array_reconstructor"},
    "builtins": {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list"}
    | {"object", "range", "set", "slice", "str", "tuple"},
    "collections": {"ChainMap", "Counter", "OrderedDict", "UserDict", "UserList", "defaultdict", "deque"},
    "copyreg": {"_reconstructor", "__newobj__", "__newobj_ex__"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "functools": {"partial"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "random": {"Random"},
    "types": {"SimpleNamespace"},
    "uuid": {"UUID", "SafeUUID"},
}


class Skipped:
    """Stands in for an object of a file: takes everything, keeps nothing, runs nothing."""

    def __new__(cls, *_args: object, **_options: object) -> "Skipped":
        return super().__new__(cls)

    def __init__(self, *_args: object, **_options: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


class _ADict:
    """Stands in for a class of dictionaries: a plain one takes what the file puts into it."""

    def __new__(cls, *_args: object, **_options: object) -> Any:
        return OrderedDict()


class _AList:
    """Stands in for a class of lists, likewise."""

    def __new__(cls, *_args: object, **_options: object) -> Any:
        return []


_CONTAINERS = {("collections", "defaultdict"): _ADict, ("collections", "deque"): _AList}


def name_of(value: object) -> str:
    """The name of a value's class, for a skipped object the one that it had where the file was made."""
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}" if issubclass(kind, Skipped) else kind.__name__


@dataclass(frozen=True, kw_only=True)
class Names:
    """What the pickle in a file refers to.

    Attributes:
        classes: Module and name of each class or function.
        protocol: The pickle protocol.
    """

    classes: frozenset[tuple[str, str]]
    protocol: int


def names_in(path: Path) -> Names:
    """The names in a file of ``torch.save``, read from its opcodes; nothing is made or imported.

    Raises:
        CheckpointError: It holds a program, a name that could run something, or asks for storages that it
            does not hold.
        ValueError: It is damaged.
    """
    found = _followed(path)
    classes: set[tuple[str, str]] = set()
    for module, name in found.classes:
        if (module, name) in NAME_MAPPING:
            module, name = NAME_MAPPING[module, name]
        classes.add((IMPORT_MAPPING.get(module, module), name))
    for module, name in sorted(classes):
        package = module.partition(".")[0]
        if package in sys.stdlib_module_names and name not in _DATA.get(package, ()):
            raise CheckpointError(
                f"{path} holds more than weights: {module}.{name}, which could run something; nothing was run"
            )
    if found.harm is not None:
        raise CheckpointError(f"{path} asks for {found.harm}, as no file of torch.save does; nothing was run")
    return Names(classes=frozenset(classes), protocol=found.protocol)


def _followed(path: Path) -> Followed:
    """The pickle of the content, once it is seen that the file holds every storage that it asks for."""
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            file.seek(0)
            magic = follow(file)
            if magic.result != _LEGACY_MAGIC:
                return magic
            protocol, system, content, keys = (follow(file) for _ in range(4))
            for other in (magic, protocol, system):  # PyTorch reads them, too
                content.classes |= other.classes
                content.harm = content.harm or other.harm
            # A storage that is not named here is left as the memory was.
            if not _LIST_OF_TEXTS.fullmatch(" ".join(keys.opcodes)) or keys.texts != content.storages:
                raise CheckpointError(f"{path} does not hold the storages that its content asks for")
            return content
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        # PyTorch's reader finds a member by any spelling of its name, and reads it anew for each.
        if len({name.lower() for name in members}) < len(archive.infolist()):
            raise CheckpointError(f"{path} holds two members of one name")
        if sum(member.file_size for member in members.values()) > 2 * path.stat().st_size:
            raise CheckpointError(f"{path} is packed tighter than torch.save does; unpack and save it again")
        pickles = [name for name in members if Path(name).name == "data.pkl"]
        if any(Path(name).name == "constants.pkl" for name in members):
            raise CheckpointError(f"{path} is a TorchScript program, not weights; save its state_dict()")
        if len(pickles) != 1:
            raise CheckpointError(f"{path} is a zip archive, but not one of torch.save")
        content = follow(io.BytesIO(archive.read(pickles[0])))
    records = {f"{pickles[0].removesuffix('data.pkl')}data/{key}" for key in content.storages}
    if not records <= set(members):
        raise CheckpointError(f"{path} does not hold the storages that its content asks for")
    return content


def load_restricted(path: Path) -> tuple[Any, tuple[str, ...]]:
    """The content of a file of ``torch.save``, with stand-ins for what is neither tensor nor plain container.

    Returns:
        The content, and the classes whose objects were skipped.

    Raises:
        CheckpointError: The file refers to a name that could run something, or is made of objects that cannot
            be skipped; or PyTorch is older than 2.10.
        Exception: It is damaged; whatever its reader met.
    """
    if tuple(map(int, torch.__version__.split(".")[:2])) < _OLDEST:
        raise CheckpointError(
            f"{path} is a pickle, which PyTorch {torch.__version__} does not read safely (CVE-2026-24747): "
            "update to PyTorch 2.10 or newer, or save the weights as safetensors"
        )
    names = names_in(path)
    skipped = _reported(names)
    for unknown in (Skipped, _ADict, _AList):  # a class that is not known may be of dictionaries, or of lists
        try:
            return _load(path, names, unknown), skipped
        except (pickle.UnpicklingError, TypeError, AttributeError):
            continue
    if names.protocol != _PROTOCOL:
        raise CheckpointError(
            f"{path} was saved with pickle protocol {names.protocol}, which is not read here; save it again "
            "with torch.save's own"
        )
    if not skipped:
        raise ValueError("its pickle makes no sense")
    raise CheckpointError(
        f"{path} holds objects that cannot be skipped, of {', '.join(skipped)}; nothing of it was run. "
        "Load it where their code is known, and save the state_dict() alone"
    )


def _load(path: Path, names: Names, unknown: type) -> Any:
    """The content, with an ``unknown`` for each class of a package that is not known here."""
    stand_ins: list[Any] = []
    for module, name in names.classes:
        known = module.partition(".")[0] in ("numpy", "torch", *sys.stdlib_module_names)
        base = _CONTAINERS.get((module, name), Skipped if known else unknown)
        stand_ins.append(type(name, (base,), {"__module__": module}))
    with torch.serialization.safe_globals(stand_ins), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the pickle protocol
        return torch.load(path, map_location="cpu", weights_only=True)


def _reported(names: Names) -> tuple[str, ...]:
    """Names for a report: one word for all of NumPy."""
    found = []
    for module, name in sorted(names.classes):
        if module not in _PLUMBING:
            found.append("numpy" if module.partition(".")[0] == "numpy" else f"{module}.{name}")
    return tuple(dict.fromkeys(found))
