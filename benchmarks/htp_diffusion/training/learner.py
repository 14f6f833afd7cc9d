"""Learner: a model with its optimizer and averaged weights; a GPU can replay its whole step as one graph."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.models.preset import Preset
from htp_diffusion.models.weights import as_part_of_a_run, weights_in
from htp_diffusion.training.noising import NoisyBatch, denoising_loss

_WARMUP_STEPS = 3  # before a capture: libraries choose their kernels, the optimizer makes its state


class Learner:
    """Trains one model on batches that lie at a fixed place.

    Args:
        model: What to train, on its device.
        preset: Rates and decays; the learning rate itself is ``rate``.
        batch: Where every step's batch will lie.
        rate: The learning rate, a number on the model's device that changes between steps.
        precision: As ``precision_of`` has it.

    Attributes:
        average: The model with the running average of the weights, which is what samples.
        loss: Of the step before, metres; on the device, so that nobody waits for it.
    """

    def __init__(
        self, model: nn.Module, preset: Preset, batch: NoisyBatch, rate: Tensor, precision: Precision = "fp32"
    ) -> None:
        self.model, self.batch = model.train(), batch
        self.precision: Precision = precision
        self.average = copy.deepcopy(model).eval().requires_grad_(False)
        self.loss = torch.zeros((), device=rate.device)
        self._clip_norm, self._decay = preset.clip_norm, preset.ema
        self.optimizer = torch.optim.AdamW(
            model.parameters(),
            lr=rate,
            weight_decay=preset.weight_decay,
            fused=True,
            capturable=rate.is_cuda,
        )
        self._graph: torch.cuda.CUDAGraph | None = None

    def step(self) -> None:
        """One step on the batch that lies there."""
        if self._graph is not None:
            self._graph.replay()
            return
        with precision_of(self.precision, self.loss.device):
            loss = denoising_loss(self.model, self.batch)
            loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self._clip_norm, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.loss.copy_(loss.detach())
        with torch.no_grad():
            torch._foreach_lerp_(self._floats(self.average), self._floats(self.model), 1.0 - self._decay)

    def capture(self) -> None:
        """Record the step as a CUDA graph; the learner is left as it was.

        Replayed, a step costs one launch: several learners on streams of their own fill the device, which a
        small model alone leaves idle between its kernels.
        """
        before = {name: value.clone() for name, value in self.state().items()}
        beside = torch.cuda.Stream()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(_WARMUP_STEPS):
                self.step()
        torch.cuda.current_stream().wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        self.restore(before)
        self._graph = graph

    def state(self) -> dict[str, Tensor]:
        """All that it takes to go on, as named tensors."""
        tensors = as_part_of_a_run("last", self.model.state_dict())
        tensors |= as_part_of_a_run("averaged", self.average.state_dict())
        for index, parameter in enumerate(self.model.parameters()):
            state = self.optimizer.state.get(parameter, {})
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        return tensors

    @torch.no_grad()
    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up a state, in place: a graph reads and writes where it was captured."""
        self.model.load_state_dict(weights_in(tensors, "last"))
        self.average.load_state_dict(weights_in(tensors, "averaged"))
        for index, parameter in enumerate(self.model.parameters()):
            prefix = f"optimizer.{index}."
            saved = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            state = self.optimizer.state[parameter]
            for name in state.keys() | saved.keys():
                if name not in saved:  # made after the state was taken
                    state[name].zero_()
                elif name in state:
                    state[name].copy_(saved[name])
                else:
                    state[name] = saved[name].to(parameter.device)

    @staticmethod
    def _floats(module: nn.Module) -> list[Float[Tensor, "..."]]:
        return [value for value in module.state_dict().values() if value.is_floating_point()]


def blank_batch(batch_size: int, num_frames: int, joints: int, device: torch.device) -> NoisyBatch:
    """Room for a batch."""
    shape = (batch_size, num_frames, joints)
    return NoisyBatch(
        torch.zeros(*shape, 2, device=device),
        torch.zeros(*shape, 3, device=device),
        torch.zeros(batch_size, dtype=torch.int64, device=device),
        torch.zeros(*shape, 3, device=device),
    )


def fill(room: NoisyBatch, batch: NoisyBatch) -> None:
    """Put a batch where learners look for it."""
    for place, part in zip(
        (room.pose_2d, room.noisy, room.timestep, room.pose_3d),
        (batch.pose_2d, batch.noisy, batch.timestep, batch.pose_3d),
        strict=True,
    ):
        place.copy_(part)
