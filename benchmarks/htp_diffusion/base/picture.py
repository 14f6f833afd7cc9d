"""Pictures: how every drawing becomes a file."""

import os

from matplotlib.figure import Figure

from htp_diffusion.base.errors import BenchmarkError


def save_png(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise BenchmarkError(f"cannot write {os.fspath(path)}: {error.strerror}") from error
