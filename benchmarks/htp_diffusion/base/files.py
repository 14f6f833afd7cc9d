"""Files that are whole or not there: written under another name, then moved into place in one step."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError

PARTIAL = r"\.[0-9a-f]{8}\.partial"
"""How the temporary name of a file ends, after a dot and the file's own name: a regular expression."""


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name to write to; that file moves to ``path`` when the block ends without an error.

    The file has the mode that any new file has here, whatever its writer gave it. Where ``path`` is a link,
    the file that it points to is replaced, and the link stays.

    Raises:
        OSError: The file cannot be moved; nothing is left of it, and a file that was there stays.
    """
    path = Path(os.path.realpath(path))
    # A name that nobody can guess, and no file that is there: in a folder that others write to, a link that
    # lies in wait under it would lead to a file of the user's.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    partial.touch(exist_ok=False)
    try:
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
    except UnicodeError as error:
        raise BenchmarkError(f"cannot write {path}: its text is not all Unicode: {error}") from error
