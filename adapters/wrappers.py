"""What a host may be wrapped in, and how a wrapper learns of parameters that come or go."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel

from adapters.errors import PatchError

# Who holds a host under which name: torch.compile; D3DP's sampler; MotionBERT's action and mesh networks.
_HOLDERS = ("_orig_mod", "pose_estimator", "backbone")
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


def unwrap(model: nn.Module) -> Iterator[nn.Module]:
    """``model``, then what it wraps, inwards."""
    inner: nn.Module | None = model
    while inner is not None:
        yield inner
        parallel = isinstance(inner, DataParallel | DistributedDataParallel)
        names = ("module",) if parallel else _HOLDERS
        inner = next(
            (held for name in names if isinstance(held := getattr(inner, name, None), nn.Module)), None
        )


def check_distributed(model: nn.Module) -> None:
    """Check that every DistributedDataParallel around a host can be set up anew.

    Raises:
        PatchError: One has a communication hook, mixed precision or ignored parameters, which would be lost.
    """
    for wrapper in unwrap(model):
        if isinstance(wrapper, DistributedDataParallel) and (
            getattr(wrapper, "_comm_hooks", None)
            or getattr(wrapper, "mixed_precision", None) is not None
            or getattr(wrapper, "_delay_all_reduce_params", None)
        ):
            raise PatchError(
                "a DistributedDataParallel with communication hooks, mixed precision or delayed parameters "
                "cannot be set up again; patch the model first and wrap it afterwards"
            )


def refresh_distributed(model: nn.Module) -> None:
    """Let every DistributedDataParallel around a host learn of its parameters as they are now.

    The wrapper stays the same object with the same options. Like wrapping, this is collective: every process
    does it, and rank 0's values are sent to all.
    """
    for wrapper in unwrap(model):
        if isinstance(wrapper, DistributedDataParallel):
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
