"""Keys: which names of a file's tensors are which of a model's.

Wrappers put their own names into keys (``module.``, ``_orig_mod.``), anywhere; programs put one prefix in
front of all (``model.``, ``backbone.``). The first are taken out on both sides, the second is found by
comparison.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import Tensor

# Of DataParallel and its kin, torch.compile, FSDP, activation checkpointing, Lightning Fabric.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}


def plain(key: str) -> str:
    """A key without the names of wrappers."""
    return ".".join(part for part in key.split(".") if part not in _WRAPPERS)


def plain_keys(keys: Iterable[str]) -> dict[str, str]:
    """Each key without the names of wrappers, and as it is; unchanged where two would become one."""
    keys = list(keys)
    short = {plain(key): key for key in keys}
    return short if len(short) == len(keys) else {key: key for key in keys}


def prefixes(keys: Iterable[str], own: Iterable[str]) -> list[str]:
    """What stands in front of a model's ``own`` keys in a file's, the most frequent first."""
    wanted, found = set(own), Counter()
    longest = max((key.count(".") + 1 for key in wanted), default=0)
    for key in keys:
        parts = key.split(".")
        for start in range(max(0, len(parts) - longest), len(parts)):
            if ".".join(parts[start:]) in wanted:
                found["".join(f"{part}." for part in parts[:start])] += 1
    return [prefix for prefix, _ in found.most_common()]


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One set of a file's tensors beside a model's.

    Attributes:
        name: Where the set lies in the file, its prefix included.
        prefix: What was taken off its keys, empty if nothing.
        tensors: Those of the model's own keys.
        matched: Keys of both that can be loaded.
        missing: Keys of the model that the set does not have.
        unexpected: Keys of the set, as in the file, that the model does not have.
        resized: Keys of both with another shape or another kind of numbers, both of which are told.
    """

    name: str
    prefix: str
    tensors: dict[str, Tensor]
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    resized: tuple[str, ...]

    def beside(self, rivals: "Iterable[Fit]") -> "Fit":
        """This set, asked for by name: keys outside its prefix, or under a rival's, are no part of it."""
        others = tuple(one.prefix for one in rivals if one.prefix not in ("", self.prefix))
        inside = (key for key in self.unexpected if key.startswith(self.prefix))
        return replace(self, unexpected=tuple(key for key in inside if not key.startswith(others)))


def fit(where: str, tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], prefix: str) -> Fit:
    """Compare the set of tensors at ``where``, its keys without the names of wrappers, with a model's."""
    cut = {key.removeprefix(prefix): x for key, x in tensors.items() if key.startswith(prefix)}
    both = [key for key in own if key in cut]
    other = {key: difference for key in both if (difference := _difference(cut[key], own[key]))}
    return Fit(
        name=".".join(part for part in (where, prefix[:-1]) if part),
        prefix=prefix,
        tensors={key: cut[key] for key in both},
        matched=tuple(key for key in both if key not in other),
        missing=tuple(key for key in own if key not in cut),
        unexpected=tuple(
            key for key in tensors if not key.startswith(prefix) or key[len(prefix) :] not in own
        ),
        resized=tuple(f"{key} {difference}" for key, difference in other.items()),
    )


def _difference(found: Tensor, own: Tensor) -> str:
    """What keeps a tensor from being loaded, empty if nothing."""
    if found.shape != own.shape:
        return f"{list(found.shape)} for {list(own.shape)}"
    if found.is_meta:
        return "without values"
    if found.layout != own.layout or found.is_quantized:
        return f"{'quantized' if found.is_quantized else found.layout} for {own.layout}"
    if found.is_floating_point() != own.is_floating_point() or found.is_complex() != own.is_complex():
        return f"{found.dtype} for {own.dtype}"
    return ""
