"""Command lines: options from a dataclass, and errors that end a script with one line and no traceback."""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
import tyro

from htp_diffusion.errors import BenchmarkError
from htp_modules.errors import HTPError

Options = TypeVar("Options")

_USAGE, _INTERRUPTED = 2, 130  # exit codes, as shells and argparse have them


def run_command(
    main: Callable[[Options], None], options: type[Options], arguments: Sequence[str] | None = None
) -> None:
    """Run a script: read its options, call it, and tell what the user did wrong in one line.

    Args:
        main: What the script does.
        options: Dataclass of its options; its docstring is the help.
        arguments: Words of the command line; those of this process if None.

    Raises:
        SystemExit: With code 2 for options or files that cannot be used, and 130 when interrupted.
    """
    try:
        main(tyro.cli(options, args=arguments))
    except (BenchmarkError, HTPError) as error:
        _leave(_USAGE, f"error: {error}")
    except torch.cuda.OutOfMemoryError:
        _leave(_USAGE, "error: out of GPU memory: lower the batch size or the memory budget")
    except KeyboardInterrupt:
        _leave(_INTERRUPTED, "interrupted")


def _leave(code: int, line: str) -> None:
    print(" ".join(line.split()), file=sys.stderr)
    raise SystemExit(code) from None
