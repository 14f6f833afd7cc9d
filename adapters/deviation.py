"""Deviation: how far the output of a pruned model is off, over the joints of a user's clips."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from adapters.errors import MeasurementError
from adapters.trial import Trial, errors_told, repeatable
from htp_modules import HTPConfig

Metric = Literal["mean", "p95"]
Distance = Callable[[Any, Any], Tensor]

_SHARE = 0.95


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """How far an output is off, over all joints of all clips, in its unit.

    Attributes:
        mean: Mean distance of a joint.
        p95: The distance that 95 % of the joints stay within.
    """

    mean: float
    p95: float

    def figure(self, metric: Metric) -> float:
        """The one that is asked for."""
        return self.mean if metric == "mean" else self.p95


def joint_distance(
    output: Float[Tensor, "*axes coordinates"], reference: Float[Tensor, "*axes coordinates"]
) -> Float[Tensor, "*axes"]:
    """Euclidean distance of each joint, in the unit of the coordinates."""
    return (output - reference).norm(dim=-1)


def deviation_of(distances: Float[Tensor, " joints"]) -> Deviation:
    """Mean and 95th percentile (linear between the two nearest) of distances."""
    ranked = distances.double().sort().values
    place = _SHARE * (len(ranked) - 1)
    low, high = math.floor(place), math.ceil(place)
    p95 = torch.lerp(ranked[low], ranked[high], place - low)
    return Deviation(mean=float(ranked.mean()), p95=float(p95))


def least_figure(distances: Float[Tensor, " seen"], total: int, metric: Metric) -> float:
    """A lower bound of the figure over ``total`` distances, from the ones known so far.

    The unknown ones count as 0 for the mean, and as smaller than all known ones for the percentile.
    """
    if metric == "mean":
        return float(distances.double().sum()) / total
    above = total - 1 - math.floor(_SHARE * (total - 1))  # distances over the lower of the two nearest
    if len(distances) <= above:
        return 0.0
    return float(distances.double().sort(descending=True).values[above])


@dataclass(frozen=True, eq=False)
class Batches:
    """A user's clips, cut into batches.

    Attributes:
        inputs: The arguments of the model's forward, a tuple a batch.
        truth: What the output should be, one a batch; None if nobody knows.
        clips: How many clips there are.
    """

    inputs: tuple[tuple[Tensor, ...], ...]
    truth: tuple[Tensor, ...] | None
    clips: int

    @classmethod
    def of(
        cls, clips: Tensor | tuple[Tensor, ...], truth: Tensor | None, size: int, device: torch.device
    ) -> "Batches":
        """Cut clips and truth into batches of ``size``, on a device.

        Raises:
            MeasurementError: They are no tensors of the same number of clips.
        """
        parts = clips if isinstance(clips, tuple) else (clips,)
        every = parts if truth is None else (*parts, truth)
        for part in every:
            if not isinstance(part, Tensor) or part.ndim < 1 or len(part) == 0:
                got = f"shape {tuple(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
                raise MeasurementError(
                    f"clips and truth expect tensors with clips on the first axis, got {got}"
                )
        if not parts or len({len(part) for part in every}) > 1:
            raise MeasurementError(
                "clips and truth expect as many clips in each tensor, got "
                f"{', '.join(str(len(part)) for part in every) or 'no tensor'}"
            )
        cut = [part.to(device).split(size) for part in every]
        inputs = tuple(zip(*cut[: len(parts)], strict=True))
        return cls(inputs, None if truth is None else cut[-1], len(parts[0]))


class Judge:
    """Tells how far off a setting's output is, and gives it up when a bound is passed for certain.

    Args:
        model: What is called.
        tried: Its trial.
        batches: The clips.
        distance: Of an output from a reference.
        metric: The figure that the bound is for.

    Attributes:
        frames: T, frames of the longest clip that reached the host.
        unpruned: How far off the unpruned model is: 0 where its own output is the reference.

    Raises:
        MeasurementError: Outputs that cannot be measured.
    """

    def __init__(
        self, model: nn.Module, tried: Trial, batches: Batches, distance: Distance, metric: Metric
    ) -> None:
        self._model, self._tried, self._batches = model, tried, batches
        self._distance = distance
        self._metric: Metric = metric
        with _lengths(tried.host) as seen:
            outputs = [self._unpruned(batch) for batch in batches.inputs]
        self.frames = max(seen, default=tried.htp.facts.num_frames)
        self._references = outputs if batches.truth is None else list(batches.truth)
        own = [self._measure(*pair) for pair in zip(outputs, self._references, strict=True)]
        self._total = sum(map(len, own))
        self.unpruned = deviation_of(torch.cat(own))

    def of(self, config: HTPConfig, bound: float) -> Deviation | None:
        """How far off a setting is; None once its figure is certain to reach the bound."""
        self._tried.htp.config = config
        seen = torch.empty(0, dtype=torch.double, device="cpu")
        for distances in self._distances():
            seen = torch.cat((seen, distances))
            if len(seen) < self._total and least_figure(seen, self._total, self._metric) >= bound:
                return None
        return deviation_of(seen)

    def _distances(self) -> Iterator[Tensor]:
        for batch, reference in zip(self._batches.inputs, self._references, strict=True):
            yield self._measure(self._run(batch), reference)

    def _unpruned(self, batch: tuple[Tensor, ...]) -> Any:
        with errors_told(f"{self._tried.name} does not take these clips"):
            return self._tried.unpruned(self._run, batch)

    def _run(self, batch: tuple[Tensor, ...]) -> Any:
        repeatable(self._tried.device)
        return self._model(*(x.clone() for x in batch))  # some hosts write into what they are given

    def _measure(self, output: Any, reference: Any) -> Tensor:
        if self._distance is joint_distance and not (
            isinstance(output, Tensor) and isinstance(reference, Tensor) and output.shape == reference.shape
        ):
            raise MeasurementError(
                f"the model returns {_in_words(output)}, to be compared with {_in_words(reference)}: give a "
                "distance of your own, from two of these to one number for each joint"
            )
        distances = self._distance(output, reference)
        if isinstance(distances, Tensor) and distances.ndim == 0:
            raise MeasurementError("a distance expects one number for each joint or clip, not their mean")
        if not isinstance(distances, Tensor) or not distances.numel() or not bool(distances.isfinite().all()):
            raise MeasurementError(
                f"a distance expects finite numbers in a tensor, got {_in_words(distances)}; "
                "check the clips, the truth and the weights for NaN and infinity"
            )
        return distances.detach().double().flatten().cpu()


@contextmanager
def _lengths(host: nn.Module) -> Iterator[list[int]]:
    """Inside the block, notes how many frames each clip has that reaches a host."""
    seen: list[int] = []

    def note(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        clips = next(x for x in (*given, *named.values()) if isinstance(x, Tensor))
        seen.append(clips.shape[1])

    watched = host.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield seen
    finally:
        watched.remove()


def _in_words(value: Any) -> str:
    return f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
