"""The only place that changes a host, and undoes it.

A patch changes two things on the host's instance: its class becomes a subclass of the host's own whose
forward runs through HTP, and a submodule ``htp`` joins it. Parameters, keys, hooks and attributes stay as
they are. Replacing ``forward`` on the instance instead would make a deepcopy run the original's weights.
"""

import copyreg
import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar, cast

import torch
from torch import nn

from adapters.adapter import Adapter, Facts
from adapters.d3dp import D3DP
from adapters.errors import PatchError, UnrecognisedHostError
from adapters.host_htp import HostHTP
from adapters.mixste import MIXSTE
from adapters.motionbert import MOTIONBERT
from adapters.verify import check_computation
from adapters.wrappers import check_distributed, refresh_distributed, unwrap
from htp_modules import HTP, ConfigError, HTPConfig

ADAPTERS = (MIXSTE, D3DP, MOTIONBERT)

Model = TypeVar("Model", bound=nn.Module)


class PatchedType(type):
    """The class of patched classes. They have no name to be imported by, so they pickle by how they are
    made.
    """

    host: type[nn.Module]
    adapter: Adapter


@cache
def patched_class(host: type[nn.Module], adapter: Adapter) -> PatchedType:
    """The subclass of ``host`` whose forward runs through HTP; the same one for the same arguments.

    Raises:
        PatchError: The host's class has a metaclass of its own, or a forward without named arguments.
    """
    if type(host) is not type:
        raise PatchError(
            f"{host.__name__} has the metaclass {type(host).__name__}; its class cannot be extended"
        )
    signature = inspect.signature(host.forward)
    parameters = list(signature.parameters.values())[1:]
    if any(parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) for parameter in parameters):
        raise PatchError(
            f"{host.__name__}.forward{signature} names no arguments; it may be wrapped by a decorator"
        )
    names = [parameter.name for parameter in parameters]
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}

    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        # Without a word on strictness, which the compiler of PyTorch 2.4 takes for strict.
        given = {**defaults, **dict(zip(names, args)), **kwargs}  # noqa: B905
        if (
            len(args) > len(names)
            or len(given) != len(names)
            or any(name in kwargs for name in names[: len(args)])
        ):
            signature.bind(self, *args, **kwargs)  # raises, in the words of the host's own signature
        return adapter.run(self, *[given[name] for name in names])

    forward.__signature__ = signature  # pyright: ignore[reportFunctionMemberAccess]
    forward.__doc__ = host.forward.__doc__
    body = {"forward": forward, "__module__": host.__module__, "__doc__": host.__doc__}
    made = PatchedType(f"HTP{host.__name__}", (host,), body)
    made.host, made.adapter = host, adapter
    return made


def _reduce_class(patched: PatchedType) -> tuple[Any, ...]:
    return patched_class, (patched.host, patched.adapter)


copyreg.pickle(PatchedType, _reduce_class)  # pyright: ignore[reportArgumentType]


def find_patched(model: nn.Module) -> nn.Module | None:
    """The patched host in ``model`` or what it wraps, None if there is none."""
    return next((m for m in unwrap(model) if isinstance(m._modules.get("htp"), HostHTP)), None)


def htp_of(model: nn.Module) -> HTP:
    """The HTP that a patch added, wherever ``model`` holds it; assign its ``config`` to change k, f and n.

    Raises:
        PatchError: The model is not patched.
    """
    return cast(HTP, _patched_host(model).get_submodule("htp"))


def _patched_host(model: nn.Module) -> nn.Module:
    host = find_patched(model)
    if host is None:
        raise PatchError("the model is not patched; call patch(model) first")
    return host


def is_patched(model: nn.Module) -> bool:
    """Whether ``model``, or what it wraps, is patched."""
    return find_patched(model) is not None


