"""Parts of a long run, each stored as soon as it is done and found again by the run that goes on.

A part is a JSON file of what was asked for and what came out, and a file of tensors beside it where there are
any. Both are whole or not there; the JSON is written last, and only with it the part counts as done.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.results import read_json, write_json
from htp_diffusion.base.tensors import read_tensors, write_tensors

Result = TypeVar("Result")


class Parts:
    """A folder of parts.

    Args:
        folder: Where; made if it is not there.

    Raises:
        BenchmarkError: The folder cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = make_folder(folder)

    def find(self, name: str, asked: Any, kind: type[Result]) -> Result | None:
        """The result of a part; None if it is not done.

        Args:
            name: Of the part, and of its files.
            asked: Dataclass of all that the result depends on.
            kind: Dataclass of the result.

        Raises:
            BenchmarkError: The file is damaged, or the part of this name was made with other options.
        """
        path = self._json(name)
        if not path.exists():
            return None
        found = read_json(path, _part(type(asked), kind))
        if found.asked != asked:
            told = "; ".join(differences(found.asked, asked))
            raise BenchmarkError(
                f"{path} was made otherwise: {told}; name another folder or ask for the same"
            )
        return found.result

    def store(
        self, name: str, asked: Any, result: Result, tensors: Mapping[str, Tensor] | None = None
    ) -> Result:
        """Store a part that is done.

        Args:
            name: Of the part.
            asked: As for ``find``.
            result: Dataclass of the result.
            tensors: What ``tensors`` gives later.

        Raises:
            BenchmarkError: A file cannot be written.
        """
        if tensors is not None:
            write_tensors(self._tensors(name), tensors)
        write_json(self._json(name), _part(type(asked), type(result))(asked=asked, result=result))
        return result

    def find_or_make(self, name: str, asked: Any, kind: type[Result], make: Callable[[], Result]) -> Result:
        """The result of a part, made and stored if it is not done. Raises as ``find`` and ``store``."""
        found = self.find(name, asked, kind)
        return self.store(name, asked, make()) if found is None else found

    def tensors(self, name: str) -> dict[str, Tensor]:
        """The tensors of a part that is done.

        Raises:
            BenchmarkError: The file is missing or damaged.
        """
        return read_tensors(self._tensors(name))

    def _json(self, name: str) -> Path:
        return self.folder / f"{name}.json"

    def _tensors(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"


def differences(found: Any, asked: Any, where: str = "") -> Iterator[str]:
    """What differs between two values of one dataclass, field by field; of sequences the name alone."""
    if type(found) is type(asked) and dataclasses.is_dataclass(found):
        for field in dataclasses.fields(found):
            inside = f"{where}.{field.name}" if where else field.name
            yield from differences(getattr(found, field.name), getattr(asked, field.name), inside)
    elif found != asked:
        yield where if isinstance(found, list | tuple) else f"{where} {found!r}, asked for {asked!r}"


def _part(asked: type, result: type) -> Any:
    """The dataclass of a part's file."""
    return dataclasses.make_dataclass("Part", [("asked", asked), ("result", result)], frozen=True)
