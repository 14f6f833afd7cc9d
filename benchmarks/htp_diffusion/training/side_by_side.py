"""Work that does not depend on each other: at the same time on a GPU, one after the other on a CPU."""

from collections.abc import Callable, Sequence

import torch


class SideBySide:
    """Runs pieces of work, each always on the same stream of a GPU.

    Args:
        device: Where.
        count: How many pieces there are.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        self.count = count
        self._streams = [torch.cuda.Stream(device) for _ in range(count)] if device.type == "cuda" else []

    def run(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Run them after all work queued so far; work queued later waits for them, the caller does not."""
        if not self._streams:
            for piece in pieces:
                piece()
            return
        main = torch.cuda.current_stream()
        ready = main.record_event()
        for stream, piece in zip(self._streams, pieces, strict=True):
            stream.wait_event(ready)
            with torch.cuda.stream(stream):
                piece()
        for stream in self._streams:
            main.wait_stream(stream)
