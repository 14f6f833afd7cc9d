"""Learner: one model of a stack, with its averaged weights; and the place where its batches lie."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.training.noising import NoisyBatch
from htp_diffusion.training.stack import Stack


@dataclass(frozen=True, eq=False)
class Learner:
    """One model of a stack.

    Attributes:
        stack: Trains it, with others of its architecture.
        index: Its number there.
    """

    stack: Stack
    index: int

    @property
    def batch(self) -> NoisyBatch:
        """Where its batch of every step lies."""
        return self.stack.batches[self.index]

    @property
    def loss(self) -> Float[Tensor, ""]:
        """Of the step before, metres; on the device."""
        return self.stack.losses[self.index]

    def copy_of_model(self) -> nn.Module:
        """A new copy as it is, in training mode."""
        return self.stack.copy_of_model(self.index)

    def copy_of_average(self) -> nn.Module:
        """A new copy with the running average of the weights, which is what samples."""
        return self.stack.copy_of_average(self.index)

    def state(self) -> dict[str, Tensor]:
        """All that it takes to go on, as named tensors."""
        return self.stack.state(self.index)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up a state."""
        self.stack.restore(self.index, tensors)
