"""Stack: models of one architecture trained at once, each on batches of its own, as one model's step.

A GPU spends a small model's step on starting kernels. A kernel that computes the same operation of several
models takes no longer than that of one.
"""

import copy
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, vmap

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.models.preset import Preset
from htp_diffusion.models.weights import as_part_of_a_run, weights_in
from htp_diffusion.training.noising import NoisyBatch, denoising_loss
from htp_modules import CrossMHSA
from htp_modules.attention import MultiHeadAttention

STACKED: tuple[Precision, ...] = ("fp32", "tf32")
"""In which several models can be computed at once; autocast has no batch norm for it."""
_WARMUP_STEPS = 3  # before a capture: libraries choose their kernels
_ALIGNED = 32  # numbers: where a parameter begins in a row, for kernels that read several at once
_MOMENTS = ("exp_avg", "exp_avg_sq")


def _written_out(model: nn.Module) -> nn.Module:
    """A copy with attention written out: fused kernels have no form for several models at once."""
    model = copy.deepcopy(model)
    for module in model.modules():
        if isinstance(module, MultiHeadAttention | CrossMHSA):
            module.fused = False
    return model


def _padded(values: Float[Tensor, " numbers"], size: int) -> Float[Tensor, " size"]:
    return torch.nn.functional.pad(values, (0, size - len(values)))


