"""Report: report.json and report.md, written anew after each part and readable by themselves."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from adapters.words import counted
from htp_diffusion.base.files import write_text
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import Column, Table, escaped
from htp_diffusion.reproduction.items import ITEMS, Item, Need, NeedKind
from htp_diffusion.reproduction.part import Compared, Picture, compared_table
from htp_diffusion.reproduction.quoted import QUOTED
from htp_diffusion.reproduction.runner import PARTS_FOLDER, Outcome, State

ItemState = Literal["made", "made in part", "left out", "cannot be made here"]


@dataclass(frozen=True, kw_only=True)
class PartReport:
    """A part: its file, what became of it, its estimate and its time in seconds, and why it is not there."""

    name: str
    title: str
    state: State
    file: str | None
    estimate: float
    seconds: float | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class ItemReport:
    """A table or figure of the paper.

    Attributes:
        name: As the paper has it.
        shows: What it shows.
        known: What of it is known here.
        state: Whether it was made. In part: from other motion, or without the figures that need training.
        missing: What its own figures would take.
        left_out: Parts of it that were not made, and why.
        command: Makes it alone.
        figures: Measured here, those that the paper prints first, and quoted.
        pictures: Of it.
    """

    name: str
    shows: str
    known: str
    state: ItemState
    missing: list[Need]
    left_out: list[str]
    command: str
    figures: list[Compared]
    pictures: list[Picture]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A run.

    Attributes:
        size: The paper's sizes, or tiny ones.
        device: Where.
        minutes: Its budget.
        data: Data sets that were given.
        items: The tables and figures.
        parts: What was run.
        provenance: Where the result comes from.
    """

    size: str
    device: str
    minutes: float
    data: list[str]
    items: list[ItemReport]
    parts: list[PartReport]
    provenance: Provenance


def item_report(item: Item, outcomes: Sequence[Outcome], given: set[NeedKind]) -> ItemReport:
    """What became of one table or figure.

    Args:
        item: Which.
        outcomes: All parts.
        given: What there is of what items need.
    """
    mine = [outcome for outcome in outcomes if item.name in outcome.part.items]
    made = [outcome for outcome in mine if outcome.made]
    figures = [row for one in made for row in one.part.compared(one.result) if row.item == item.name]
    pictures = [one for done in made for one in done.part.pictures(done.result) if one.item == item.name]
    printed = [row for row in QUOTED if row.item == item.name]
    beside = [_printed_as(row, printed) for row in figures]
    quoted = [row for row in printed if row not in beside]
    missing = [need for need in item.needs if need.kind not in given]
    left_out = [f"{one.part.title}: {one.reason or one.state}" for one in mine if not one.made]
    measured = any(row.measured is not None for row in figures) or bool(pictures)
    state: ItemState = "made" if measured else "left out" if mine else "cannot be made here"
    if measured and (missing or left_out):
        state = "made in part"
    return ItemReport(
        name=item.name,
        shows=item.shows,
        known=item.known,
        state=state,
        missing=missing,
        left_out=left_out,
        command=item.command,
        figures=[*sorted(figures, key=lambda row: row.quoted is None), *quoted],
        pictures=pictures,
    )


def _printed_as(figure: Compared, printed: Sequence[Compared]) -> Compared | None:
    """The paper's figure beside a measured one: of equal figures the one that shares most words with it."""

    def words(row: Compared) -> set[str]:
        return set(row.what.replace(":", " ").replace(",", " ").split())

    equal = [row for row in printed if row.quoted == figure.quoted]
    return max(equal, key=lambda row: len(words(row) & words(figure)), default=None)


def make_report(
    outcomes: Sequence[Outcome],
    given: set[NeedKind],
    *,
    size: str,
    device: str,
    minutes: float,
    data: Sequence[str],
    provenance: Provenance,
) -> Report:
    """The report of what there is so far."""
    return Report(
        size=size,
        device=device,
        minutes=minutes,
        data=list(data),
        items=[item_report(item, outcomes, given) for item in ITEMS],
        parts=[
            PartReport(
                name=one.part.name,
                title=one.part.title,
                state=one.state,
                file=f"{PARTS_FOLDER}/{one.part.name}.json" if one.made else None,
                estimate=one.part.estimate,
                seconds=one.seconds,
                reason=one.reason,
            )
            for one in outcomes
        ],
        provenance=provenance,
    )


def summary_table(report: Report) -> Table:
    """One screen: what was made and what was not, and why."""
    return Table(
        title=f"The paper's tables and figures: sizes {report.size}, {report.device}",
        columns=(Column("item"), Column("state"), Column("why not all of it")),
        rows=tuple((item.name, item.state, _why(item)) for item in report.items),
        notes=tuple(
            f"left out or failed: {part.title}: {part.reason}" for part in report.parts if part.reason
        ),
    )


def _why(item: ItemReport) -> str | None:
    return "; ".join([*(f"missing {need.name}" for need in item.missing), *item.left_out]) or None


