"""What every script does before and after its work."""

import ctypes
import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch

import count_macs
import evaluate
import measure
import study
from htp_diffusion.base import command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.speed.commands import scaling, systems, throughput, training


def test_freed_memory_is_kept_where_the_c_library_can(monkeypatch):
    calls = []

    class Glibc:
        @staticmethod
        def mallopt(name, value):
            calls.append((name, value))

    monkeypatch.setattr(ctypes, "CDLL", lambda _: Glibc)
    command.keep_freed_memory()
    # malloc.h: M_MMAP_THRESHOLD is -3, M_TRIM_THRESHOLD is -1.
    assert calls == [(-3, 2**30), (-1, 2**30)]


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    command.keep_freed_memory()


@dataclass(frozen=True)
class Walk:
    """Walk.

    Attributes:
        steps: How far.
    """

    steps: int = 1


@dataclass(frozen=True)
class Stop:
    """Stop."""


def told(walked, arguments):
    def stop(options):
        raise BenchmarkError("cannot\n stop")

    command.run_subcommands({"walk": (walked.append, Walk), "stop": (stop, Stop)}, arguments)


def test_the_first_word_says_which_subcommand():
    walked = []
    told(walked, ["walk", "--steps", "3"])
    told(walked, ["walk"])
    assert walked == [Walk(3), Walk()]


def test_what_a_subcommand_refuses_is_one_line(capsys):
    with pytest.raises(SystemExit) as left:
        told([], ["stop"])
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: cannot stop\n"


@pytest.mark.parametrize("arguments", [[], ["run"], ["walk", "--pace", "3"]])
def test_an_unknown_subcommand_or_option_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        told([], arguments)
    assert left.value.code == 2
    assert "--help" in capsys.readouterr().err


def test_an_invalid_choice_lists_the_choices_and_no_none(capsys):
    with pytest.raises(SystemExit):
        command.run_command(print, evaluate.Options, ["a.json", "--dataset", "foo"])
    told = capsys.readouterr().err
    assert "motionbert" in told
    assert "None" not in told


@dataclass(frozen=True)
class Counts:
    repeats: int = 0
    sizes: tuple[int, ...] = (2, 0)
    threads: int | None = None


def test_numbers_that_are_too_small_are_named():
    command.at_least(Counts(), 0, "repeats", "sizes", "threads")
    with pytest.raises(BenchmarkError, match="repeats expects at least 1, got 0"):
        command.at_least(Counts(), 1, "threads", "repeats")
    with pytest.raises(BenchmarkError, match="sizes expects at least 1, got 0"):
        command.at_least(Counts(), 1, "sizes")


@pytest.mark.parametrize("name", measure.COMMANDS)
@pytest.mark.parametrize(
    ("option", "value"), [("--repeats", "0"), ("--warmup", "-1"), ("--threads", "0"), ("--precision", "tf32")]
)
def test_measuring_checks_its_options_before_anything_is_built(name, option, value, capsys, monkeypatch):
    for module in (throughput, scaling, training, systems):
        monkeypatch.setattr(module, "torch", None)  # nothing is computed
    if name == "systems" and option == "--precision":
        pytest.skip("the systems are timed in float32 alone")
    where = ("--public", ".") if name == "systems" else ("--device", "cpu")
    with pytest.raises(SystemExit) as left:
        command.run_subcommands(measure.COMMANDS, [name, option, value, *where])
    assert left.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("commands", [measure.COMMANDS, study.COMMANDS])
def test_every_subcommand_of_the_scripts_has_help(commands, capsys):
    for name in commands:
        with pytest.raises(SystemExit) as left:
            command.run_subcommands(commands, [name, "--help"])
        assert left.value.code == 0
        assert name in capsys.readouterr().out


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (torch.cuda.OutOfMemoryError("long"), 2, "error: out of GPU memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "error: out of memory"),
        (BenchmarkError("two\nlines"), 2, "error: two lines"),
    ],
)
def test_a_command_turns_errors_into_one_line(raised, code, line, capsys):
    def main(_):
        raise raised

    with pytest.raises(SystemExit) as left:
        command.run_command(main, Stop, [])
    assert left.value.code == code
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert told.count("\n") == 1


def test_a_reader_that_leaves_is_no_traceback():
    command_line = [sys.executable, count_macs.__file__, "--help"]
    run = subprocess.Popen(command_line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run.stdout.close()  # as `| head` does once it has its lines
    assert run.stderr.read() == ""
    run.stderr.close()
    assert run.wait(60) == 141
