"""SharedBatchNorm: batch norm over the batch of all processes, so that sharing it out changes no statistics.

PyTorch's own SyncBatchNorm runs on CUDA alone; this one is made of sums, and runs wherever these do.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed import all_reduce, get_world_size

from htp_modules import ConfigError


class _SumOverProcesses(torch.autograd.Function):
    """The sum of every process's tensor; so is the gradient, as each of them has a say in every loss."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, mine: Tensor) -> Tensor:
        total = mine.clone()
        all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        all_reduce(total)
        return total


def sum_over_processes(mine: Float[Tensor, " channels"]) -> Float[Tensor, " channels"]:
    """Add up every process's tensor, differentiably."""
    total: Tensor = _SumOverProcesses.apply(mine)  # pyright: ignore[reportAssignmentType]
    return total


class SharedBatchNorm(nn.BatchNorm1d):
    """In training, mean and variance are those of every process's rows; each must have as many."""

    def forward(self, input: Float[Tensor, "rows channels"]) -> Float[Tensor, "rows channels"]:
        """Normalise; in evaluation by the running statistics, as any batch norm."""
        if not self.training:
            return super().forward(input)
        values = input.to(torch.promote_types(input.dtype, torch.float32))  # half sums lose too much
        rows = len(input) * get_world_size()
        mean = sum_over_processes(values.sum(dim=0)) / rows
        centred = values - mean
        variance = sum_over_processes(centred.square().sum(dim=0)) / rows
        self._remember(mean.detach(), variance.detach() * (rows / max(rows - 1, 1)))
        scaled = centred * (variance + self.eps).rsqrt() * self.weight + self.bias
        return scaled.to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        momentum = self.momentum
        if momentum is None or self.running_mean is None or self.running_var is None:
            raise ConfigError("SharedBatchNorm expects a batch norm with running statistics and a momentum")
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(variance.to(self.running_var), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def share_batch_norms(model: nn.Module) -> None:
    """Make every batch norm of a model a shared one, in place; parameters, buffers and keys stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm1d:
            module.__class__ = SharedBatchNorm
