"""Work that does not depend on each other: at the same time on a GPU, one after the other on a CPU."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

_THREADS = 4  # launching a graph of a thousand kernels takes a thread some milliseconds


class SideBySide:
    """Runs pieces of work, each always on the same stream of a GPU.

    Args:
        device: Where.
        count: How many pieces there are.
    """

    def __init__(self, device: torch.device, count: int) -> None:
        self._streams = [torch.cuda.Stream(device) for _ in range(count)] if device.type == "cuda" else []
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="launch") if self._streams else None

    def run(self, pieces: Sequence[Callable[[], None]]) -> None:
        """Run them after all work queued so far; work queued later waits for them, the caller does not."""
        if self._pool is None:
            for piece in pieces:
                piece()
            return
        main = torch.cuda.current_stream()
        ready = main.record_event()
        work = list(zip(self._streams, pieces, strict=True))

        def launch(share: Sequence[tuple[torch.cuda.Stream, Callable[[], None]]]) -> None:
            for stream, piece in share:
                stream.wait_event(ready)
                with torch.cuda.stream(stream):
                    piece()

        list(self._pool.map(launch, (work[first::_THREADS] for first in range(_THREADS))))
        for stream in self._streams:
            main.wait_stream(stream)
