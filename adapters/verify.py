"""The last look before a patch: does the host compute what its structure says?

Structure alone does not tell: MixSTE's repository holds a variant with the same parts in another order. A
copy of the host runs a clip of a few frames with and without a patch that prunes nothing; both must agree.
"""

import copy
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from adapters.adapter import Adapter, Facts
from adapters.errors import PatchError, UnrecognisedHostError
from adapters.host_htp import HostHTP, float32_by_default
from htp_modules import HTPConfig

# Of the largest output, or of 1 if that is larger: far above float32 rounding (TF32 included), far below
# another model's output of the usual size.
_TOLERANCE = 1e-3


def bare_copy(host: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose forward is its class's own, without the user's hooks.

    Raises:
        PatchError: The host cannot be copied.
    """
    # Hooks may hold what cannot be copied, such as a logger's lock; the copy gets none.
    hooks = {
        id(value): type(value)()
        for module in host.modules()
        for name, value in vars(module).items()
        if "_hooks" in name and isinstance(value, dict)
    }
    try:
        twin = copy.deepcopy(host, hooks)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise PatchError(f"{type(host).__name__} cannot be copied: {error}") from error
    vars(twin).pop("forward", None)  # a wrapper, which may run the original's weights
    return twin.eval().requires_grad_(False)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, of a device or of the computer."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    words = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")
    return isinstance(error, RuntimeError) and any(phrase in str(error).lower() for phrase in words)


def check_computation(
    host: nn.Module,
    adapter: Adapter,
    facts: Facts,
    config: HTPConfig,
    install: Callable[[nn.Module, HostHTP, type], None],
    patched: type,
) -> None:
    """Check that a patch that prunes nothing leaves the host's output as it is. The host itself is not run.

    Raises:
        UnrecognisedHostError: The outputs differ, or a forward fails.
        PatchError: The host cannot be copied.
    """
    if adapter.embedded_like(host).is_meta:
        return
    kind = f"{type(host).__name__} has the parts of a {adapter.name}, but"
    difference = 0.0
    # Weights unlike any trained ones can magnify float32 rounding past the tolerance: then float64 decides.
    for dtype in (torch.float32, torch.float64):
        try:
            expected, actual = _run_both(host, adapter, facts, config, install, patched, dtype)
        except PatchError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise PatchError(
                    "out of memory in the check before a patch, which runs a copy of the model on a short "
                    "clip; free some, or patch the model on the CPU and move it afterwards"
                ) from error
            if dtype == torch.float64:
                break  # a host that runs in float32 alone
            raise UnrecognisedHostError(f"{kind} a copy of it failed on a short clip: {error}") from error
        if not isinstance(expected, Tensor) or expected.shape != actual.shape:
            raise UnrecognisedHostError(
                f"{kind} returns {_describe(expected)} where one of {tuple(actual.shape)} was looked for"
            )
        difference, largest = float((expected - actual).abs().max()), float(expected.abs().max())
        if difference <= _TOLERANCE * max(largest, 1.0):
            return
    raise UnrecognisedHostError(
        f"{kind} computes something else: its output differs by {difference:.3g} from those parts in a "
        f"{adapter.name}'s order"
    )


def shorten(host: nn.Module, adapter: Adapter, frames: int) -> None:
    """Cut what a host has for each frame to the first ``frames``."""
    for path, axes in adapter.by_frame:
        owner, _, name = path.rpartition(".")
        for holder in _modules(host, owner):
            tensor = getattr(holder, name).detach()
            for axis in axes:
                tensor = tensor.narrow(axis, 0, min(frames, tensor.shape[axis]))
            setattr(holder, name, nn.Parameter(tensor, False) if name in holder._parameters else tensor)


def _modules(host: nn.Module, path: str) -> list[nn.Module]:
    """The submodules at ``path``, in which ``*`` stands for each child."""
    before, star, after = path.partition(".*.")
    found = host.get_submodule(before)
    return [module for child in found.children() for module in _modules(child, after)] if star else [found]


def _run_both(
    host: nn.Module,
    adapter: Adapter,
    facts: Facts,
    config: HTPConfig,
    install: Callable[[nn.Module, HostHTP, type], None],
    patched: type,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """The outputs of a copy of the host on a short clip, by itself and patched to keep everything."""
    device = adapter.embedded_like(host).device
    # The generator is left as found: a seeded program draws the same numbers with and without this check.
    with torch.random.fork_rng([]), torch.device("cpu"), float32_by_default():
        torch.default_generator.manual_seed(0)
        twin = bare_copy(host).to(dtype)
        frames = min(adapter.check_frames or facts.num_frames, facts.num_frames)
        shorten(twin, adapter, frames)
        facts = replace(facts, num_frames=frames)
        inputs = [x.to(device) for x in adapter.clip(twin, facts, frames)]
        keep_all = replace(config, num_neighbors=1.0, num_keep=1.0, required=())  # the clip is a short one
        htp = HostHTP(facts, keep_all, adapter.modules(facts), from_scratch=False)
        htp = htp.to(device, dtype).eval()
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        expected = twin(*(x.clone() for x in inputs))  # some hosts write into what they are given
        install(twin, htp, patched)
        return expected, twin(*inputs)


def _describe(value: object) -> str:
    return (
        f"a tensor of shape {tuple(value.shape)}"
        if isinstance(value, Tensor)
        else f"a {type(value).__name__}"
    )
