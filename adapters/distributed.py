"""DistributedDataParallel around a host, and how it learns of parameters that come or go."""

from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from adapters.errors import PatchError

# Arguments that are attributes, too; the last two are in newer releases alone.
_OPTIONS = (
    "device_ids",
    "output_device",
    "dim",
    "process_group",
    "find_unused_parameters",
    "gradient_as_bucket_view",
    "static_graph",
    "skip_all_reduce_unused_params",
    "batched_grad_copy",
)
_MIB = 2**20
# What every module has for itself: its hooks and its mode.
_OF_A_MODULE = vars(nn.Module()).keys() - {"_parameters", "_buffers", "_modules"}


def _around(model: nn.Module, host: nn.Module) -> list[DistributedDataParallel]:
    """The DistributedDataParallels in ``model`` that hold ``host``."""
    found = (module for module in model.modules() if isinstance(module, DistributedDataParallel))
    return [wrapper for wrapper in found if any(module is host for module in wrapper.modules())]


def check_distributed(model: nn.Module, host: nn.Module) -> None:
    """Check that every DistributedDataParallel around a host can be set up anew.

    Args:
        model: What the caller has in hand.
        host: The host in it.

    Raises:
        PatchError: One has a communication hook, mixed precision or delayed parameters, which would be lost.
    """
    for wrapper in _around(model, host):
        if (
            getattr(wrapper, "_comm_hooks", None)
            or getattr(wrapper, "mixed_precision", None) is not None
            or getattr(wrapper, "_delay_all_reduce_params", None)
        ):
            raise PatchError(
                "a DistributedDataParallel with communication hooks, mixed precision or delayed parameters "
                "cannot be set up again; patch the model first and wrap it afterwards"
            )


def refresh_distributed(model: nn.Module, host: nn.Module) -> None:
    """Let every DistributedDataParallel around a host learn of its parameters as they are now.

    The wrapper stays the same object with the same options. Like wrapping, this is collective: every process
    does it, and rank 0's values are sent to all.
    """
    for wrapper in _around(model, host):
        _set_up_again(wrapper)


def _options(wrapper: Any) -> dict[str, Any]:
    """The arguments that a wrapper was made with, apart from its module."""
    options = {name: value for name, value in vars(wrapper).items() if name in _OPTIONS}
    if not wrapper.bucket_bytes_cap_default:
        options["bucket_cap_mb"] = wrapper.bucket_bytes_cap / _MIB
    if getattr(wrapper, "bucket_bytes_cap_list", None):
        options["bucket_cap_mb_list"] = [size / _MIB for size in wrapper.bucket_bytes_cap_list]
    return options


def _set_up_again(wrapper: Any) -> None:
    before, broadcast = dict(vars(wrapper)), wrapper.broadcast_buffers
    try:
        DistributedDataParallel.__init__(wrapper, wrapper.module, **_options(wrapper))
    except BaseException:
        vars(wrapper).clear()
        vars(wrapper).update(before)
        raise
    vars(wrapper).update({name: value for name, value in before.items() if name in _OF_A_MODULE})
    # An argument of this name is deprecated in newer releases; the attribute is there in all of them.
    wrapper.broadcast_buffers = broadcast
