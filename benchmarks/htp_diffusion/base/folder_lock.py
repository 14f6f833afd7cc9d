"""A lock on a folder, so that two processes do not write one run."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError

try:
    import fcntl
except ImportError:  # not a Unix
    fcntl = None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Have a folder to oneself while the block lasts; the system frees it when the process ends or is killed.

    No file is left in it. Where the system or the file system has no locks, nobody is refused.

    Raises:
        BenchmarkError: Another process has it.
    """
    descriptor = _taken(folder)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _taken(folder: Path) -> int | None:
    """The open and locked folder; None if it cannot be locked here."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # the first file that is written there tells what is wrong
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):  # a file system of a network may lock no folder
            return None
        raise BenchmarkError(
            f"another process is training in {folder}: wait for its end, or name another folder"
        ) from None
    return descriptor
