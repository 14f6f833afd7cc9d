"""Training runs of a few steps, for tests; as a script, those that need processes of their own.

python training_runs.py FOLDER
"""

import dataclasses
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import torch
import torch._dynamo  # which an optimizer's first step imports: once here, not in every child
from forking import KILLED, as_rank, ended, forked, free_port
from safetensors.torch import save_file

import train
from htp_diffusion.base import tensors as tensors_module
from htp_diffusion.base.command import run_command
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import virtual_views
from htp_diffusion.models import checkpoint as checkpoint_module
from htp_diffusion.models.preset import Preset
from htp_diffusion.training.shared_norm import share_batch_norms
from htp_diffusion.training.trainer import Trainer
from htp_diffusion.training.validation import Validation
from htp_diffusion.training.virtual import VirtualBatches

MICRO = Preset(
    num_frames=9,
    dim=16,
    depth=2,
    num_heads=2,
    drop_path=0.2,
    batch_size=2,
    epochs=1,
    learning_rate=1e-3,
    decay=0.5,
    warmup_steps=2,
    ema=0.5,
)
SHARED = {"batch_size": 4, "drop_path": 0.0}  # a preset whose steps do not depend on who computes them
KILLS = ("unsaved", "in the tensors", "between the files", "after the best")
COMMAND = (
    *("htp", "--preset", "tiny", "--synthetic-clips", "1", "--out", "run", "--save-every", "1"),
    *("--device", "cpu"),
)


def small_motions():
    return synthetic_motions(seed=3, count=2, frames=60)


def micro_denoiser(kind, preset=MICRO):
    config = preset.denoiser(kind)
    if kind.startswith("htp"):
        config = dataclasses.replace(config, htp=dataclasses.replace(config.htp, num_sft_layers=0))
    return config


def trainer_in(folder, motions, kind="htp", *, options=None, **changes):
    preset = dataclasses.replace(MICRO, **changes)
    source = VirtualBatches(motions, preset.num_frames, preset.batch_size)
    return Trainer(folder, micro_denoiser(kind, preset), preset, source, seed=5, cpu=True, **(options or {}))


def evaluated():
    """Options of a run that is evaluated every second step, on what it is trained on: the error falls."""
    clips = virtual_views(small_motions(), cameras=1)
    return {"evaluate": Validation(clips, MICRO.num_frames), "evaluate_every": 2}


def norm_inputs():
    generator = torch.Generator().manual_seed(11)
    return torch.randn(8, 5, generator=generator) * 3 + 2, torch.randn(8, 5, generator=generator)


def small_norm():
    norm = torch.nn.BatchNorm1d(5)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 1.5, 5))
        norm.bias.copy_(torch.linspace(-1.0, 1.0, 5))
    return norm


def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)


def killed_run(folder, how):
    """Train three steps, saving and evaluating every second one, and be killed in the fourth."""
    trainer = trainer_in(folder, small_motions(), options=evaluated())
    steps = trainer.run(save_every=2)
    for _ in range(3):
        next(steps)
    write_json, save = checkpoint_module.write_json, tensors_module.save_file

    def half_of_the_tensors(tensors, path):
        save(tensors, path)
        os.truncate(path, os.path.getsize(path) // 2)
        die()

    def json_of_the_best(path, result):
        return write_json(path, result) if path.stem == "best" else die()

    if how == "unsaved":
        die()
    if how in ("in the tensors", "between the files"):
        trainer.evaluate_every = 0  # or best.json would come first
    if how == "in the tensors":
        tensors_module.save_file = half_of_the_tensors
    else:
        checkpoint_module.write_json = die if how == "between the files" else json_of_the_best
    next(steps)


def one_rank(rank, port, folder):
    """One of two processes that share each batch."""
    as_rank(rank, 2, port)
    for kind, accumulate in (("htp", 1), ("d3dp", 2)):
        run = folder / f"{kind}-{accumulate}"
        trainer = trainer_in(run, small_motions(), kind, options={"accumulate": accumulate}, **SHARED)
        losses = [loss for _, loss in trainer.run(save_every=2)]
        (folder / f"{kind}-{accumulate}-losses{rank}.json").write_text(json.dumps(losses))
        (folder / f"{kind}-{accumulate}-seed{rank}.json").write_text(json.dumps(torch.initial_seed()))
        assert trainer_in(run, small_motions(), kind, **SHARED).checkpoint.step == len(losses)
    norm = small_norm()
    share_batch_norms(norm)
    x, upstream = (rows[rank * 4 : rank * 4 + 4] for rows in norm_inputs())
    x.requires_grad_()
    y = norm(x)
    y.backward(upstream)
    tensors = {"y": y.detach(), "x.grad": x.grad, "weight.grad": norm.weight.grad} | dict(
        norm.named_buffers()
    )
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, folder / f"norm{rank}.safetensors"
    )


def half_precision(folder):
    trainer = trainer_in(
        folder / "bf16", small_motions(), "d3dp", options={"precision": "bf16"}, drop_path=0.0
    )
    (folder / "bf16-losses.json").write_text(json.dumps([loss for _, loss in trainer.run()]))


def command(folder, told):
    os.chdir(folder)
    sys.stderr = (folder / told).open("w")
    run_command(train.train, train.Options, COMMAND)


def killed_command(folder):
    """Kill the command once there is a checkpoint, and give it again; returns how it ended then."""
    child = forked(command, folder, "first.txt")
    last, deadline = folder / "run" / "last.json", time.monotonic() + 200
    while not last.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    ended(child)
    shutil.copy(last, folder / "killed.json")
    return ended(forked(command, folder, "second.txt"))


def main(folder):
    torch.set_num_threads(1)
    port = free_port()
    ranks = [forked(one_rank, rank, port, folder) for rank in range(2)]
    results = [ended(child) for child in ranks]
    results += [ended(forked(half_precision, folder)), killed_command(folder)]
    killed = [ended(forked(killed_run, folder / how, how)) for how in KILLS]
    return 0 if results == [0, 0, 0, 0] and killed == [KILLED] * len(KILLS) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