def write_report(folder: Path, report: Report, outcomes: Sequence[Outcome]) -> None:
    """Write report.json and report.md; each file is whole or as it was before.

    Raises:
        BenchmarkError: A file cannot be written.
    """
    write_json(folder / "report.json", report)
    write_text(folder / "report.md", to_markdown(report, outcomes))


def to_markdown(report: Report, outcomes: Sequence[Outcome]) -> str:
    """The report as Markdown: contents, the paper's items in order, then the parts with their conditions."""
    source = report.provenance
    machine = ", ".join(
        filter(None, (source.gpu, source.cpu, counted(source.cores, "core"), source.told_threads))
    )
    commit = (
        "unknown" if source.commit is None else source.commit[:12] + (" with changes" if source.dirty else "")
    )
    lines = [
        "# The paper, table by table",
        "",
        "Bi et al., Efficient Diffusion-Based 3D Human Pose Estimation with Hierarchical Temporal Pruning "
        "(arXiv 2508.21363). A figure marked * was measured here, one marked † is quoted from the paper; a "
        "part that was found again says which commit made it; where a measurement's conditions differ from "
        "the paper's, its row says so.",
        "",
        f"- Machine: {machine}; device {report.device}"
        + ("" if report.device.startswith("cuda") else "; nothing was measured on a GPU"),
        f"- Code: commit {commit}; Python {source.python}, PyTorch {source.torch}, NumPy {source.numpy}",
        f"- Command: {_code(source.command)}, {source.date}; sizes: {report.size}; "
        f"budget: {report.minutes:g} minutes",
        f"- Data sets: {', '.join(map(escaped, report.data)) or 'none given'}",
        "",
        "## Contents",
        "",
        "- [Made and left out](#made-and-left-out)",
        *(f"- [{escaped(_title(item))}](#{_anchor(_title(item))}): {item.state}" for item in report.items),
        *(f"- [{escaped(one.part.title)}](#{_anchor(one.part.title)})" for one in outcomes if one.made),
        "",
        "## Made and left out",
        "",
        summary_table(report).to_markdown(),
        _parts_table(report).to_markdown(),
    ]
    for item in report.items:
        lines += _item_lines(item)
    for one in outcomes:
        if one.made:
            lines += [
                f"## {escaped(one.part.title)}",
                "",
                f"Took {one.seconds:.1f} s; `{PARTS_FOLDER}/{one.part.name}.json`{_made_before(one)}.",
                "",
            ]
            lines += [table.to_markdown() for table in one.part.tables(one.result)]
            shown = [picture for picture in one.part.pictures(one.result) if not picture.item]
            lines += [_shown(picture, picture.caption) for picture in shown]
    return "\n".join(lines).rstrip() + "\n"


def _made_before(outcome: Outcome) -> str:
    """Of a part that was found again: what made it."""
    if outcome.state != "found again":
        return ""
    by = outcome.provenance
    if by is None:
        return "; found again, made by an earlier version"
    return f"; found again, made {by.date[:10]} at commit {(by.commit or 'unknown')[:12]}, PyTorch {by.torch}"


def _item_lines(item: ItemReport) -> list[str]:
    lines = [f"## {_title(item)}", "", f"{item.shows[0].upper()}{item.shows[1:]}. **{item.state}.**", ""]
    lines += [f"- Known here: {item.known}.", f"- Alone: `{item.command}`"]
    lines += [f"- Missing for the paper's own figures: {need.file}: {need.where}." for need in item.missing]
    lines += [f"- Left out: {escaped(reason)}." for reason in item.left_out]
    lines.append("")
    if item.figures:
        lines.append(compared_table(_title(item), item.figures).to_markdown())
    lines += [_shown(picture, picture.item) for picture in item.pictures]
    return lines


def _shown(picture: Picture, instead: str) -> str:
    """A picture with its caption below, and the words for those who do not see it."""
    return f"![{escaped(instead)}]({picture.file})\n\n{escaped(picture.caption)}\n"


def _code(text: str) -> str:
    """Between more backticks than stand together in it, or what follows one of them would be read as HTML."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {text} {fence}" if len(fence) > 1 else f"`{text}`"


def _parts_table(report: Report) -> Table:
    return Table(
        title="Parts, in the order of the run",
        columns=(
            Column("part"),
            Column("state"),
            Column("estimate, s", ".0f"),
            Column("took, s", ".1f"),
            Column("why not"),
        ),
        rows=tuple(
            (part.title, part.state, part.estimate, part.seconds, part.reason) for part in report.parts
        ),
    )


def _title(item: ItemReport) -> str:
    return item.name if item.name.startswith(("Table ", "Figure ")) else item.name.capitalize()


def _anchor(title: str) -> str:
    """The anchor that a heading has on a page of Markdown: lower case, dashes for spaces, no other signs."""
    kept = (character for character in title.lower() if character.isalnum() or character in " -_")
    return "".join(kept).replace(" ", "-")