def patch_with(
    adapter: Adapter | tuple[Adapter, ...],
    model: Model,
    config: HTPConfig | None = None,
    *,
    from_scratch: bool = False,
    **config_fields: Any,
) -> Model:
    """Prune a host's time axis, in place; ``unpatch`` undoes it.

    Everything is checked and built before anything changes; after an error the model is as it was. New
    parameters lie under ``htp.``; an optimizer built before keeps training the host's, and does not know the
    new ones.

    Args:
        adapter: What to know about the host, or several to be tried in turn.
        model: The host, or a wrapper around it (DataParallel, DistributedDataParallel, torch.compile, D3DP's
            sampler, MotionBERT's ActionNet and MeshRegressor). Around DistributedDataParallel every process
            calls.
        config: Where and how hard to prune; the adapter's own defaults if not given.
        from_scratch: The Spatial GCN, if the config has one, replaces the host's joint embedding (which is
            frozen), for training a model from its beginning. Else it joins the embedding with a zero start.
        **config_fields: Fields of :class:`HTPConfig` that differ from ``config``.

    Returns:
        The model itself.

    Raises:
        PatchError: The model is patched already, or cannot be patched.
        UnrecognisedHostError: It is not a host of the adapter; the error lists what it lacks.
        ConfigError: An unknown or wrong option, or more masked pairs than the host has.
    """
    if is_patched(model):
        raise PatchError(
            "the model is patched already; call unpatch(model) first, or assign htp_of(model).config"
        )
    host, adapter, facts = recognise(model, adapter if isinstance(adapter, tuple) else (adapter,))
    config = _merge(adapter.defaults if config is None else config, config_fields)
    if config.num_sft_layers >= adapter.num_pairs(facts):
        raise ConfigError(
            f"num_sft_layers={config.num_sft_layers} leaves no pair of blocks for the first: this "
            f"{adapter.name} has {adapter.num_pairs(facts)}; give at most {adapter.num_pairs(facts) - 1}"
        )
    check_distributed(model)
    patched = patched_class(type(host), adapter)
    check_computation(host, adapter, facts, config, install, patched)
    htp = build(host, adapter, facts, config, from_scratch=from_scratch)
    original = type(host)
    try:
        install(host, htp, patched)
        refresh_distributed(model)
    except BaseException:
        _remove(host, htp, original)
        raise
    return model


def recognise(model: nn.Module, adapters: tuple[Adapter, ...]) -> tuple[nn.Module, Adapter, Facts]:
    """The host in ``model`` or what it wraps, its adapter, and its sizes.

    Raises:
        UnrecognisedHostError: None of the adapters knows it; the error lists what each lacked.
    """
    errors: list[UnrecognisedHostError] = []
    for candidate in unwrap(model):
        errors = []
        for adapter in adapters:
            try:
                return candidate, adapter, adapter.probe(candidate)
            except UnrecognisedHostError as error:
                errors.append(error)
    raise UnrecognisedHostError(
        "\n".join(str(error) for error in errors), tuple(part for error in errors for part in error.missing)
    )


def build(
    host: nn.Module, adapter: Adapter, facts: Facts, config: HTPConfig, *, from_scratch: bool
) -> HostHTP:
    """The module ``htp`` for a host, on its device, in its dtype and its training mode."""
    table = getattr(host, adapter.position)
    with torch.device("cpu"):
        htp = HostHTP(facts, config, adapter.modules(facts), from_scratch=from_scratch)
    if from_scratch and config.spatial_gcn:
        embedding = host.get_submodule(adapter.embedding)
        htp.frozen = tuple(
            f"{adapter.embedding}.{name}" for name, p in embedding.named_parameters() if p.requires_grad
        )
    return htp.to(table.device, table.dtype).train(host.training)


def install(host: nn.Module, htp: HostHTP, patched: type) -> None:
    """Change the host."""
    for name in htp.frozen:
        host.get_parameter(name).requires_grad_(False)
    host.add_module("htp", htp)
    host.__class__ = patched


def _remove(host: nn.Module, htp: HostHTP, original: type[nn.Module]) -> None:
    host.__class__ = original
    host._modules.pop("htp", None)
    for name in htp.frozen:
        host.get_parameter(name).requires_grad_(True)


def unpatch(model: Model) -> Model:
    """Undo a patch: class, attributes, keys and output are as before; the host's weights as trained since.

    Args:
        model: What was patched, or a wrapper around it. Around DistributedDataParallel every process calls.

    Returns:
        The model itself.

    Raises:
        PatchError: The model is not patched.
    """
    host = _patched_host(model)
    check_distributed(model)
    patched, htp = type(host), cast(HostHTP, host.get_submodule("htp"))
    _remove(host, htp, patched.host if isinstance(patched, PatchedType) else patched)
    try:
        refresh_distributed(model)
    except BaseException:
        install(host, htp, patched)
        raise
    return model


@contextmanager
def unpruned(model: Model) -> Iterator[Model]:
    """Run the host's own forward inside the block: every frame, every block, nothing added.

    The weights are those of the patched model. Not for training under DistributedDataParallel, whose added
    parameters would get no gradient.

    Raises:
        PatchError: The model is not patched.
    """
    host = _patched_host(model)
    patched = type(host)
    if not isinstance(patched, PatchedType):  # an unpruned block inside another
        yield model
        return
    host.__class__ = patched.host  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield model
    finally:
        if "htp" in host._modules:  # unless unpatched inside the block
            host.__class__ = patched  # pyright: ignore[reportAttributeAccessIssue]


def _merge(config: HTPConfig, config_fields: dict[str, Any]) -> HTPConfig:
    known = [field.name for field in fields(HTPConfig)]
    unknown = sorted(set(config_fields) - set(known))
    if unknown:
        raise ConfigError(f"HTPConfig has no {', '.join(unknown)}; its fields are {', '.join(known)}")
    return replace(config, **config_fields)
