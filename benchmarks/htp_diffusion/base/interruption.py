"""Ctrl-C that waits for the end of a step, so that a run is saved where it is and not lost."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_interrupts() -> Iterator[Callable[[], bool]]:
    """Note the first Ctrl-C instead of raising it; a second one is raised at once.

    Yields:
        Whether there was one. Whoever asks saves, and then raises KeyboardInterrupt. Outside the main thread,
        which alone receives signals, there never is, nor in a process that ignores them.
    """
    noted = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before == signal.SIG_IGN:
        yield noted.is_set
        return

    def note(_number: int, _frame: FrameType | None) -> None:
        noted.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, note)
    try:
        yield noted.is_set
    finally:
        signal.signal(signal.SIGINT, before)
