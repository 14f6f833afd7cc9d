"""Multiply-accumulates and parameters of every model at the paper's sizes, beside the paper's figures."""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import run_command
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.speed.paper_macs import count_rows, macs_table


@dataclass(frozen=True, kw_only=True)
class Options:
    """Count the multiply-accumulates and parameters of every model at the paper's sizes.

    Prints one table: THOP's count beside the paper's figure, and the true count. Takes seconds.

    Attributes:
        out: Folder for macs.json.
    """

    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/macs")


def main(options: Options) -> None:
    """Count, print, write."""
    rows = count_rows()
    show(macs_table(rows))
    path = make_folder(options.out) / "macs.json"
    write_json(path, rows)
    print(f"written: {path}")


if __name__ == "__main__":
    run_command(main, Options)
