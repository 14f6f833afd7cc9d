"""Multiply-accumulates and parameters of every model at the paper's sizes, beside the paper's figures."""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.results import read_json, write_json
from htp_diffusion.base.tables import show
from htp_diffusion.speed.options import PUBLIC
from htp_diffusion.speed.paper_macs import count_rows, macs_table
from htp_diffusion.speed.paper_systems import SystemRow, count_again, other_tables, systems_table
from htp_diffusion.speed.paper_tables import printed_tables
from htp_diffusion.speed.system_times import SystemTimes

_RESULTS = Path(__file__).resolve().parent / "results"
_SYSTEMS, _TIMES = _RESULTS / "paper-systems.json", _RESULTS / "system-times.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Count the multiply-accumulates and parameters of every model at the paper's sizes.

    Prints THOP's count beside the paper's figure, and the true count, of our models, which takes seconds;
    then the paper's tables of systems, each figure marked as quoted, counted or measured: Table I with what
    the systems' public code counts, as committed or, with --public, anew, and the times committed.

    Attributes:
        out: Folder for macs.json and paper-systems.json.
    """

    public: Annotated[Path | None, PUBLIC, by_default("none", "FOLDER")] = None
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/macs")


def main(options: Options) -> None:
    """Count, print, write."""
    rows = count_rows()
    show(macs_table(rows))
    systems = read_json(_SYSTEMS, list[SystemRow])
    if options.public is not None:
        systems = count_again(systems, options.public)
    tables = other_tables(list(printed_tables().values()))
    for table in (systems_table(systems, read_json(_TIMES, SystemTimes)), *tables):
        show(table)
    folder = make_folder(options.out)
    for name, content in (("macs.json", rows), (_SYSTEMS.name, systems)):
        write_json(folder / name, content)
        print(f"written: {folder / name}")


if __name__ == "__main__":
    run_command(main, Options)
