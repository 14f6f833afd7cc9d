"""Files that are whole or not there: written under another name, then moved into place in one step."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; that file moves to ``path`` when the block ends without an error.

    The file has the mode that any new file has here, whatever its writer gave it.

    Raises:
        OSError: The file cannot be moved; nothing is left of it, and a file that was there stays.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode  # as the umask has it
        yield partial
        partial.chmod(mode)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """The folder, made where it is not there.

    Raises:
        BenchmarkError: It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchmarkError(f"cannot make the folder {path}: {error.strerror}") from error
    return path


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all.

    Raises:
        BenchmarkError: It cannot be written.
    """
    try:
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from error
