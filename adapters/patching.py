"""The only place that changes a host, and undoes it.

A patch changes two things on the host's instance: its class becomes a subclass of the host's own whose
forward runs through HTP, and a submodule ``htp`` joins it. Parameters, keys, hooks and attributes stay as
they are. Replacing ``forward`` on the instance instead would make a deepcopy run the original's weights.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Literal, TypeVar

import torch
from torch import nn

from adapters.adapter import Adapter, Facts
from adapters.d3dp import D3DP
from adapters.distributed import check_distributed, refresh_distributed
from adapters.errors import PatchError, UnrecognisedHostError
from adapters.finepose import FINEPOSE
from adapters.host_htp import HostHTP, float32_by_default
from adapters.installed import class_without, installed, installed_class, patched_class
from adapters.ktpformer import KTPFORMER
from adapters.mixste import MIXSTE
from adapters.motionagformer import MOTIONAGFORMER
from adapters.motionbert import MOTIONBERT
from adapters.recognition import check_module, recognise
from adapters.stcformer import STCFORMER
from adapters.verify import check_computation
from htp_modules import HTP, ConfigError, HTPConfig

ADAPTERS = (MIXSTE, D3DP, MOTIONBERT, FINEPOSE, KTPFORMER, STCFORMER, MOTIONAGFORMER)

Model = TypeVar("Model", bound=nn.Module)


def find_patched(model: nn.Module) -> nn.Module | None:
    """The patched host in ``model`` (itself or a module that it holds), None if there is none.

    Raises:
        PatchError: It holds several.
        UnrecognisedHostError: It is no module.
    """
    check_module(model)
    found = {
        path: module
        for path, module in model.named_modules()
        if installed_class(module) is not None or isinstance(module._modules.get("htp"), HostHTP)
    }
    if len(found) > 1:
        raise PatchError(
            f"the model holds {len(found)} patched hosts; call with one of them: {', '.join(found)}"
        )
    return next(iter(found.values()), None)


def find_htp(model: nn.Module) -> tuple[nn.Module, HostHTP]:
    """The patched host in ``model``, and what the patch added to it.

    Raises:
        PatchError: The model is not patched, or ``htp`` was taken out of it.
    """
    host = find_patched(model)
    if host is None:
        raise PatchError("the model is not patched; call patch(model) first")
    # Somebody may have wrapped it, by torch.compile for instance.
    added = host._modules.get("htp")
    inside = [module for module in (added.modules() if added else ()) if isinstance(module, HostHTP)]
    if not inside:
        raise PatchError(
            f"the htp that the patch added is no longer in the model ({type(host).__name__}.htp is "
            f"{type(added).__name__}); put it back"
        )
    # PEFT's wrapper holds the original beside the copy that it trains and runs.
    htp = next((module for module in inside if module.tcep is getattr(added, "tcep", None)), inside[0])
    htp.belongs_to(host)
    return host, htp


def htp_of(model: nn.Module) -> HTP:
    """The HTP that a patch added, wherever ``model`` holds it; assign its ``config`` to change k, f and n.

    Raises:
        PatchError: The model is not patched, or the patch is not in force any more.
    """
    host, htp = find_htp(model)
    installed(host)
    return htp


def adapter_of(model: nn.Module) -> Adapter:
    """The adapter that the model was patched with.

    Raises:
        PatchError: The model is not patched, or the patch is not in force any more.
    """
    return installed(find_htp(model)[0]).adapter


def is_patched(model: nn.Module) -> bool:
    """Whether ``model``, or the host that it holds, is patched.

    Raises:
        PatchError: It holds several patched hosts.
    """
    return find_patched(model) is not None


def patch_with(
    adapter: Adapter | tuple[Adapter, ...],
    model: Model,
    config: HTPConfig | None = None,
    *,
    from_scratch: bool = False,
    num_neighbors: int | float | None = None,
    num_keep: int | float | None = None,
    num_sft_layers: int | None = None,
    density_neighbors: int | None = None,
    recovery: Literal["cross_attention", "interpolate"] | None = None,
    spatial_gcn: bool | None = None,
    required: tuple[Literal["centre", "first", "last"] | int, ...] | None = None,
) -> Model:
    """Prune a host's time axis, in place; ``unpatch`` undoes it.

    Everything is checked and built before anything changes; after an error the model is as it was. New
    parameters lie under ``htp.``; an optimizer built before keeps training the host's, and does not know the
    new ones.

    Args:
        adapter: What to know about the host, or several to be tried in turn.
        model: The host, or a module that holds one (DataParallel, DistributedDataParallel, torch.compile,
            D3DP's sampler, MotionBERT's ActionNet, an average of weights). Around DistributedDataParallel
            every process calls.
        config: Where and how hard to prune; the adapter's own defaults if not given. The options that follow
            are those of :class:`HTPConfig`, which says what they mean; each replaces the config's.
        from_scratch: The Spatial GCN, if the config has one, replaces the host's joint embedding (which is
            frozen), for training a model from its beginning. Else it joins the embedding with a zero start.
        num_neighbors: k.
        num_keep: f.
        num_sft_layers: n.
        density_neighbors: k'.
        recovery: How the full length comes back.
        spatial_gcn: Whether a Spatial GCN embeds the joints.
        required: Frames that must stay.

    Returns:
        The model itself.

    Raises:
        PatchError: The model is patched already, holds several hosts, or cannot be patched.
        UnrecognisedHostError: It is not a host of the adapter; the error says how it differs.
        ConfigError: A wrong option, more masked pairs than the host has, or required frames that its clips
            do not have or keep.
    """
    if is_patched(model):
        raise PatchError(
            "the model is patched already; call unpatch(model) first, or assign htp_of(model).config"
        )
    host, adapter, facts = _recognised(model, adapter if isinstance(adapter, tuple) else (adapter,))
    options = {
        "num_neighbors": num_neighbors,
        "num_keep": num_keep,
        "num_sft_layers": num_sft_layers,
        "density_neighbors": density_neighbors,
        "recovery": recovery,
        "spatial_gcn": spatial_gcn,
        "required": required,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if config is not None and not isinstance(config, HTPConfig):
        raise ConfigError(f"config expects an HTPConfig, got {type(config).__name__}")
    config = replace(adapter.defaults if config is None else config, **given)  # pyright: ignore[reportArgumentType]
    adapter.check_layers(config, facts)
    check_distributed(model, host)
    original, patched = type(host), patched_class(type(host), adapter)
    check_computation(host, adapter, facts, config, install, patched)
    htp = build(host, adapter, facts, config, from_scratch=from_scratch)
    try:
        install(host, htp, patched)
        refresh_distributed(model, host)
    except BaseException:
        _remove(host, htp, original)
        raise
    return model


def _recognised(model: nn.Module, adapters: tuple[Adapter, ...]) -> tuple[nn.Module, Adapter, Facts]:
    """As ``recognise``; an error says so where another adapter is the one."""
    try:
        return recognise(model, adapters)
    except UnrecognisedHostError as error:
        try:
            _, other, _ = recognise(model, ADAPTERS)
        except (PatchError, UnrecognisedHostError):
            raise error from None
        told = f"{error}; it is a {other.name}: call adapters.patch(model), which takes any"
        raise UnrecognisedHostError(told, error.missing, error.likeness) from error


def build(
    host: nn.Module, adapter: Adapter, facts: Facts, config: HTPConfig, *, from_scratch: bool
) -> HostHTP:
    """The module ``htp`` for a host, on its device, in its dtype and its training mode."""
    like = adapter.embedded_like(host)
    with torch.inference_mode(False), torch.device("cpu"), float32_by_default():
        htp = HostHTP(facts, config, adapter.modules(facts), from_scratch=from_scratch)
    if from_scratch and config.spatial_gcn:
        embedding = host.get_submodule(adapter.embedding)
        htp.frozen = tuple(
            f"{adapter.embedding}.{name}" for name, p in embedding.named_parameters() if p.requires_grad
        )
    return htp.to(like.device, like.dtype).train(host.training)


def install(host: nn.Module, htp: nn.Module, patched: type) -> None:
    """Change the host."""
    for module in htp.modules():
        if isinstance(module, HostHTP):
            module.belongs_to(host)
            for name in module.frozen:
                host.get_parameter(name).requires_grad_(False)
    host.add_module("htp", htp)
    host.__class__ = patched


def _remove(host: nn.Module, htp: HostHTP, original: type[nn.Module]) -> None:
    named = dict(host.named_parameters(remove_duplicate=False))
    if gone := [name for name in htp.frozen if name not in named]:
        raise PatchError(
            f"{' and '.join(gone)}, frozen by the patch, can be found no more: undo what was done to it first"
        )
    host.__class__ = original
    host._modules.pop("htp", None)
    for name in htp.frozen:
        named[name].requires_grad_(True)


def unpatch(model: Model) -> Model:
    """Undo a patch: class, attributes, keys and output are as before; the host's weights as trained since.

    Args:
        model: What was patched, or a module that holds it. Around DistributedDataParallel every process
            calls.

    Returns:
        The model itself.

    Raises:
        PatchError: The model is not patched, or was changed since in a way that the patch cannot be taken out
            of; it runs on as it did.
    """
    host, htp = find_htp(model)
    if installed_class(host) is not None:
        installed(host)
    check_distributed(model, host)
    patched, added, original = type(host), host._modules["htp"], class_without(host)
    _remove(host, htp, original)
    try:
        refresh_distributed(model, host)
    except BaseException:
        install(host, added or htp, patched)
        raise
    return model


@contextmanager
def unpruned(model: Model) -> Iterator[Model]:
    """Run the host's own forward inside the block: every frame, every block, nothing added.

    The weights are those of the patched model; of a patch from scratch, the host's embedding is as it was
    before. A copy made inside the block stays unpruned. Not for training under DistributedDataParallel, whose
    added parameters would get no gradient.

    Raises:
        PatchError: The model is not patched, or the patch is not in force any more.
    """
    host, htp = find_htp(model)
    installed(host)
    enabled = htp.enabled
    htp.enabled = False
    try:
        yield model
    finally:
        htp.enabled = enabled
