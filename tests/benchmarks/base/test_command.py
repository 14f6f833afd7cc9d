"""What every script does before and after its work."""

import ctypes
from dataclasses import dataclass

import pytest

import measure
import study
from htp_diffusion.base import command
from htp_diffusion.base.errors import BenchmarkError


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


@pytest.mark.parametrize("commands", [measure.COMMANDS, study.COMMANDS])
def test_every_subcommand_of_the_scripts_has_help(commands, capsys):
    for name in commands:
        with pytest.raises(SystemExit) as left:
            command.run_subcommands(commands, [name, "--help"])
        assert left.value.code == 0
        assert name in capsys.readouterr().out
