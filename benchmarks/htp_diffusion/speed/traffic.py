"""Traffic: how many numbers the operations of a model read and write."""

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_ATEN = torch.ops.aten
_MOVE_NOTHING = (  # beside what PyTorch itself calls a view
    _ATEN._unsafe_view,
    _ATEN.empty,
    _ATEN.empty_like,
    _ATEN.empty_strided,
    _ATEN.new_empty,
    _ATEN.new_empty_strided,
)


def moved_elements(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    """Count the numbers that the operations of one forward pass read and write, one operation at a time.

    Each operation reads its arguments and writes its results; views and empty tensors move nothing, and
    attention reads queries, keys, values and its mask and writes its result, as a fused kernel does. What
    fusion keeps in registers, or a cache holds, is counted all the same. Values are not looked at: model and
    inputs may live on the meta device. The model is left as it is.
    """
    counted = copy.deepcopy(model).eval().requires_grad_(False)
    operations = _Operations()
    with torch.no_grad(), operations, _FusedAttention(operations):
        counted(*inputs)
    return operations.elements


class _Operations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def move(self, values: Iterable[Any]) -> None:
        self.elements += sum(value.numel() for value in values if isinstance(value, Tensor))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket not in _MOVE_NOTHING:
            self.move(tree_leaves((args, kwargs, result)))
        return result


class _FusedAttention(TorchFunctionMode):
    """Takes attention for one operation, which the meta device takes apart."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self.operations = operations

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, _, value = args[:3]
        before = self.operations.elements
        result = query.new_zeros(
            *query.shape[:-1], value.shape[-1]
        )  # finite: what selects frames asks for it
        self.operations.elements = before
        self.operations.move((*args, *kwargs.values(), result))
        return result
