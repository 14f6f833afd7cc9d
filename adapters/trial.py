"""A trial: a model patched and set this way and that for a while, and afterwards as it was, or as chosen."""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from adapters.adapter import Adapter
from adapters.errors import MeasurementError
from adapters.host_htp import HostHTP
from adapters.installed import installed
from adapters.patching import ADAPTERS, find_htp, is_patched, patch_with, unpatch
from adapters.recognition import recognise
from adapters.verify import is_out_of_memory
from adapters.words import counted
from htp_modules import HTPConfig

_SEED = 0


@dataclass(eq=False)
class Trial:
    """A model that is being tried.

    Attributes:
        host: The patched host in it.
        htp: What the patch added.
        adapter: What is known about the host.
        device: Where the host is.
        fresh: It was patched for the trial.
        keep: The config to leave the model with; None to leave it as it was.
    """

    host: nn.Module
    htp: HostHTP
    adapter: Adapter
    device: torch.device
    fresh: bool
    keep: HTPConfig | None = None

    @property
    def name(self) -> str:
        """The host, in words."""
        return f"{installed(self.host).host.__name__}, a {self.adapter.name}"

    def plain(self, call: Callable[..., Any], *inputs: Any) -> Any:
        """Call something that runs the host, unpruned; unlike ``unpruned``, it spends no time to find it."""
        self.htp.enabled = False
        try:
            return call(*inputs)
        finally:
            self.htp.enabled = True

    def unpruned(self, call: Callable[..., Any], *inputs: Any) -> Any:
        """Call something that runs what the model would be without pruning.

        That is the host; of a patch from scratch, which has replaced the host's embedding, HTP where every
        frame is kept and attends to every frame.
        """
        before = self.htp.config
        if not (self.htp.from_scratch and before.spatial_gcn):
            return self.plain(call, *inputs)
        self.htp.config = replace(before, num_keep=1.0, num_neighbors=1.0)
        try:
            return call(*inputs)
        finally:
            self.htp.config = before


@contextmanager
def trial(model: nn.Module, config: HTPConfig | None = None) -> Iterator[Trial]:
    """Try a model: in evaluation mode, without gradients, its random draws repeatable.

    Args:
        model: A patched model, or one that can be. It comes out as it was: its training mode, its config, and
            unpatched if it was; unless the trial is told to ``keep`` a config.
        config: To start with. A model that is not patched yet gets its adapter's own by default, but with
            interpolation and no Spatial GCN: that needs no training.

    Raises:
        PatchError: It cannot be patched, or the patch is not in force any more.
        UnrecognisedHostError: It holds no host.
        ConfigError: The config does not fit.
        MeasurementError: It has no values (the meta device).
    """
    fresh = not is_patched(model)
    training = [module for module in model.modules() if module.training]
    cuda = {x.device for x in model.parameters() if x.is_cuda}
    with torch.random.fork_rng(sorted(cuda, key=str)):
        if fresh:
            patch_with(ADAPTERS, model, config or _untrained(model))
        tried: Trial | None = None
        host, htp = find_htp(model)
        before, enabled = htp.config, htp.enabled
        try:
            adapter = installed(host).adapter
            device = adapter.embedded_like(host).device
            if device.type == "meta":
                raise MeasurementError("the model is on the meta device: load its weights first")
            if config is not None:
                htp.config = config
            htp.enabled = True
            model.eval()
            tried = Trial(host, htp, adapter, device, fresh)
            with torch.no_grad():
                yield tried
        except BaseException:
            tried = None
            raise
        finally:
            keep = None if tried is None else tried.keep
            for module in model.modules():
                module.training = False
            for module in training:
                module.training = True
            htp.config, htp.enabled = keep or before, enabled
            if fresh:
                htp.train(host.training)
            if fresh and keep is None:
                unpatch(model)


def _untrained(model: nn.Module) -> HTPConfig:
    """The config of a patch that nobody has trained, for a model of any depth."""
    _, adapter, facts = recognise(model, ADAPTERS)
    layers = min(adapter.defaults.num_sft_layers, adapter.num_pairs(facts) - 1)
    return replace(adapter.defaults, num_sft_layers=layers, recovery="interpolate", spatial_gcn=False)


@contextmanager
def errors_told(what: str) -> Iterator[None]:
    """A block that runs a user's model, whose error becomes one line after ``what``.

    Raises:
        MeasurementError: It failed, but for lack of memory.
    """
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise MeasurementError(f"{what}: {reason}") from error


def repeatable(device: torch.device) -> None:
    """Set the seed of what a model may draw, on the CPU and on its device."""
    torch.default_generator.manual_seed(_SEED)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(_SEED)


def random_clips(tried: Trial, batch_size: int, frames: int) -> tuple[Tensor, ...]:
    """Arguments of the host's forward for clips of random poses, the same ones in every call."""
    torch.default_generator.manual_seed(_SEED)
    clips = [tried.adapter.clip(tried.host, tried.htp.facts, frames) for _ in range(batch_size)]
    return tuple(torch.cat(part).to(tried.device) for part in zip(*clips, strict=True))


def device_in_words(device: torch.device) -> str:
    """What times were taken on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = counted(torch.get_num_threads(), "thread")
    return f"{device.type} ({platform.machine()}, {threads})"
