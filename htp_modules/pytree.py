"""Making the result classes pytrees, so that torch.export takes and returns them."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor
from torch.fx import _pytree as graph_pytree
from torch.utils import _pytree


def register_result(cls: type, *, tensor: str, constant: str | None = None) -> None:
    """Tell PyTorch that instances of the dataclass ``cls`` hold one tensor and at most one plain number.

    PyTorch also rebuilds pytrees around things that are no tensors (shapes, specifications), so instances are
    rebuilt without the checks of their constructor.

    Args:
        cls: The class; a frozen dataclass.
        tensor: Name of the field that holds the tensor.
        constant: Name of the field that holds the number.
    """

    def flatten(result: Any) -> tuple[list[Tensor], int | None]:
        return [getattr(result, tensor)], None if constant is None else getattr(result, constant)

    def flatten_with_keys(result: Any) -> tuple[list[tuple[Any, Tensor]], int | None]:
        leaves, number = flatten(result)
        return [(_pytree.GetAttrKey(tensor), leaves[0])], number

    def unflatten(leaves: Iterable[Any], number: int | None) -> Any:
        result = object.__new__(cls)
        (leaf,) = leaves
        object.__setattr__(result, tensor, leaf)
        if constant is not None:
            object.__setattr__(result, constant, number)
        return result

    _pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        flatten_with_keys_fn=flatten_with_keys,
    )
    # PyTorch 2.6 asks here when an exported graph runs; 2.13 finds the above by itself.
    graph_pytree.register_pytree_flatten_spec(cls, lambda result, _spec: flatten(result)[0])
