"""load_checkpoint: weights, and nothing but weights, into a model that they fit."""

import os
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn

from adapters.errors import CheckpointError
from adapters.host_htp import HostHTP
from adapters.keys import Fit, fit, plain, plain_keys, prefixes
from adapters.recognition import check_module
from adapters.weight_file import WeightFile, read_weights
from adapters.words import printable

_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What became of a checkpoint's weights.

    Attributes:
        matched: Keys that were loaded.
        missing: Keys of the model that the file does not have; they keep their values.
        unexpected: Keys of the file that the model does not have.
        resized: Keys of both with another shape or another kind of numbers; not loaded.
        key: Where in the file the weights lie, empty for its top.
        prefix: What stood in front of every key and was taken off, empty if nothing.
        skipped: Classes of the objects beside the weights that were passed over.
    """

    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    resized: tuple[str, ...]
    key: str = ""
    prefix: str = ""
    skipped: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{len(self.matched)} matched"]
        for name in ("missing", "unexpected", "resized"):
            keys = getattr(self, name)
            if keys:
                lines.append(f"{len(keys)} {name}: {_listed(keys)}")
        if self.prefix:
            lines.append(f"without the prefix {self.prefix}")
        if self.skipped:
            lines.append(f"objects skipped: {_listed(self.skipped)}")
        return printable("; ".join(lines))


def load_checkpoint(
    model: nn.Module, path: str | os.PathLike[str], *, key: str | None = None, strict: bool = True
) -> LoadReport:
    """Load a checkpoint's weights into a model, wrapped or patched or neither.

    The file may be of ``torch.save`` or safetensors, or the index of several. The weights are looked for in
    its dictionaries and lists. Names that wrappers put into keys (``module.``, ``_orig_mod.``) do not count,
    in the file's keys and in the model's; a prefix in front of all keys (``model.``) is taken off. Numbers
    are converted to the model's own precision. Only tensors are read: objects beside them, such as a NumPy
    random state or an argparse.Namespace, are passed over without running anything, or the file is refused.

    Args:
        model: Changed in place, only if the checkpoint is accepted. Of a model on the meta device, the loaded
            weights are on the CPU afterwards.
        path: The file, or a folder that holds one checkpoint.
        key: Which of several sets of weights in the file to load; an error names them.
        strict: Every key of the set has to match. One exception: a patched model takes a checkpoint from
            before the patch; its keys under ``htp.`` keep their values and are reported as missing. With
            False, what matches is loaded and the rest reported.

    Returns:
        What was loaded and what was not.

    Raises:
        CheckpointError: The file cannot be read, would run something, has no weights, has several sets that
            fit, or does not fit the model; the model is as it was.
    """
    check_module(model)
    path = Path(path)
    file = read_weights(path)
    state = {name: x for name, x in model.state_dict().items() if isinstance(x, Tensor)}
    names = plain_keys(state)
    added = _added(model, names)
    found = _choose(path, file, {short: state[name] for short, name in names.items()}, added, key, strict)
    report = LoadReport(
        matched=found.matched,
        missing=found.missing,
        unexpected=found.unexpected,
        resized=found.resized,
        key=found.name,
        prefix=found.prefix,
        skipped=file.skipped,
    )
    kind = type(model).__name__
    if not report.matched:
        raise CheckpointError(f"no weight of {path} fits {kind}: {report}")
    if strict and not _fits(found, added):
        hint = ""
        if not added and any(".htp." in f".{name}" for name in report.unexpected):
            hint = "; the file is of a patched model: patch this one before loading"
        elif added and all(".htp." in f".{name}" for name in (*report.missing, *report.unexpected)):
            hint = "; patch this one with the options that the file's model was patched with"
        raise CheckpointError(f"{path} does not fit {kind}: {report}{hint}")
    weights = {names[short]: found.tensors[short] for short in found.matched}
    if strict:
        _check_values(model, weights, path)
    _load(model, weights, state)
    return report


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _added(model: nn.Module, names: dict[str, str]) -> set[str]:
    """The keys, without the names of wrappers, of what a patch added to a model."""
    under = tuple(f"{plain(path)}." for path, module in model.named_modules() if isinstance(module, HostHTP))
    return {short for short in names if short.startswith(under)}


def _fits(found: Fit, added: set[str]) -> bool:
    """Whether a set is the model's, or is its host's from before a patch."""
    lacking = set(found.missing)
    half_added = bool(added & lacking) and bool(added & set(found.matched))
    return not (lacking - added or found.unexpected or found.resized or half_added)


def _choose(
    path: Path, file: WeightFile, own: dict[str, Tensor], added: set[str], key: str | None, strict: bool
) -> Fit:
    """The one set of a file's tensors that fits, or comes nearest.

    Raises:
        CheckpointError: Several fit and ``key`` names none of them, or it names none that there is.
    """
    found: list[Fit] = []
    for where, tensors in file.sets.items():
        short = {name: tensors[long] for name, long in plain_keys(tensors).items()}
        found += [fit(where, short, own, prefix) for prefix in prefixes(short, own) or [""]]
    needed = len(own) - len(added)
    whole = [one for one in found if len(one.matched) >= needed]
    if key is not None:
        named = [one for one in found if one.name == key]
        if not named:
            listed = ", ".join(repr(one.name) for one in found)
            raise CheckpointError(f"{path} has no weights at key={key!r}; it has some at {listed}")
        return named[0].beside(whole)
    found.sort(key=lambda one: len(one.matched), reverse=True)
    most = len(found[0].matched)
    rivals = whole if strict else [one for one in found if 2 * len(one.matched) > most]
    if len(rivals) > 1 and most:
        listed = ", ".join(repr(one.name) for one in rivals)
        raise CheckpointError(
            f"{path} holds several sets of weights that fit: {listed}; choose one, as key={rivals[0].name!r}"
        )
    return found[0]


def _check_values(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Check that a model on the meta device has all its values afterwards.

    Raises:
        CheckpointError: It would not.
    """
    # A file with one name of a parameter has the others; of a buffer, some may be kept out of files.
    tensors = chain(model.named_parameters(), model.named_buffers(remove_duplicate=False))
    without = tuple(name for name, x in tensors if x.is_meta and name not in weights)
    if without:
        raise CheckpointError(
            f"{path} has no values for {len(without)} tensors of a model on the meta device: "
            f"{_listed(without)}; load before patching, or build the model on a device"
        )


def _load(model: nn.Module, weights: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """Put weights into a model; the tensors of one on the meta device are replaced, all others written to."""
    replaced = {name: x.to(state[name].dtype) for name, x in weights.items() if state[name].is_meta}
    written = {name: x for name, x in weights.items() if name not in replaced}
    with torch.no_grad():
        if replaced:
            model.load_state_dict(replaced, strict=False, assign=True)
        if written:
            model.load_state_dict(written, strict=False)
