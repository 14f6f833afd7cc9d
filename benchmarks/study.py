"""Studies that train models or score many of them.

    python benchmarks/study.py ablations --data ../shared/data/cmu/data_3d_cmu.npz
    python benchmarks/study.py seeds runs/d3dp-0 runs/d3dp-1 runs/htp-0 runs/htp-1

Each subcommand tells its options with --help. A study that was stopped goes on where it was when the same
command is given again.
"""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from htp_diffusion.base.command import run_subcommands
from htp_diffusion.studies.commands import ablations, adapters, claims, recovery, seeds, sensitivity

COMMANDS = {
    "ablations": (ablations.main, ablations.Options),
    "adapters": (adapters.main, adapters.Options),
    "claims": (claims.main, claims.Options),
    "recovery": (recovery.main, recovery.Options),
    "seeds": (seeds.main, seeds.Options),
    "sensitivity": (sensitivity.main, sensitivity.Options),
}

if __name__ == "__main__":
    run_subcommands(COMMANDS)
