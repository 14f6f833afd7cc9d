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
from adapters.host_htp import HostHTP
from htp_modules import HTPConfig

_FRAMES = 3
_TOLERANCE = (
    1e-3  # of the largest output: far above float32 rounding (TF32 included), far below another model's
)


def bare_copy(host: nn.Module) -> nn.Module:
    """A copy in evaluation mode whose forward calls none of the user's hooks.

    Raises:
        PatchError: The host cannot be copied.
    """
    try:
        twin = copy.deepcopy(host)
    except Exception as error:
        raise PatchError(f"{type(host).__name__} cannot be copied: {error}") from error
    for module in twin.modules():
        module._forward_hooks.clear()
        module._forward_pre_hooks.clear()
    return twin.eval().requires_grad_(False)


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
    table = getattr(host, adapter.position)
    if table.is_meta:
        return
    device = table.device
    # The generator is left as found: a seeded program draws the same numbers with and without this check.
    with torch.random.fork_rng([]), torch.device("cpu"):
        torch.default_generator.manual_seed(0)
        twin = bare_copy(host).float()
        frames = min(_FRAMES, facts.num_frames)
        setattr(twin, adapter.position, nn.Parameter(getattr(twin, adapter.position)[:, :frames].clone()))
        facts = replace(facts, num_frames=frames)
        inputs = [x.to(device) for x in adapter.inputs(twin, facts, frames)]
        keep_all = replace(config, num_neighbors=1.0, num_keep=1.0)
        htp = HostHTP(facts, keep_all, adapter.modules(facts), from_scratch=False).to(device).eval()
    try:
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            expected = twin(*(x.clone() for x in inputs))  # some hosts write into what they are given
            install(twin, htp, patched)
            actual = twin(*inputs)
    except Exception as error:
        raise UnrecognisedHostError(
            f"{type(host).__name__} has the parts of a {adapter.name}, but a copy of it failed on "
            f"{frames} frames: {error}"
        ) from error
    if not isinstance(expected, Tensor) or expected.shape != actual.shape:
        raise UnrecognisedHostError(
            f"{type(host).__name__} has the parts of a {adapter.name}, but returns {_describe(expected)} "
            f"where one of shape {tuple(actual.shape)} was looked for"
        )
    difference, largest = float((expected - actual).abs().max()), float(expected.abs().max())
    if not difference <= _TOLERANCE * max(largest, 1.0):
        raise UnrecognisedHostError(
            f"{type(host).__name__} has the parts of a {adapter.name}, but computes something else: its "
            f"output differs by {difference:.3g} from those parts in a {adapter.name}'s order"
        )


def _describe(value: object) -> str:
    return (
        f"a tensor of shape {tuple(value.shape)}"
        if isinstance(value, Tensor)
        else f"a {type(value).__name__}"
    )
