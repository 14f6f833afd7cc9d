"""Measure what models cost: their speed, how it grows with the sizes, and a step of training.

    python benchmarks/measure.py throughput --hosts d3dp mixste motionbert
    python benchmarks/measure.py scaling
    python benchmarks/measure.py training --batch-size 4
    python benchmarks/measure.py systems --public ../public
    python benchmarks/measure.py weights --weights h36m_best_epoch.bin --model d3dp

Each subcommand tells its options with --help.
"""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from htp_diffusion.base.command import run_subcommands
from htp_diffusion.speed.commands import scaling, systems, throughput, training, weights

COMMANDS = {
    "throughput": (throughput.main, throughput.Options),
    "scaling": (scaling.main, scaling.Options),
    "training": (training.main, training.Options),
    "systems": (systems.main, systems.Options),
    "weights": (weights.main, weights.Options),
}

if __name__ == "__main__":
    run_subcommands(COMMANDS)
