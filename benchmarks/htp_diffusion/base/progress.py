"""The progress of every script: a bar in a terminal, and a plain line now and then where there is none."""

import threading

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY = 5.0
"""Seconds between lines."""


def progress_bar(console: Console | None = None) -> Progress:
    """What is done, of how much, the time it took and the time that is left.

    Args:
        console: Where; the error stream, so that tables can be written to a file, unless given.
    """
    console = console or Console(stderr=True)
    return (Progress if console.is_terminal else _Lines)(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class _Lines(Progress):
    """Progress as plain lines: into a file or a pipe, a bar would be written once, at the end."""

    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to tell every few seconds, whether something was done meanwhile or not."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Tell what was done in the end."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
            self._write()

    def _tell(self) -> None:
        while not self._ended.wait(LINE_EVERY):
            self._write()

    def _write(self) -> None:
        for task in self.tasks:
            of = "" if task.total is None else f" of {task.total:.0f}"
            line = f"{task.description} {task.completed:.0f}{of}, {task.elapsed or 0:.0f} s"
            if not task.finished and task.time_remaining is not None:
                line += f", {task.time_remaining:.0f} s left"
            self.console.print(line.strip(), highlight=False, markup=False, soft_wrap=True)
