"""Counted: multiply-accumulates and parameters of every row of the paper, as a part."""

from collections.abc import Sequence
from dataclasses import dataclass

from htp_diffusion.reproduction.part import Compared, Part, Workplace
from htp_diffusion.speed.paper_macs import MacsRow, count_rows, macs_table

_ABOUT = 15.0  # seconds of one core


@dataclass(frozen=True, kw_only=True)
class CountAsked:
    """Nothing to ask for: the sizes are the paper's."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The rows."""

    rows: list[MacsRow]


def counted_part() -> Part[Counts]:
    """The part."""
    return Part(
        name="counts",
        title="Multiply-accumulates and parameters at the paper's sizes",
        items=("Table I", "Table V", "Table VIII", "Table XI", "Table XIII"),
        asked=CountAsked(),
        kind=Counts,
        estimate=_ABOUT,
        make=_make,
        tables=lambda counts: [macs_table(counts.rows)],
        compared=compared_counts,
    )


def compared_counts(counts: Counts) -> Sequence[Compared]:
    """Each count beside the paper's, under the table that prints it as far as that is known."""
    found = []
    for row in counts.rows:
        for item in _items_of(row):
            what = f"{row.model}, {row.setting}: GMACs by THOP"
            found.append(Compared(item=item, what=what, measured=row.thop_gmacs, quoted=row.paper_gmacs))
            if row.paper_params_m is not None and item in ("Table I", "Table XI"):
                found.append(
                    Compared(
                        item=item,
                        what=f"{row.model}: parameters, M",
                        measured=row.params_m,
                        quoted=row.paper_params_m,
                    )
                )
    return found


def _items_of(row: MacsRow) -> list[str]:
    per_frame = row.setting.startswith("G/frame")
    setting = row.setting
    items = []
    if row.model.startswith("baseline") or (row.model == "HTP" and "n=3" in setting):
        items.append("Table XI")
    if row.model == "HTP" and not per_frame:
        items.append("Table VIII")
    if per_frame and "T=" in setting:
        items.append("Table XIII")
    elif per_frame:
        items.append("Table V")
    if not per_frame and (
        row.model in ("MixSTE", "D3DP", "MotionBERT", "FinePOSE", "KTPFormer")
        or "w/" in row.model
        or "n=3" in setting
    ):
        items.append("Table I")
    return items


def _make(work: Workplace) -> Counts:
    return Counts(rows=count_rows())
