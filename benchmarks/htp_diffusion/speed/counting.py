"""Multiply-accumulates of a model by two counters, and its parameters.

THOP is the counter of the field and of the paper: it charges linear layers, convolutions, norms and average
poolings by module, and does not see a bare matrix product, so neither attention scores nor graph aggregation.
PyTorch's FlopCounterMode sees every matrix product that is computed. Neither counter looks at values: models
and inputs may live on the meta device.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from adapters.counting import matmul_macs
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import H36M_17
from htp_modules import CrossMHSA

with warnings.catch_warnings():
    # THOP imports distutils, deprecated from Python 3.10 on.
    warnings.simplefilter("ignore", DeprecationWarning)
    import thop


@dataclass(frozen=True)
class Count:
    """Cost of one forward pass.

    Attributes:
        thop_macs: THOP's count, in the paper's convention: the query projection of the recovery is charged
            for every joint and sequence, though it does not depend on the input and is computed once.
        true_macs: Every matrix product computed, attention included, as multiply-accumulates.
        params: Parameters, the ones that are not trained included.
    """

    thop_macs: int
    true_macs: int
    params: int


def count(model: nn.Module, inputs: tuple[Any, ...]) -> Count:
    """Count one forward pass in evaluation mode; the model is left as it is, the counting runs on copies.

    Args:
        model: What to count.
        inputs: Its positional arguments.

    Raises:
        BenchmarkError: inputs is not a tuple.
    """
    if not isinstance(inputs, tuple):
        raise BenchmarkError(f"expected the model's arguments as a tuple, got {type(inputs).__name__}")
    return Count(
        thop_macs=thop_macs(model, inputs),
        true_macs=true_macs(model, inputs),
        params=sum(parameter.numel() for parameter in model.parameters()),
    )


def count_denoiser(build: Callable[[], nn.Module], num_frames: int) -> Count:
    """Count one pass of a denoiser over one sequence, on the meta device: no memory and little time.

    Args:
        build: Makes the denoiser.
        num_frames: T.
    """
    return count(*denoiser_on_meta(build, num_frames))


def denoiser_on_meta(build: Callable[[], nn.Module], num_frames: int) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """A denoiser and the inputs of one sequence, as ``count_denoiser`` takes them: shapes without values."""
    shape = (1, num_frames, H36M_17.num_joints)
    with torch.device("meta"):
        inputs = (torch.empty(*shape, 2), torch.empty(*shape, 3), torch.zeros(1, dtype=torch.int64))
        return build(), inputs


def thop_macs(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    """Count multiply-accumulates as the paper does: THOP, with its charge for the recovery."""
    # Counted as a child: THOP does not look up a rule for the outermost module itself.
    root = _Root(copy.deepcopy(model))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macs = thop.profile(root, inputs, custom_ops={CrossMHSA: _charge_recovery}, verbose=False)[0]
    return round(macs)


def true_macs(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    """Count multiply-accumulates of every matrix product that the model computes."""
    # Without gradients: the counter's hooks fail on a view of a parameter that asks for one.
    return matmul_macs(copy.deepcopy(model).eval().requires_grad_(False), inputs)


class _Root(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Any) -> Any:
        return self.model(*inputs)


def _charge_recovery(module: CrossMHSA, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Charge q and out on every token of the full length, k and v on every kept one, as in Table XI."""
    dim = output.shape[-1]
    full_tokens, kept_tokens = output.numel() // dim, inputs[0].numel() // dim
    module.total_ops += 2 * dim * dim * (full_tokens + kept_tokens)
