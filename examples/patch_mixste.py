"""Prune a MixSTE in place, look at what it saves, and undo it.

Run: python examples/patch_mixste.py [checkpoint]

The model is the benchmark's own; the class of MixSTE's repository is patched the same way. Without a
checkpoint the weights are random: then the output says nothing about poses, but shapes and savings are real.
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in (".", "benchmarks")]

import adapters  # noqa: E402
from htp_diffusion.models.mixste import MixSTE  # noqa: E402
from htp_modules import record  # noqa: E402


def main() -> None:
    """Patch, run, change, switch off, undo."""
    torch.manual_seed(0)
    model = MixSTE(num_frames=81, dim=64, num_heads=4).eval()
    if len(sys.argv) > 1:
        print(adapters.load_checkpoint(model, sys.argv[1]))
    pose_2d = torch.randn(1, 81, 17, 2)

    with torch.no_grad():
        before = model(pose_2d)

        # Interpolation needs no training; the default recovery, "cross_attention", is learned by fine-tuning.
        adapters.patch_mixste(model, recovery="interpolate")
        print(adapters.describe(model))
        with record(model) as seen:
            pruned = model(pose_2d)
        print(f"the first frames kept: {seen.kept[0].index[0, :5].tolist()}")
        print(f"poses {tuple(pruned.shape)}, {float((pruned - before).norm() / before.norm()):.1%} off")

        htp = adapters.htp_of(model)
        htp.config = replace(htp.config, num_keep=1 / 3, num_sft_layers=1)
        print(f"one third of the frames: {adapters.describe(model).macs_after / 1e9:.2f} GMACs")

        with adapters.unpruned(model):
            print(f"switched off, the output is the host's: {torch.equal(model(pose_2d), before)}")
        adapters.unpatch(model)
        print(f"undone, bit for bit: {torch.equal(model(pose_2d), before)}")


if __name__ == "__main__":
    main()
