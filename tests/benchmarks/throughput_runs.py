"""One throughput run shared by two processes: python throughput_runs.py FOLDER ARGUMENT..."""

import sys
from pathlib import Path

import torch
from forking import as_rank, ended, forked, free_port

from htp_diffusion.base.command import run_command
from htp_diffusion.speed import roofline
from htp_diffusion.speed.commands import throughput


def one_rank(rank, port, folder, arguments):
    as_rank(rank, 2, port)
    roofline._COPIED_BYTES = {"cpu": 1 << 20}
    sys.stdout = (folder / f"printed{rank}.txt").open("w")
    run_command(throughput.main, throughput.Options, arguments)


def main(folder, arguments):
    torch.set_num_threads(1)
    port = free_port()
    ranks = [forked(one_rank, rank, port, folder, arguments) for rank in range(2)]
    return 0 if [ended(child) for child in ranks] == [0, 0] else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
