"""The report. Oracle: the list of the paper's tables and figures, and links that must lead somewhere."""

import re
from dataclasses import dataclass, replace

import pytest
from markdown_it import MarkdownIt

from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import read_json
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.reproduction.items import ITEMS
from htp_diffusion.reproduction.part import Compared, Part, Picture
from htp_diffusion.reproduction.quoted import QUOTED
from htp_diffusion.reproduction.report import Report, make_report, summary_table, to_markdown, write_report
from htp_diffusion.reproduction.runner import Outcome
from htp_diffusion.speed.paper_tables import UNPLACED

ROMAN = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII", "XIII"]
PAPER = [*(f"Table {number}" for number in ROMAN), *(f"Figure {number}" for number in (1, 4, 6, 7, 8))]


@dataclass(frozen=True, kw_only=True)
class Answer:
    value: float


def outcome(items, *, made=True, compared=(), pictures=(), reason=None):
    part = Part(
        name="one", title="One's part", items=items, asked=None, kind=Answer, estimate=3.0,
        make=lambda work: Answer(value=1.0),
        tables=lambda result: [Table(title="of it", columns=(Column("x", ".1f"),), rows=((result.value,),))],
        compared=lambda result: compared, pictures=lambda result: pictures,
    )  # fmt: skip
    if made:
        return Outcome(part=part, state="made", result=Answer(value=1.0), seconds=2.5)
    return Outcome(part=part, state="left out", reason=reason)


def report_of(outcomes, given=frozenset()):
    return make_report(
        outcomes,
        set(given),
        size="tiny",
        device="cpu",
        minutes=5.0,
        data=["own.npz"],
        provenance=provenance(),
    )


def item(report, name):
    [found] = [one for one in report.items if one.name == name]
    return found


def test_every_table_and_figure_of_the_paper_is_walked_and_none_is_unexplained():
    assert [one.name for one in ITEMS] == [*PAPER, UNPLACED]
    report = report_of([])
    for one in report.items:
        assert one.shows
        assert one.known
        assert one.command.startswith("python benchmarks/")
        assert one.state == "cannot be made here"
        assert one.missing
        assert all(need.file and need.where for need in one.missing)


def test_quoted_figures_are_of_known_items_and_never_measured():
    assert {row.item for row in QUOTED} <= {*PAPER, UNPLACED}
    assert all(row.measured is None and row.quoted is not None for row in QUOTED)


@pytest.mark.parametrize(("given", "state"), [((), "made in part"), (("gpu",), "made")])
def test_an_item_is_made_in_part_while_something_is_missing(given, state):
    figure = Compared(item="Table V", what="speed", measured=2.0, quoted=772.7)
    own = Compared(item="Table V", what="memory", measured=3.0, quoted=None)
    found = item(report_of([outcome(("Table V",), compared=(own, figure))], given), "Table V")
    assert found.state == state
    assert [need.name for need in found.missing] == ([] if given else ["a GPU"])
    assert found.figures[:2] == [figure, own]  # what the paper prints comes first
    assert not [row for row in found.figures[1:] if row.quoted == 772.7]  # not told twice


def test_of_equal_figures_the_measured_one_is_not_told_twice():
    """34.8 is D3DP's parameters in Table I and GLA-GCN's P-MPJPE."""
    alike = [row for row in QUOTED if row.item == "Table I" and row.quoted == 34.8]
    assert len(alike) == 2
    for row, other in (alike, alike[::-1]):
        figure = Compared(item="Table I", what=f"{row.what}, counted", measured=34.0, quoted=34.8)
        found = item(report_of([outcome(("Table I",), compared=(figure,))]), "Table I").figures
        assert [one for one in found if one.quoted == 34.8] == [figure, other]


def test_a_part_that_was_left_out_is_the_reason():
    found = item(report_of([outcome(("Table V",), made=False, reason="about 9 s, with 2 s left")]), "Table V")
    assert found.state == "left out"
    assert found.left_out == ["One's part: about 9 s, with 2 s left"]


def test_an_item_of_which_a_part_was_left_out_is_made_in_part():
    figure = Compared(item="Table V", what="speed", measured=2.0, quoted=None)
    outcomes = [outcome(("Table V",), compared=(figure,)), outcome(("Table V",), made=False, reason="late")]
    found = item(report_of(outcomes, ("gpu",)), "Table V")
    assert (found.state, found.missing, found.left_out) == ("made in part", [], ["One's part: late"])


@pytest.mark.parametrize(
    ("commit", "dirty", "told"),
    [
        ("0123456789abcdef", False, "commit 0123456789ab; Python"),
        ("0123456789abcdef", True, "commit 0123456789ab with changes; Python"),
        (None, False, "commit unknown; Python"),
    ],
)
def test_code_that_was_changed_is_told(commit, dirty, told):
    report = report_of([])
    report = replace(report, provenance=replace(report.provenance, commit=commit, dirty=dirty))
    assert told in to_markdown(report, [])


def test_the_written_report_is_read_back_and_its_links_lead_somewhere(tmp_path):
    outcomes = [
        outcome(
            ("Figure 8",),
            compared=(Compared(item="Figure 8", what="kept", measured=1.25, quoted=None, condition="so"),),
            pictures=(Picture(file="kept.png", item="Figure 8", caption="How."),),
        )
    ]
    report = report_of(outcomes)
    write_report(tmp_path, report, outcomes)
    assert read_json(tmp_path / "report.json", Report) == report
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(#([^)]+)\)", text)
    heads = [
        re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-")
        for head in re.findall(r"^## (.*)", text, re.M)
    ]
    assert len(links) == len(set(links)) == 1 + len(PAPER) + 1 + 1
    assert set(links) <= set(heads)
    assert "| kept | 1.25 | - | so |" in text
    assert "| figure | here \\* | paper † | measured how |" in text
    assert "![Figure 8](kept.png)\n\nHow." in text
    assert "own.npz" in text
    assert "nothing was measured on a GPU" in text
    assert len(summary_table(report).rows) == len(ITEMS)


def test_no_name_and_no_reason_is_html_in_the_report():
    """Oracle: a parser of Markdown finds no HTML in it, and the names in its text."""
    html = "<img src=x onerror=alert(1)>.npz"
    picture = Picture(file="kept.png", item="Figure 8", caption=html)
    made = outcome(("Figure 8",), pictures=(picture, replace(picture, item="")))
    outcomes = [
        replace(made, part=replace(made.part, title=f"Errors on {html}")),
        outcome(("Table V",), made=False, reason=html),
    ]
    report = replace(report_of(outcomes), data=[html])
    command = f"reproduce.py '``{html}` {html}'"
    report = replace(report, provenance=replace(report.provenance, command=command))
    tokens = MarkdownIt("commonmark").parse(to_markdown(report, outcomes))
    inline = [child for token in tokens for child in token.children or ()]
    assert not [token for token in (*tokens, *inline) if token.type.startswith("html")]
    assert [token for token in inline if token.type == "code_inline" and token.content == command]
    text = "".join(token.content for token in inline)
    for before in ("Data sets: ", "Errors on ", "Left out: One's part: "):
        assert f"{before}{html}" in text
