"""Weights in a checkpoint's file: which of its tensors are which model's.

The file of a run holds two models, each under a prefix, beside the state of the optimizer. A published file
holds the averaged weights alone, by the model's own names, as ``load_state_dict`` takes them; a file that was
published before they were plain has the prefix.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor

Weights = Literal["averaged", "last"]
"""The running average over the steps, which samples, or the weights of the last step, which are trained."""

_PREFIXES: dict[Weights, str] = {"averaged": "ema.", "last": "model."}


def as_part_of_a_run(weights: Weights, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A model's parameters and buffers by the names that they have in the file of a run."""
    return {f"{_PREFIXES[weights]}{name}": value for name, value in state.items()}


def names_of(weights: Weights, names: Iterable[str]) -> list[str]:
    """The names of a model's tensors among all names of a file; none if the file does not hold it."""
    names = list(names)
    if not any(name.startswith(tuple(_PREFIXES.values())) for name in names):
        return names if weights == "averaged" else []
    return [name for name in names if name.startswith(_PREFIXES[weights])]


def weights_in(tensors: Mapping[str, Tensor], weights: Weights) -> dict[str, Tensor]:
    """A model's tensors of a file, by the model's own names."""
    prefix = _PREFIXES[weights]
    return {name.removeprefix(prefix): tensors[name] for name in names_of(weights, tensors)}
