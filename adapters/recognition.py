"""Which module of a model is a host, and how the nearest one differs where none is."""

import torch
from torch import nn

from adapters.adapter import Adapter, Facts
from adapters.errors import PatchError, UnrecognisedHostError
from adapters.refused import refusal_of

_NEAR = 0.5  # of what a probe looks for; with less, naming differences would be listing a whole host


def check_module(model: object) -> None:
    """Check that ``model`` is a module.

    Raises:
        UnrecognisedHostError: It is something else; the error says what.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise UnrecognisedHostError("a TorchScript program has no modules to patch: patch the model first")
    if isinstance(model, nn.Module):
        return
    got = f"the class {model.__name__}; build it first" if isinstance(model, type) else type(model).__name__
    raise UnrecognisedHostError(f"expected a torch.nn.Module, got {'None' if model is None else got}")


def recognise(model: nn.Module, adapters: tuple[Adapter, ...]) -> tuple[nn.Module, Adapter, Facts]:
    """The one host in ``model`` (itself or a module that it holds), its adapter, and its sizes.

    Raises:
        PatchError: It holds several.
        UnrecognisedHostError: It holds none; the error says why pruning does not apply to it where that is
            known, and names the nearest and how it differs where not.
    """
    check_module(model)
    found: dict[str, tuple[nn.Module, Adapter, Facts]] = {}
    nearest, where = UnrecognisedHostError(""), ""
    for path, module in model.named_modules():
        for adapter in adapters:
            try:
                found[path] = module, adapter, adapter.probe(module)
                break
            except UnrecognisedHostError as error:
                if error.likeness > nearest.likeness:
                    nearest, where = error, path
        if "" in found:  # a host holds no other
            break
    if len(found) > 1:
        raise PatchError(f"the model holds {len(found)} hosts; call with one of them: {', '.join(found)}")
    if found:
        return next(iter(found.values()))
    refused = refusal_of(model)
    if refused is not None:
        where, kind = refused
        name = type(model.get_submodule(where)).__name__
        holder = f"{type(model).__name__}.{where}: " if where else ""
        raise UnrecognisedHostError(
            f"{holder}{name} has the structure of {kind.name}, to which pruning in time does not apply: "
            f"{kind.why}"
        )
    if nearest.likeness >= _NEAR:
        holder = f"{type(model).__name__}.{where}: " if where else ""
        raise UnrecognisedHostError(f"{holder}{nearest}", nearest.missing, nearest.likeness)
    raise UnrecognisedHostError(
        f"{type(model).__name__} holds no host that can be patched: "
        f"{', '.join(adapter.name for adapter in adapters)}; docs/adapters.md says how to add one"
    )
