"""The documentation's tables are those of the committed results."""

from pathlib import Path

import pytest

import write_tables
from htp_diffusion.errors import BenchmarkError

ROOT = Path(__file__).resolve().parents[2]


def test_every_page_is_up_to_date(capsys):
    write_tables.main(write_tables.Options(check=True))
    assert capsys.readouterr().out == ""


def test_every_committed_result_is_shown():
    shown = "".join((ROOT / page).read_text(encoding="utf-8") for page in write_tables._PAGES)
    for result in (ROOT / "benchmarks" / "results").glob("*.json"):
        assert f"<!-- table: {result.stem} -->" in shown


def test_a_page_that_lags_behind_is_made_anew():
    page = "before\n<!-- table: macs -->\nold\n<!-- end -->\nafter\n"
    made = write_tables.with_tables(page)
    assert made.startswith("before\n<!-- table: macs -->\n**")
    assert made.endswith("<!-- end -->\nafter\n")
    assert "old" not in made
    assert "139.046" in made
    assert write_tables.with_tables(made) == made


def test_an_unknown_table_is_named():
    with pytest.raises(BenchmarkError, match="no table is called nothing"):
        write_tables.with_tables("<!-- table: nothing -->\n<!-- end -->")
