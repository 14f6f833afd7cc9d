"""Command lines: options from a dataclass, and errors that end a script with one line and no traceback."""

import ctypes
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import torch
import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from adapters.verify import is_out_of_memory
from adapters.words import printable
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.units import GIBIBYTE
from htp_modules.errors import HTPError

Options = TypeVar("Options")

_USAGE, _INTERRUPTED, _UNREAD = 2, 130, 141  # exit codes, as shells and argparse have them
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # mallopt's names for them, from glibc's malloc.h


def by_default(text: str, metavar: str) -> object:
    """Help for an option that is None by default: what happens then, and what to write instead."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})", metavar=metavar)


def _choices_alone(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """How to read one of several words where None stands for none of them: tyro would offer 'None', too."""
    parts = [part for part in get_args(kind.type) if part is not NoneType]
    if len(parts) != 1 or get_origin(parts[0]) is not Literal:
        return None
    choices = get_args(parts[0])
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(choices)}}}",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: value is None or value in choices,
        str_from_instance=lambda value: [str(value)],
        choices=choices,
    )


def _registry() -> ConstructorRegistry:
    registry = ConstructorRegistry()
    registry.primitive_rule(_choices_alone)
    return registry


def at_least(options: object, least: int, *names: str) -> None:
    """Check that options are not below ``least``: every value of a tuple, and None passes.

    Raises:
        BenchmarkError: One is below ``least``.
    """
    for name in names:
        given = getattr(options, name)
        for value in given if isinstance(given, tuple) else (given,):
            if value is not None and not value >= least:
                raise BenchmarkError(f"{name.replace('_', '-')} expects at least {least}, got {value}")


def keep_freed_memory() -> None:
    """Let the C library keep the memory of freed tensors, where it can, for the next ones.

    By default glibc gives large blocks back to the system, and every layer pays for pages that the system has
    to clear anew: a few percent of a pass on a CPU.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another C library than glibc
        return
    for threshold in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
        mallopt(threshold, GIBIBYTE)


def run_command(
    main: Callable[[Options], None], options: type[Options], arguments: Sequence[str] | None = None
) -> None:
    """Run a script: read its options, call it, and tell what the user did wrong in one line.

    Args:
        main: What the script does.
        options: Dataclass of its options; its docstring is the help.
        arguments: Words of the command line; those of this process if None.

    Raises:
        SystemExit: With code 2 for options or files that cannot be used, 130 when interrupted, and 141 when
            nobody reads the output any more (``| head``).
    """
    with _one_line_for_errors():
        main(tyro.cli(options, args=arguments, registry=_registry()))


def run_subcommands(
    commands: Mapping[str, tuple[Callable[[Any], None], type]], arguments: Sequence[str] | None = None
) -> None:
    """Run a script of several subcommands, the first word of the command line saying which.

    Args:
        commands: By its name, what a subcommand does and the dataclass of its options.
        arguments: As for ``run_command``.

    Raises:
        SystemExit: As ``run_command``.
    """
    kinds = tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, (_, kind) in commands.items())
    with _one_line_for_errors():
        options = tyro.cli(Union[kinds], args=arguments, registry=_registry())  # pyright: ignore[reportArgumentType,reportCallIssue]  # noqa: UP007
        [main] = [main for main, kind in commands.values() if type(options) is kind]
        main(options)


@contextmanager
def _one_line_for_errors() -> Iterator[None]:
    keep_freed_memory()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Else a file stays empty until the end, and a file's name that is not UTF-8 ends the script.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        yield
    except (BenchmarkError, HTPError) as error:
        _leave(_USAGE, f"error: {error}")
    except torch.cuda.OutOfMemoryError:
        _leave(_USAGE, "error: out of GPU memory: lower the batch size or the memory budget")
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        _leave(_USAGE, "error: out of memory: lower the batch size or the number of hypotheses")
    except BrokenPipeError:
        # Python writes what is left at its exit; into the closed pipe, it would tell of that, too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(_UNREAD) from None
    except KeyboardInterrupt as interrupt:
        _leave(_INTERRUPTED, ": ".join(["interrupted", *map(str, interrupt.args)]))


def _leave(code: int, line: str) -> None:
    # What a file says of itself may stand in it.
    print(printable(" ".join(line.split())), file=sys.stderr)
    raise SystemExit(code) from None
