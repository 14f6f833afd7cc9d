"""Scalars of a run for TensorBoard, which is an optional dependency."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from htp_diffusion.base.errors import BenchmarkError

AddScalar = Callable[[str, float, int], None]
"""Takes a name, a value and the step that it belongs to."""


@contextmanager
def tensorboard_scalars(folder: Path, first_step: int) -> Iterator[AddScalar]:
    """Write scalars as TensorBoard's event files.

    Args:
        folder: Where the files go.
        first_step: What an earlier process wrote for this step and later ones is forgotten: a killed run does
            them again.

    Raises:
        BenchmarkError: The package ``tensorboard`` is not installed, or the folder cannot be written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise BenchmarkError(
            "tensorboard is not installed: pip install tensorboard, or leave --tensorboard out"
        ) from error
    try:
        writer = SummaryWriter(str(folder), purge_step=first_step)
    except OSError as error:
        raise BenchmarkError(f"cannot write {folder}: {error.strerror}") from error
    with writer:
        yield writer.add_scalar
