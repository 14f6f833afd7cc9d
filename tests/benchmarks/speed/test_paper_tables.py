"""The quoted figures. Oracle: what must hold between figures of one paper, and what its text says."""

import pytest

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.speed.paper_tables import (
    UNPLACED,
    PrintedFigure,
    PrintedRow,
    PrintedTable,
    printed,
    printed_or_none,
    printed_table,
    printed_tables,
)


def test_all_thirteen_tables_are_there_and_each_figure_has_a_source():
    tables = printed_tables()
    assert list(tables)[-1] == UNPLACED
    assert len(tables) == 14
    for table in tables.values():
        names = [row.name for row in table.rows]
        assert len(set(names)) == len(names)
        assert all(figure.source.startswith("quoted: ") for row in table.rows for figure in row.figures)
        # Nothing is known to be all there, and nothing of a table may be missing without a word.
        assert table.rows or table.missing


def test_the_figures_agree_with_each_other():
    # The same model stands in several tables: HTP with n=3, f=54, all modules, T=243, k=162.
    mpjpe = printed("Table I", "HTP", "MPJPE, mm, CPN 2D")
    rows = (("VIII", "n=3"), ("X", "k=162"), ("XI", "all"), ("XII", "in both"), ("XIII", "T=243"))
    for number, row in rows:
        assert printed(f"Table {number}", row, "MPJPE, mm") == mpjpe
    # Modules with the same parameters and costs: attention takes a mask or none.
    for name in ("GMACs a pass", "parameters, M"):
        for fewer, more in (("+ TCEP", "+ TCEP, SFT MHSA"), ("+ TCEP, MGPTP", "all")):
            assert printed("Table XI", fewer, name) == printed("Table XI", more, name)
    for setting, ratio in (("HxK=20", 2.95), ("H=20, K=10", 1.72)):
        speeds = [printed("Table V", name, f"frames/s, {setting}") for name in ("HTP n=1", "D3DP")]
        assert speeds[0] / speeds[1] == pytest.approx(ratio, abs=0.005)
        assert printed("Table V", "HTP n=1", f"times as fast as D3DP, {setting}") == ratio
    # The abstract: 38.5 % fewer MACs in training, 56.8 % in inference (0.36 of 0.58: 37.9; the digits round).
    cost = [printed("Table V", name, "GMACs a frame, training, one pass") for name in ("HTP n=3", "D3DP")]
    assert 1 - cost[0] / cost[1] == pytest.approx(0.385, abs=0.01)
    cost = [printed("Table V", name, "GMACs a frame, H=20, K=10") for name in ("HTP n=1", "D3DP")]
    assert 1 - cost[0] / cost[1] == pytest.approx(0.568, abs=0.005)


def test_what_is_not_known_is_no_figure():
    assert printed_or_none("Table V", "FinePOSE", "GMACs a frame, HxK=20") is None
    with pytest.raises(BenchmarkError, match="has no figure 'GMACs a pass' of 'TCN' in Table I"):
        printed("Table I", "TCN", "GMACs a pass")


def test_a_table_says_what_is_missing_and_where_each_figure_was_read():
    def row(name, source, **figures):
        listed = [PrintedFigure(name=key, value=value, source=source) for key, value in figures.items()]
        return PrintedRow(name=name, frames=None, figures=listed)

    table = PrintedTable(
        item="Table V",
        missing="the rest",
        rows=[row("A", "quoted: here", x=1.5), row("B", "quoted: there", y=2)],
    )
    assert table.known == "figures of A, B; not known: the rest"
    text = printed_table(table).to_markdown()
    assert "| row | T | x † | y † |" in text
    assert "- A: quoted: here.\n- B: quoted: there.\n- Not known here: the rest." in text
