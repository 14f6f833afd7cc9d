import io
import json
import os
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adapters.clock import Timing
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import ADDED_LATER, read_json, write_json
from htp_diffusion.base.tables import Column, Figure, Table

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@dataclass(frozen=True)
class Inner:
    count: int
    share: float

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError(f"expected a count of at least 0, got {self.count}")


@dataclass(frozen=True)
class Outer:
    name: str
    flag: bool
    inner: Inner
    maybe: Inner | None
    number: int | float
    samples: tuple[float, ...]
    pair: tuple[int, str]
    by_name: dict[str, list[Inner]]
    kind: Literal["a", "b"]


INNERS = st.builds(Inner, st.integers(0), FINITE)
OUTERS = st.builds(
    Outer,
    name=st.text(),
    flag=st.booleans(),
    inner=INNERS,
    maybe=st.none() | INNERS,
    number=st.integers() | FINITE,
    samples=st.lists(FINITE, max_size=4).map(tuple),
    pair=st.tuples(st.integers(), st.text()),
    by_name=st.dictionaries(st.text(), st.lists(INNERS, max_size=2), max_size=2),
    kind=st.sampled_from(["a", "b"]),
)
EXAMPLE = Outer("run", True, Inner(1, 0.5), None, 3, (1.0, 2.0), (1, "x"), {"k": [Inner(2, 1.5)]}, "a")
PLAIN = {
    "name": "run",
    "flag": True,
    "inner": {"count": 1, "share": 0.5},
    "maybe": None,
    "number": 3,
    "samples": [1.0, 2.0],
    "pair": [1, "x"],
    "by_name": {"k": [{"count": 2, "share": 1.5}]},
    "kind": "a",
}


def types_of(value):
    return [type(value), *(types_of(item) for item in getattr(value, "__dict__", {}).values())]


@given(OUTERS)
def test_what_is_written_is_read_back(tmp_path_factory, outer):
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    write_json(path, outer)
    found = read_json(path, Outer)
    assert found == outer
    assert types_of(found) == types_of(outer)


def test_the_file_is_plain_json(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, EXAMPLE)
    assert json.loads(path.read_text()) == PLAIN
    assert path.read_text().endswith("}\n")


@pytest.mark.unhooked
def test_a_list_of_results(tmp_path):
    path = tmp_path / "rows.json"
    rows = [Inner(1, 0.5), Inner(2, 1.5)]
    write_json(path, rows)
    assert json.loads(path.read_text()) == [{"count": 1, "share": 0.5}, {"count": 2, "share": 1.5}]
    assert read_json(path, list[Inner]) == rows


def test_what_the_benchmarks_measure_can_be_written(tmp_path):
    for result in (Timing((0.5, 1.5)), provenance()):
        write_json(tmp_path / "result.json", result)
        assert read_json(tmp_path / "result.json", type(result)) == result


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flag": 1}, r"result\.flag: expected bool, got 1"),
        ({"name": None}, r"result\.name: expected str, got null"),
        ({"number": True}, r"result\.number: expected int or float, got true"),
        ({"inner": {"count": 1}}, r"result\.inner: missing share among the fields of Inner"),
        ({"inner": {"count": 1, "share": 0, "more": 2}}, r"result\.inner: unknown more"),
        ({"inner": {"count": 1.0, "share": 0.5}}, r"result\.inner\.count: expected int, got 1\.0"),
        ({"inner": {"count": True, "share": 0.5}}, r"result\.inner\.count: expected int, got true"),
        ({"inner": {"count": -1, "share": 0.5}}, r"result\.inner: expected a count of at least 0, got -1"),
        ({"inner": [1, 0.5]}, r"result\.inner: expected the fields of Inner, got \[1, 0\.5\]"),
        ({"maybe": {"count": "1", "share": 0.5}}, r"result\.maybe\.count: expected int, got \"1\""),
        ({"samples": [1.0, "2"]}, r"result\.samples\[1\]: expected float, got \"2\""),
        ({"samples": 1.0}, r"result\.samples: expected tuple"),
        ({"pair": [1]}, r"result\.pair: expected 2 items, got 1"),
        (
            {"by_name": {"k": [{"count": 1, "share": None}]}},
            r"result\.by_name\['k'\]\[0\]\.share: expected float",
        ),
        ({"kind": "c"}, r"result\.kind: expected .*Literal.*, got \"c\""),
        ({"inner": {"count": 1, "share": float("nan")}}, r"result\.inner\.share: expected a finite number"),
        ({"samples": [float("-inf")]}, r"result\.samples\[0\]: expected a finite number, got -inf"),
    ],
)
def test_reading_names_the_field_that_does_not_fit(tmp_path, change, message):
    path = tmp_path / "result.json"
    path.write_text(json.dumps(PLAIN | change))
    with pytest.raises(BenchmarkError, match=message) as caught:
        read_json(path, Outer)
    assert str(caught.value).startswith(f"{path}: ")


def test_reading_names_missing_and_unknown_fields(tmp_path):
    path = tmp_path / "result.json"
    path.write_text(json.dumps({key: value for key, value in PLAIN.items() if key not in ("flag", "pair")}))
    with pytest.raises(BenchmarkError, match="missing flag, pair among the fields of Outer"):
        read_json(path, Outer)
    path.write_text(json.dumps(PLAIN | {"speed": 1}))
    with pytest.raises(BenchmarkError, match="unknown speed among the fields of Outer"):
        read_json(path, Outer)


