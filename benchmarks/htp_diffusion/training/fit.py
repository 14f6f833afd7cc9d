"""A short training run in memory, for studies: nothing is saved or resumed (for that see ``trainer``)."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.pose.metrics import MILLIMETRES
from htp_diffusion.training.rate import falling_rate

_WARMUP = 50  # steps
_LAST_SHARE = 0.03  # of the learning rate, at the last step
_CLIP_NORM = 1.0


def fit(
    model: nn.Module, loss: Callable[[int], Float[Tensor, ""]], steps: int, learning_rate: float
) -> Iterator[float]:
    """Minimise a loss with AdamW, the rate rising linearly at first and then falling by a constant factor.

    Args:
        model: What to train; parameters that want no gradient are left alone.
        loss: The loss of the step of this number, counted from 0, in metres.
        steps: How many.
        learning_rate: The highest.

    Yields:
        Each step's loss, mm.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate)
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = falling_rate(learning_rate, step, warmup=_WARMUP, factor=_LAST_SHARE, period=steps)
        value = loss(step)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(parameters, _CLIP_NORM)
        optimizer.step()
        yield MILLIMETRES * value.item()
    model.eval()
