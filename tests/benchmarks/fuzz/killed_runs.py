"""A training run that is killed at random moments and started again until it ends.

python killed_runs.py FOLDER KILLS
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # which an optimizer's first step imports: once here, not in every child
from forking import KILLED, ended, forked
from training_runs import small_motions, trainer_in

from htp_diffusion.models.checkpoint import load_checkpoint

LONGEST = 0.6  # seconds from the start of a run to its kill; what is saved every step takes milliseconds


def whole_run(folder, epochs):
    for _ in trainer_in(folder, small_motions(), options={"epochs": epochs}).run(save_every=1):
        pass


def check_files(folder):
    """Every checkpoint that a kill leaves can be read; returns its step."""
    if not (folder / "last.json").exists():
        return 0
    return load_checkpoint(folder / "last.json")[0].step


def main(folder, kills):
    torch.set_num_threads(1)
    rng = random.Random(0)
    epochs = 1 + 3 * kills  # enough steps that no run ends by itself before it is killed
    assert ended(forked(whole_run, folder / "whole", epochs)) == 0
    done, reached = 0, []
    while done < kills:
        child = forked(whole_run, folder / "killed", epochs)
        time.sleep(rng.uniform(0.02, LONGEST))
        os.kill(child, signal.SIGKILL)
        how = ended(child)
        reached.append(check_files(folder / "killed"))
        assert how == KILLED, f"a run ended before its kill, at step {reached[-1]}: {how}"
        done += 1
    assert ended(forked(whole_run, folder / "killed", epochs)) == 0
    (expected, weights), (found, again) = (
        load_checkpoint(folder / run / "last.json") for run in ("whole", "killed")
    )
    assert (expected.step, expected.losses) == (found.step, found.losses)
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    steps = ", ".join(map(str, reached))
    print(f"{kills} kills by SIGKILL at steps {steps} of {expected.steps}: the same weights bit for bit")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
