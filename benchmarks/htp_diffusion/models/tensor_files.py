"""The tensor files of a checkpoint: names that are new with every save, and which are of no use any more."""

import json
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from htp_diffusion.base.files import PARTIAL


@dataclass(frozen=True)
class Commit:
    """A checkpoint's JSON file as it is: the tensor file that it names, and when it was written, ns.

    Attributes:
        tensors: None if it is not there, or names none.
        written: 0 if it is not there.
    """

    tensors: str | None
    written: int


def new_tensors(path: Path, step: int) -> Path:
    """A name that no file has: a step that is saved again must not touch what the JSON file still names.

    Args:
        path: The JSON file.
        step: Steps done.
    """
    names = (
        f"{path.stem}-{step:06d}{again}.safetensors" for again in chain([""], map("-{}".format, count(1)))
    )
    # lexists: a link to nowhere is a name that is taken.
    return next(target for target in map(path.with_name, names) if not os.path.lexists(target))


def commit_of(path: Path) -> Commit:
    """The JSON file that is about to be replaced."""
    try:
        written = path.stat().st_mtime_ns
    except OSError:
        written = 0
    return Commit(_named_in(path), written)


def delete_stale(path: Path, before: Commit) -> None:
    """Delete the tensor files that the JSON file before left behind: its own, and what kills before it left.

    What a JSON file of the folder names stays, and so does, until the next save, what is newer than the one
    before: another process may be about to name it.

    Args:
        path: The JSON file, replaced by now.
        before: As it was.
    """
    # Not those of a checkpoint whose name begins alike.
    own = re.compile(rf"\.?{re.escape(path.stem)}-\d{{6,}}(-[1-9]\d{{0,4}})?\.safetensors({PARTIAL})?")
    named = {_named_in(other) for other in path.parent.glob("*.json")}
    for file in path.parent.iterdir():
        if own.fullmatch(file.name) and file.name not in named:
            with suppress(FileNotFoundError):  # another process was faster
                if file.name == before.tensors or file.lstat().st_mtime_ns < before.written:
                    file.unlink()


def _named_in(path: Path) -> str | None:
    """The tensor file that a JSON file names; None if it is no checkpoint's, or cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    named = content.get("tensors") if isinstance(content, dict) else None
    return named if isinstance(named, str) else None
