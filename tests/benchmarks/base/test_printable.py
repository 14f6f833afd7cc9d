"""What files say, shown in a terminal."""

import io
import json
import sys
from dataclasses import dataclass

import pytest
from rich.console import Console

from htp_diffusion.base.command import run_command
from htp_diffusion.base.provenance import command_line
from htp_diffusion.base.results import read_json
from htp_diffusion.base.tables import Column, Table

HOSTILE = "\x1b[2J\x1b]52;c;aGk=\x07\nerror: all is well\x9b"
ESCAPED = r"\x1b[2J\x1b]52;c;aGk=\x07"


@dataclass(frozen=True)
class Options:
    """Options."""


@dataclass(frozen=True)
class Content:
    step: int


def test_a_key_of_a_file_does_not_command_the_terminal(tmp_path, capsys):
    path = tmp_path / "last.json"
    path.write_text(json.dumps({"step": 1, HOSTILE: 2}))
    with pytest.raises(SystemExit):
        run_command(lambda options: print(read_json(path, Content)), Options, [])
    told = capsys.readouterr().err
    assert ESCAPED in told
    assert told.count("\n") == 1  # at its end
    assert told.strip().isprintable()
    assert told.startswith("error: ")


def test_a_table_does_not_command_the_terminal():
    console = Console(file=io.StringIO(), width=300, color_system=None)
    table = Table(title=HOSTILE, columns=(Column("x"),), rows=((HOSTILE,),), notes=(HOSTILE, "second"))
    console.print(table.to_rich())
    lines = console.file.getvalue().splitlines()
    assert all(line.isprintable() for line in lines)
    assert sum(ESCAPED in line for line in lines) == 3


def test_a_name_that_is_not_utf_8_is_told_on_an_output_that_is(monkeypatch):
    told = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(told, encoding="utf-8", errors="strict"))
    run_command(lambda options: print("written: caf\udce9.json"), Options, [])
    assert told.getvalue() == b"written: caf\\udce9.json\n"


def test_the_command_that_results_keep_can_be_written(tmp_path):
    assert command_line(["lift.py", "caf\udce9.json"], tmp_path) == r"lift.py 'caf\udce9.json'"
