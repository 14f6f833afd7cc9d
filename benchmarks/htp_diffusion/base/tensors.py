"""Named tensors in a safetensors file that is whole or not there."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import whole_file
from htp_diffusion.base.units import MEBIBYTE

_CHUNK = MEBIBYTE  # bytes hashed at once


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write tensors; a file that is there is replaced in one step.

    Returns:
        The SHA-256 of the file.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    try:
        with whole_file(path) as partial:
            save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial)
            return sha256_of(partial)
    except (OSError, SafetensorError) as error:
        raise BenchmarkError(f"cannot write {path}: {error}") from error


def read_tensors(
    path: Path, wanted: Callable[[Sequence[str]], Iterable[str]] = lambda names: names
) -> dict[str, Tensor]:
    """Read tensors, on the CPU.

    Args:
        path: The file.
        wanted: Those to read among all names of the file; the others are left on the disk.

    Raises:
        BenchmarkError: The file is missing, cut or no safetensors file.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in wanted(list(file.keys()))}
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise BenchmarkError(f"{path} is not a safetensors file: {error}") from error


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
