"""WeightFile: the sets of tensors that a file holds, whatever its format."""

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from adapters.errors import CheckpointError
from adapters.restricted import load_restricted, name_of

_DEPTH = 8  # of containers in one another; no trainer nests that deep
_SHOWN = 8
_LONGEST = 80  # characters of a key
_ENDINGS = (".safetensors", ".bin", ".pt", ".pth", ".tar")

# Files that are taken for checkpoints, by their first bytes.
_OTHERS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it with git lfs pull",
    b"<": "a web page, not a checkpoint; download the file itself",
    b"\x89HDF": "an HDF5 file, which holds no weights of PyTorch",
}


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """What was read from a file.

    Attributes:
        sets: Each mapping of names to tensors in it, by where it lies (``""`` at the top, ``"a.b"`` deeper).
        skipped: Classes of the objects beside them that were passed over.
    """

    sets: dict[str, dict[str, Tensor]]
    skipped: tuple[str, ...] = ()


def read_weights(path: Path) -> WeightFile:
    """Read a file of ``torch.save`` or safetensors, an index of shards, or a folder of one of these.

    Raises:
        CheckpointError: It cannot be read, would run something, or holds no tensors by name.
    """
    try:
        return _read(_in_folder(path) if path.is_dir() else path)
    except CheckpointError:
        raise
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except MemoryError as error:
        raise CheckpointError(f"{path} asks for more memory than there is") from error
    except Exception as error:  # a damaged file makes its reader raise anything
        raise CheckpointError(f"{path} is damaged, or no checkpoint: {_reason(error)}") from None


def _read(path: Path, *, shard: bool = False) -> WeightFile:
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        raise CheckpointError(f"{path} is empty")
    headed = start[7:9] == b"\0{"  # the end of a length of 8 bytes, then JSON
    for first, kind in _OTHERS.items():
        if not headed and start.lstrip().startswith(first):
            raise CheckpointError(f"{path} is {kind}")
    if start[257:262] == b"ustar":
        raise CheckpointError(f"{path} is a tar archive; unpack it, and load the file inside")
    if headed or path.suffix == ".safetensors":
        return WeightFile(sets={"": _read_safetensors(path)})
    if start.lstrip().startswith(b"{"):
        if shard:
            raise CheckpointError(f"{path} is an index of shards, and another index names it as a shard")
        return WeightFile(sets={"": _read_shards(path)})
    content, skipped = load_restricted(path)
    sets = dict(_sets(content, "", set()))
    if not sets:
        objects = f". Its objects ({', '.join(skipped)}) were not made: save the state_dict() alone"
        raise CheckpointError(
            f"{path} holds no tensor by name, but {_described(content)}{objects if skipped else ''}"
        )
    return WeightFile(sets=sets, skipped=skipped)


def _in_folder(folder: Path) -> Path:
    names = sorted(entry for entry in folder.iterdir() if entry.name.endswith((".index.json", *_ENDINGS)))
    indexes = [entry for entry in names if entry.suffix == ".json"]
    found = indexes or names
    if len(found) == 1:
        return found[0]
    listed = ", ".join(entry.name for entry in found[:_SHOWN]) or "no checkpoint"
    raise CheckpointError(f"{folder} is a folder that holds {listed}; name one file")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        reader = importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise CheckpointError(f"reading {path} needs safetensors: pip install safetensors") from error
    try:
        return reader.load_file(path)
    except importlib.import_module("safetensors").SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file, or damaged: {_reason(error)}") from error


def _read_shards(path: Path) -> dict[str, Tensor]:
    """The tensors of an index, each from the shard that the index names."""
    index = json.loads(path.read_text(encoding="utf-8"))
    places = index.get("weight_map")
    if not isinstance(places, Mapping) or not places:
        raise CheckpointError(f"{path} is JSON, but no index of shards: it has no weight_map")
    shards: dict[str, dict[str, Tensor]] = {}
    for name in sorted({str(place) for place in places.values()}):
        if Path(name).name != name:
            raise CheckpointError(f"{path} names the shard {name}, which does not lie in its own folder")
        if not (path.parent / name).is_file():
            raise CheckpointError(f"{path} names the shard {name}, which is not there")
        shards[name] = _read(path.parent / name, shard=True).sets.get("", {})
    lost = [key for key, place in places.items() if key not in shards[str(place)]]
    if lost:
        raise CheckpointError(f"{path} places {lost[0]} in {places[lost[0]]}, which does not hold it")
    return {key: shards[str(place)][key] for key, place in places.items()}


def _sets(content: Any, where: str, seen: set[int]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Every mapping that holds tensors by name, once each, in the order of the file."""
    if id(content) in seen or where.count(".") > _DEPTH:
        return
    seen.add(id(content))
    if isinstance(content, Mapping):
        tensors = {key: x for key, x in content.items() if isinstance(key, str) and isinstance(x, Tensor)}
        if tensors:
            yield where, tensors
        inner = content.items()
    elif isinstance(content, list | tuple):
        inner = enumerate(content)
    else:
        return
    for key, value in inner:
        if isinstance(value, Mapping | list | tuple):
            yield from _sets(value, f"{where}.{key}" if where else str(key), seen)


def _described(content: Any) -> str:
    """What a file holds that has no tensors by name."""
    if not isinstance(content, Mapping):
        return f"a {name_of(content)}"
    entries = [f"{_told(key)} ({name_of(value)})" for key, value in list(content.items())[:_SHOWN]]
    return f"{', '.join(entries)}" if entries else f"an empty {name_of(content)}"


def _told(key: Any) -> str:
    return key[:_LONGEST] if isinstance(key, str) else f"a {name_of(key)}"


def _reason(error: Exception) -> str:
    """One plain line of an error of a reader, without PyTorch's advice to read the file unsafely."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    if not text or "weights_only" in text:
        return type(error).__name__
    return text.splitlines()[0]