class _Row:
    """Where each parameter of a model lies in one row of numbers."""

    def __init__(self, model: nn.Module) -> None:
        self.shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
        self._sizes = [-(-shape.numel() // _ALIGNED) * _ALIGNED for shape in self.shapes.values()]

    def pack(self, values: Mapping[str, Tensor]) -> Float[Tensor, " numbers"]:
        """The row; between parameters lie zeros."""
        pairs = zip(self.shapes, self._sizes, strict=True)
        return torch.cat([_padded(values[name].detach().flatten(), size) for name, size in pairs])

    def parts(self, row: Float[Tensor, " numbers"]) -> dict[str, Tensor]:
        """The parameters by name, as views of a row."""
        pieces = zip(row.split(self._sizes), self.shapes.items(), strict=True)
        return {
            name: (piece if len(piece) == shape.numel() else piece[: shape.numel()]).view(shape)
            for piece, (name, shape) in pieces
        }


class Stack:
    """Trains models of one architecture, each on batches that lie at a fixed place.

    Args:
        models: What to train, on their device.
        preset: Rates and decays; the learning rate itself is ``rate``.
        batches: Where each model's batch of every step will lie.
        rate: The learning rate, a number on the models' device that changes between steps.
        precision: As ``precision_of`` has it.

    Attributes:
        batches: As given.
        losses: Of the step before, metres; on the device, so that nobody waits for them.
    """

    def __init__(
        self,
        models: Sequence[nn.Module],
        preset: Preset,
        batches: Sequence[NoisyBatch],
        rate: Tensor,
        precision: Precision = "fp32",
    ) -> None:
        self.batches = list(batches)
        self.precision: Precision = precision
        self.losses = torch.zeros(len(models), device=rate.device)
        self._plain = copy.deepcopy(models[0]).train()
        self._computing = self._plain if len(models) == 1 else _written_out(self._plain)
        self._row = _Row(models[0])
        rows = [self._row.pack(dict(model.named_parameters())) for model in models]
        self._weights = torch.stack(rows).requires_grad_()
        named = [dict(model.named_buffers()) for model in models]
        self._buffers = {name: torch.stack([one[name] for one in named]) for name in named[0]}
        self._average = self._weights.detach().clone()
        self._average_buffers = {name: value.clone() for name, value in self._buffers.items()}
        self._clip_norm, self._decay = preset.clip_norm, preset.ema
        self._optimizer = torch.optim.AdamW(
            [self._weights],
            lr=rate,
            weight_decay=preset.weight_decay,
            fused=True,
            capturable=rate.is_cuda,
        )
        self._optimizer.state[self._weights] = {
            "step": torch.zeros((), device=rate.device),
            **{name: torch.zeros_like(self._weights) for name in _MOMENTS},
        }
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self) -> None:
        """One step of every model on the batch that lies there for it."""
        if self._graph is not None:
            self._graph.replay()
            return
        with precision_of(self.precision, self.losses.device):
            losses = self._losses()
            losses.sum().backward()
        gradient = self._weights.grad
        assert gradient is not None  # noqa: S101
        norms = gradient.norm(dim=1, keepdim=True)
        gradient.mul_((self._clip_norm / (norms + 1e-6)).clamp(max=1.0))
        self._optimizer.step()
        self._optimizer.zero_grad()
        with torch.no_grad():
            self.losses.copy_(losses)
            self._average.lerp_(self._weights, 1.0 - self._decay)
            floats = [name for name, value in self._buffers.items() if value.is_floating_point()]
            if floats:
                torch._foreach_lerp_(
                    [self._average_buffers[name] for name in floats],
                    [self._buffers[name] for name in floats],
                    1.0 - self._decay,
                )

    def _losses(self) -> Float[Tensor, " models"]:
        def loss(row: Tensor, buffers: dict[str, Tensor], *batch: Tensor) -> Float[Tensor, ""]:
            state = (self._row.parts(row), buffers)
            return denoising_loss(
                lambda *inputs: functional_call(self._computing, state, inputs), NoisyBatch(*batch)
            )

        if len(self.batches) == 1:
            buffers = {name: value[0] for name, value in self._buffers.items()}
            return loss(self._weights[0], buffers, *self.batches[0].tensors()).unsqueeze(0)
        together = (torch.stack(parts) for parts in zip(*(b.tensors() for b in self.batches), strict=True))
        return vmap(loss, randomness="different")(self._weights, self._buffers, *together)

    def capture(self) -> None:
        """Record the step as a CUDA graph; the models are left as they were."""
        before = [self.state(index) for index in range(len(self.batches))]
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARMUP_STEPS):
                self.step()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        for index, state in enumerate(before):
            self.restore(index, state)
        self._graph = graph

    def state(self, index: int) -> dict[str, Tensor]:
        """All that it takes to go on with one of the models, as named tensors."""
        return {name: place.clone() for name, place in self._places(index).items()}

    def _places(self, index: int) -> dict[str, Tensor]:
        """Where each of them lies."""
        tensors = as_part_of_a_run("last", self._named(self._weights.detach(), self._buffers, index))
        tensors |= as_part_of_a_run("averaged", self._named(self._average, self._average_buffers, index))
        moments = self._optimizer.state[self._weights]
        for name in _MOMENTS:
            for number, part in enumerate(self._row.parts(moments[name][index]).values()):
                tensors[f"optimizer.{number}.{name}"] = part
        for number in range(len(self._row.shapes)):
            tensors[f"optimizer.{number}.step"] = moments["step"]
        return tensors

    @torch.no_grad()
    def restore(self, index: int, tensors: Mapping[str, Tensor]) -> None:
        """Take up a state, in place: a graph reads and writes where it was captured."""
        for name, place in self._places(index).items():
            if name in tensors:
                place.copy_(tensors[name])
            else:  # saved before the optimizer had a state
                place.zero_()

    def copy_of_model(self, index: int) -> nn.Module:
        """A copy of one of the models as it is, in training mode."""
        return self._copy(weights_in(self._places(index), "last")).train()

    def copy_of_average(self, index: int) -> nn.Module:
        """A copy with the running average of its weights, which is what samples."""
        return self._copy(weights_in(self._places(index), "averaged")).eval().requires_grad_(False)

    def _copy(self, state: Mapping[str, Tensor]) -> nn.Module:
        model = copy.deepcopy(self._plain)
        model.load_state_dict(state)
        return model

    def _named(self, rows: Tensor, buffers: Mapping[str, Tensor], index: int) -> dict[str, Tensor]:
        """Parameters and persistent buffers of one model, by name."""
        named = self._row.parts(rows[index]) | {name: value[index] for name, value in buffers.items()}
        return {name: named[name] for name in self._plain.state_dict()}