@dataclass(frozen=True)
class Grown:
    old: int
    given: int | None = None
    new: int | None = field(default=None, metadata=ADDED_LATER)


def test_a_field_added_later_may_be_missing_and_no_other_default_is_taken(tmp_path):
    path = tmp_path / "result.json"
    for result in (Grown(1, 2), Grown(1, 2, 3)):
        write_json(path, result)
        assert json.loads(path.read_text())["new"] == result.new
        assert read_json(path, Grown) == result
    path.write_text('{"old": 1, "given": 2}')
    assert read_json(path, Grown) == Grown(1, 2)
    path.write_text('{"old": 1, "new": 3}')
    with pytest.raises(BenchmarkError, match="missing given among the fields of Grown"):
        read_json(path, Grown)
    path.write_text('{"old": 1, "given": 2, "new": "3"}')
    with pytest.raises(BenchmarkError, match=r"result\.new: expected int, got"):
        read_json(path, Grown)


def test_reading_refuses_what_is_no_json(tmp_path):
    path = tmp_path / "result.json"
    with pytest.raises(BenchmarkError, match=r"cannot read .*result\.json: No such file"):
        read_json(path, Outer)
    for content in (b"{", b"\xff\xfe{}", b"", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(BenchmarkError, match="is not JSON"):
            read_json(path, Outer)


def test_a_whole_number_is_a_float_too(tmp_path):
    path = tmp_path / "result.json"
    path.write_text('{"count": 1, "share": 2}')
    found = read_json(path, Inner)
    assert (found, type(found.share)) == (Inner(1, 2.0), float)
    path.write_text(f'{{"count": 1, "share": 1{"0" * 400}}}')
    with pytest.raises(BenchmarkError, match=r"result\.share: .* got one too large"):
        read_json(path, Inner)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (Inner(1, float("nan")), r"result\.share: expected a finite number, got nan"),
        (Inner(1, numpy.float64(0.5)), r"result\.share: cannot be written as JSON, of type float64"),
        (Inner(True, 0.5), r"result\.count: expected int, got true"),
        ([Inner(1, 0.5), Inner(2, float("inf"))], r"result\[1\]\.share: expected a finite number, got inf"),
        ({"a": {1}}, r"result\['a'\]: cannot be written as JSON, of type set"),
    ],
)
def test_writing_refuses_what_could_not_be_read(tmp_path, result, message):
    path = tmp_path / "result.json"
    path.write_text("before")
    with pytest.raises(BenchmarkError, match=message):
        write_json(path, result)
    assert path.read_text() == "before"


def test_annotations_beyond_json_are_refused(tmp_path):
    @dataclass(frozen=True)
    class Loose:
        anything: Any

    with pytest.raises(
        BenchmarkError, match=r"result\.anything: annotated with .*Any, which results cannot hold"
    ):
        write_json(tmp_path / "result.json", Loose(1))


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    write_json(path, Inner(1, 0.5))

    def fail(source, target):
        assert json.loads(source.read_text()) == {"count": 2, "share": 0.5}
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(BenchmarkError, match=r"cannot write .*result\.json: No space left on device"):
        write_json(path, Inner(2, 0.5))
    assert read_json(path, Inner) == Inner(1, 0.5)
    assert list(tmp_path.iterdir()) == [path]


def test_writing_into_a_missing_folder(tmp_path):
    with pytest.raises(BenchmarkError, match=r"cannot write .*: No such file"):
        write_json(tmp_path / "missing" / "result.json", Inner(1, 0.5))


TABLE = Table(
    title="Cost of [one] pass",
    columns=(
        Column("model"),
        Column("MPJPE (mm)", spec=".1f", source="measured"),
        Column("MACs (G)", spec=",.2f"),
    ),
    rows=(
        ("D3DP", 35.44, Figure(1139.0464, "measured")),
        ("HTP | n=1", 30, Figure(60.6, "quoted")),
        ("a_b", None, Figure(None, "quoted")),
    ),
    notes=("Batch 1.",),
)


def test_markdown_of_a_table():
    assert TABLE.to_markdown() == (
        "**Cost of [one] pass**\n"
        "\n"
        "| model | MPJPE (mm) \\* | MACs (G) |\n"
        "| --- | ---: | ---: |\n"
        "| D3DP | 35.4 | 1,139.05\\* |\n"
        "| HTP \\| n=1 | 30.0 | 60.60† |\n"
        "| a\\_b | - | - |\n"
        "\n"
        "- Batch 1.\n"
        "- \\* measured here\n"
        "- † quoted from the paper\n"
    )


def test_rich_table_shows_the_same_cells():
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(TABLE.to_rich())
    shown = console.file.getvalue()
    for text in (
        "Cost of [one] pass",
        "MPJPE (mm) *",
        "35.4",
        "1,139.05*",
        "HTP | n=1",
        "60.60†",
        "a_b",
        "Batch 1.",
    ):
        assert text in shown
    assert "† quoted from the paper" in shown


def test_a_table_without_figures_has_no_legend():
    table = Table(title="Settings", columns=(Column("steps", spec="d"),), rows=((5,),))
    assert table.to_markdown() == "**Settings**\n\n| steps |\n| ---: |\n| 5 |\n"
    assert table.to_rich().caption is None


def test_a_row_of_another_length_is_refused():
    with pytest.raises(BenchmarkError, match="table 'Settings': expected 1 cells in row 1, got 2"):
        Table(title="Settings", columns=(Column("steps"),), rows=((5,), (5, 6)))
