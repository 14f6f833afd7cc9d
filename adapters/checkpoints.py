"""load_checkpoint: weights, and nothing but weights, into a model that they fit."""

import importlib
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from adapters.errors import CheckpointError
from adapters.patching import find_patched

_CONTAINERS = (
    "model_pos",
    "model",
    "model_state_dict",
    "state_dict",
)  # of D3DP and MixSTE, MotionBERT, others
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_SHOWN = 8

# What a NumPy array, scalar or random state is pickled by, from NumPy 1 to 2.
_NUMPY = {
    "_codecs": ("encode",),  # of their bytes; PyTorch 2.4 does not allow the real one
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct", "scalar"),
    "numpy._core.multiarray": ("_reconstruct", "scalar"),
    "numpy.random._pickle": ("__randomstate_ctor", "__bit_generator_ctor", "__generator_ctor"),
    "numpy.random._mt19937": ("MT19937",),
    "numpy.random._pcg64": ("PCG64",),
    "numpy.random.bit_generator": ("SeedSequence", "__pyx_unpickle_SeedSequence"),
}


class _Skipped:
    """Stands in for a NumPy object of a file: takes everything, keeps nothing, runs nothing of NumPy."""

    def __new__(cls, *_args: object) -> "_Skipped":
        return super().__new__(cls)

    def __init__(self, *_args: object) -> None: ...

    def __setstate__(self, _state: object) -> None: ...


_STAND_INS = [
    type(name, (_Skipped,), {"__module__": module, "__qualname__": name})
    for module, names in _NUMPY.items()
    for name in names
]


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of a checkpoint's weights.

    Attributes:
        matched: Keys that were loaded.
        missing: Keys of the model that the file does not have; they keep their values.
        unexpected: Keys of the file that the model does not have.
        resized: Keys of both with another shape; not loaded.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    resized: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.matched)} matched"]
        for name in ("missing", "unexpected", "resized"):
            keys = getattr(self, name)
            if keys:
                more = f" and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else ""
                lines.append(f"{len(keys)} {name}: {', '.join(keys[:_SHOWN])}{more}")
        return "; ".join(lines)


def load_checkpoint(model: nn.Module, path: str | os.PathLike[str], *, strict: bool = True) -> LoadReport:
    """Load a checkpoint's weights into a model, wrapped or patched or neither.

    The file may be of ``torch.save`` or safetensors. Wrapping dictionaries (``model_pos``, ``model``,
    ``model_state_dict``, ``state_dict``) and the prefixes of DataParallel and torch.compile are taken off.
    Only tensors are read: NumPy objects in the file, such as a random state, are skipped without running
    NumPy, and a file that would run anything else is refused.

    Args:
        model: Changed in place, only if the checkpoint is accepted.
        path: The file.
        strict: Every key has to match. One exception: a patched model takes a checkpoint from before the
            patch; its keys under ``htp.`` keep their values and are reported as missing. With False, what
            matches is loaded and the rest reported.

    Returns:
        What was loaded and what was not.

    Raises:
        CheckpointError: The file cannot be read, holds more than weights, has no weights, or does not fit the
            model; the model is as it was.
    """
    path = Path(path)
    found = _weights(_read(path), path)
    own = {_strip(key): key for key in model.state_dict()}
    target = model.state_dict()
    host = find_patched(model)
    added = set() if host is None else {key for key in own if ".htp." in f".{key}"}
    shapes = {key: target[own[key]].shape for key in own if isinstance(target[own[key]], Tensor)}
    report = LoadReport(
        matched=tuple(key for key in found if key in shapes and found[key].shape == shapes[key]),
        missing=tuple(key for key in own if key not in found),
        unexpected=tuple(key for key in found if key not in own),
        resized=tuple(
            f"{key} {list(found[key].shape)} for {list(shapes[key])}"
            for key in found
            if key in shapes and found[key].shape != shapes[key]
        ),
    )
    if not report.matched:
        raise CheckpointError(f"no weight of {path} fits {type(model).__name__}: {report}")
    lacking = [key for key in report.missing if key not in added]
    has_added = any(key in added for key in report.matched)
    if strict and (lacking or report.unexpected or report.resized or (has_added and report.missing)):
        hint = ""
        if host is None and any(".htp." in f".{key}" for key in report.unexpected):
            hint = "; the file is of a patched model: patch this one before loading"
        raise CheckpointError(f"{path} does not fit {type(model).__name__}: {report}{hint}")
    model.load_state_dict({own[key]: found[key] for key in report.matched}, strict=False)
    return report


def _read(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        with _numpy_skipped():
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).replace("\n", " ")
        raise CheckpointError(
            f"{path} holds more than weights, or is damaged; nothing of it was run: {reason}"
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    except (EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise CheckpointError(f"{path} is not a whole checkpoint: {error}") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        reader = importlib.import_module("safetensors.torch")
    except ImportError as error:
        raise CheckpointError(f"reading {path} needs the package safetensors") from error
    try:
        return reader.load_file(path)
    except importlib.import_module("safetensors").SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file: {error}") from error


@contextmanager
def _numpy_skipped() -> Iterator[None]:
    """Let PyTorch's restricted unpickler meet NumPy's names, as names of stand-ins."""
    before = get_safe_globals()
    add_safe_globals(_STAND_INS)
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(before)


def _weights(content: Any, path: Path) -> dict[str, Tensor]:
    while isinstance(content, Mapping):
        inner = next((content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, no dictionary of weights")
    weights = {_strip(key): value for key, value in content.items() if isinstance(value, Tensor)}
    if not weights:
        raise CheckpointError(
            f"{path} holds no tensor by name; its keys are {', '.join(map(str, list(content)[:_SHOWN]))}"
        )
    return weights


def _strip(key: str) -> str:
    while key.startswith(_PREFIXES):
        key = key.removeprefix(_PREFIXES[0]).removeprefix(_PREFIXES[1])
    return key
