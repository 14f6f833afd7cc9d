"""What the public entry points check before they compute."""

import torch
from torch import Tensor

from htp_modules.errors import DtypeError, NonFiniteError, ShapeError


def check_tokens(x: Tensor, *, name: str, dim: int | None = None, max_frames: int | None = None) -> None:
    """Check that ``x`` is a floating (batch, frames, joints, dim) tensor that the module ``name`` can take.

    Args:
        x: What the caller passed.
        name: Who asks, for the message.
        dim: Channels that the module was built for.
        max_frames: Frames that the module's tables were built for.

    Raises:
        ShapeError: Another rank, an empty axis, other channels or more frames than built for.
        DtypeError: Not a floating tensor.
    """
    if not isinstance(x, Tensor):
        raise DtypeError(f"{name} expects a tensor of tokens, got {type(x).__name__}")
    if x.ndim != 4:
        raise ShapeError(f"{name} expects tokens (batch, frames, joints, dim), got shape {tuple(x.shape)}")
    if not x.is_floating_point():
        raise DtypeError(f"{name} expects floating tokens, got {x.dtype}; convert them with .float()")
    if dim is not None and x.shape[-1] != dim:
        raise ShapeError(f"{name} was built for dim={dim}, got tokens with {x.shape[-1]} channels")
    if 0 in x.shape:
        raise ShapeError(f"{name} expects at least one element on every axis, got shape {tuple(x.shape)}")
    if max_frames is not None and x.shape[1] > max_frames:
        raise ShapeError(
            f"{name} was built for up to num_frames={max_frames}, got {x.shape[1]} frames; "
            f"build it with num_frames={x.shape[1]} or cut the sequence into shorter clips"
        )


def check_type(value: object, kind: type, *, name: str) -> None:
    """Check that ``value`` is a ``kind``, the contract class that the module called ``name`` asks for.

    Raises:
        DtypeError: It is something else.
    """
    if not isinstance(value, kind):
        raise DtypeError(f"{name} expects a {kind.__name__}, got {type(value).__name__}")


def can_read(x: Tensor) -> bool:
    """Whether a value of ``x`` may decide what is computed: on a CPU, outside of compiled and traced graphs.

    Elsewhere reading would wait for the device in every pass, ``torch.compile`` and ``torch.export`` have no
    value to read, and a trace would keep what one input decided.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.jit.is_tracing()


def check_finite(amplitude: Tensor, *, name: str) -> None:
    """Check the largest magnitudes of tokens that a selection is about to rank, where they can be read.

    Nothing is checked elsewhere, and the selections rank what is not finite last.

    Args:
        amplitude: Any tensor that is NaN or infinite where the tokens are.
        name: Who asks, for the message.

    Raises:
        NonFiniteError: A value is NaN or infinite.
    """
    if can_read(amplitude) and not bool(torch.isfinite(amplitude).all()):
        raise NonFiniteError(
            f"{name} selects frames by its tokens and expects them finite, got NaN or infinity; "
            "check the layers before it, or the precision that they run in"
        )
