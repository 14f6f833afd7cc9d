"""Windows of clips in batches of one size, and the poses drawn for them put back together."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Windows

Score = TypeVar("Score")


class WindowBatches:
    """The 2D poses of all windows, in batches of one size.

    The last window is repeated to fill the last batch; what is drawn for the copies is left out again.

    Args:
        clips: The clips, cut into windows.
        batch_size: Windows in a batch.
        device: Where the poses go.

    Raises:
        BenchmarkError: A size below 1.
    """

    def __init__(self, clips: Sequence[Windows], batch_size: int, device: torch.device | str = "cpu") -> None:
        if batch_size < 1:
            raise BenchmarkError(f"batch size expects at least 1 window, got {batch_size}")
        self.clips = list(clips)
        pose_2d = torch.cat([clip.pose_2d for clip in self.clips])
        count = math.ceil(len(pose_2d) / batch_size)
        order = torch.arange(count * batch_size).clamp(max=len(pose_2d) - 1)
        self.pose_2d = pose_2d[order.view(count, batch_size)].to(device)

    def __len__(self) -> int:
        return len(self.pose_2d)

    def __getitem__(self, number: int) -> Float[Tensor, "windows frames joints 2"]:
        """The 2D poses of a batch."""
        return self.pose_2d[number]

    def scorer(self, score: Callable[[Tensor, Windows], Score]) -> "Scorer[Score]":
        """What takes the hypotheses of these batches, in order."""
        return Scorer(self.clips, score)


class Scorer(Generic[Score]):
    """Scores clips as the hypotheses of their windows come in, and forgets the hypotheses.

    Args:
        clips: The clips, cut into windows, in the order in which hypotheses will come.
        score: Scores one clip.

    Attributes:
        scores: Of the clips whose windows are all there.
    """

    def __init__(self, clips: Iterable[Windows], score: Callable[[Tensor, Windows], Score]) -> None:
        self.scores: list[Score] = []
        self._score = score
        self._left = deque(clips)
        self._waiting: list[Tensor] = []

    def add(self, hypotheses: Float[Tensor, "windows hyps frames joints 3"]) -> None:
        """Take the next windows' hypotheses; those past the last clip are ignored."""
        self._waiting.append(hypotheses.float().cpu())
        while self._left and sum(map(len, self._waiting)) >= len(self._left[0].start):
            clip, waiting = self._left.popleft(), torch.cat(self._waiting)
            mine = len(clip.start)
            self.scores.append(self._score(waiting[:mine], clip))
            self._waiting = [waiting[mine:]]


def check_limit(max_windows: int | None) -> None:
    """Check a limit on the number of windows.

    Raises:
        BenchmarkError: It is below 1.
    """
    if max_windows is not None and max_windows < 1:
        raise BenchmarkError(f"max windows expects at least 1, got {max_windows}")


def first_windows(clips: Sequence[Windows], limit: int | None) -> list[Windows]:
    """The clips' first windows, at most ``limit`` in all; the clip where the limit falls is cut short.

    Raises:
        BenchmarkError: A limit below 1.
    """
    check_limit(limit)
    if limit is None:
        return list(clips)
    taken: list[Windows] = []
    for clip in clips:
        if limit <= 0:
            break
        taken.append(clip.take(slice(limit)))
        limit -= len(clip.start)
    return taken
