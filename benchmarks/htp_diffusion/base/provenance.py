"""Where a result comes from: the code, the machine, the versions and the command."""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import numpy
import torch

from adapters.words import counted, printable

_ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a result comes from.

    Attributes:
        commit: Commit of the checkout that holds this file, None outside one.
        dirty: Whether tracked files differ from the commit, None outside a checkout.
        python, torch, numpy: Versions.
        cpu: Model of the processor, None where the system does not tell.
        cores: Processors that this process may use.
        threads: Threads of one torch operation.
        gpu: Name of the current CUDA device, None without one.
        date: When, in UTC, to the second (ISO 8601).
        command: Command line; absolute paths are cut to the part inside the checkout, or to their last name.
    """

    commit: str | None
    dirty: bool | None
    python: str
    torch: str
    numpy: str
    cpu: str | None
    cores: int
    threads: int
    gpu: str | None
    date: str
    command: str

    @property
    def told_threads(self) -> str:
        """The threads, in words."""
        return counted(self.threads, "thread")

    @property
    def told_machine(self) -> str:
        """The processors that the result comes from, in words: the GPU or the CPU, cores and threads."""
        return f"{self.gpu or self.cpu}, {counted(self.cores, 'core')}, {self.told_threads}"


def provenance() -> Provenance:
    """Describe this process, its machine and its code as they are now."""
    commit, dirty = git_state(_ROOT)
    return Provenance(
        commit=commit,
        dirty=dirty,
        python=platform.python_version(),
        torch=str(torch.__version__),
        numpy=numpy.__version__,
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        command=command_line(sys.argv, _ROOT),
    )


def git_state(root: Path) -> tuple[str | None, bool | None]:
    """Commit of the checkout whose top folder is root, and whether tracked files differ from it.

    Returns:
        None and None if root is not the top of a git checkout with a commit. Not the checkout above it: code
        installed inside another project's folder is not of that project's commit.
    """

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)  # noqa: S603
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return None, None
        return git("rev-parse", "HEAD"), git("status", "--porcelain", "--untracked-files=no") != ""
    except (OSError, subprocess.SubprocessError):
        return None, None


def command_line(arguments: Sequence[str], root: Path) -> str:
    """Quote a command line for a shell, without paths that only this machine has.

    An absolute path is cut to the part below root, or to its last name outside root; so is the value of
    --option=value. Characters that are not shown are escaped.
    """

    def portable(argument: str) -> str:
        option, equals, value = argument.partition("=")
        if equals and option.startswith("-"):
            return f"{option}={portable(value)}"
        path = Path(argument)
        if not path.is_absolute():
            return argument
        return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name

    return printable(shlex.join(map(portable, arguments)))


def _cpu_model() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor()) or None
