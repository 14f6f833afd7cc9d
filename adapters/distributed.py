"""DistributedDataParallel around a host, and how it learns of parameters that come or go."""

from typing import Any

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from adapters.errors import PatchError

_HOOKS = (
    "_backward_pre_hooks",
    "_backward_hooks",
    "_is_full_backward_hook",
    "_non_persistent_buffers_set",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


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
        PatchError: One has a communication hook, mixed precision or ignored parameters, which would be lost.
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


def _set_up_again(wrapper: Any) -> None:
    before = dict(vars(wrapper))
    kept = {name: before[name] for name in (*_HOOKS, "training") if name in before}
    try:
        DistributedDataParallel.__init__(
            wrapper,
            before["_modules"]["module"],
            device_ids=before["device_ids"],
            output_device=before["output_device"],
            dim=before["dim"],
            process_group=before["process_group"],
            bucket_cap_mb=None if before["bucket_bytes_cap_default"] else before["bucket_bytes_cap"] / 2**20,
            find_unused_parameters=before["find_unused_parameters"],
            gradient_as_bucket_view=before["gradient_as_bucket_view"],
            static_graph=before["static_graph"],
        )
    except BaseException:
        vars(wrapper).clear()
        vars(wrapper).update(before)
        raise
    vars(wrapper).update(kept)
    # An argument of this name is deprecated in newer releases; the attribute is there in all of them.
    wrapper.broadcast_buffers = before.get("forward_sync_buffers", before.get("broadcast_buffers", True))
