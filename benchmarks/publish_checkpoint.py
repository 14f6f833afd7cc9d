"""Cut a training run down to what sampling needs: the averaged weights and the JSON that describes them."""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.checkpoint import RUN_FILES, json_of, load_checkpoint, save_checkpoint


@dataclass(frozen=True, kw_only=True)
class Options:
    """Cut a training run down to what sampling needs.

    The tensors have the model's own names: load_state_dict and adapters.load_checkpoint take them.

    Attributes:
        run: Folder of the run, or its last.json; or a checkpoint that was published before.
        target: JSON file to write; the weights go beside it.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    target: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="TARGET")]


def main(options: Options) -> None:
    """Read the run, write its averaged weights."""
    source = json_of(options.run)
    target = options.target
    if target.suffix != ".json" or target.is_dir():
        raise BenchmarkError(f"target expects the name of a JSON file, got {target}")
    if target.resolve() == source.resolve():
        raise BenchmarkError(f"{target} is what is to be cut down: name another file")
    if target.name in RUN_FILES:
        raise BenchmarkError(f"{target.name} is the name of a run's own file: name another one")
    checkpoint, averaged = load_checkpoint(source, "averaged")
    written = save_checkpoint(target, checkpoint, averaged)
    print(f"written: {target}, {target.with_name(written.tensors)} (sha256 {written.sha256})")


if __name__ == "__main__":
    run_command(main, Options)
