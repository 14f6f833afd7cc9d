"""Multiply-accumulates and parameters of every model at the paper's sizes, beside the paper's figures."""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from htp_diffusion.base.command import by_default, run_command
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import show
from htp_diffusion.speed.paper_macs import count_rows, macs_table


@dataclass(frozen=True, kw_only=True)
class Options:
    """Count the multiply-accumulates and parameters of every model at the paper's sizes.

    Prints one table: THOP's count beside the paper's figure, and the true count. Takes seconds.

    Attributes:
        json: Write the rows as JSON here, too.
    """

    json: Annotated[Path | None, by_default("none", "FILE")] = None


def main(options: Options) -> None:
    """Count, print, write."""
    rows = count_rows()
    show(macs_table(rows))
    if options.json is not None:
        write_json(options.json, rows)
        print(f"written: {options.json}")


if __name__ == "__main__":
    run_command(main, Options)
