"""Pictures: how every drawing becomes a file."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import whole_file


def save_png(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    try:
        with whole_file(Path(path)) as partial:
            figure.savefig(partial, format="png")
    except OSError as error:
        raise BenchmarkError(f"cannot write {os.fspath(path)}: {error.strerror}") from error
