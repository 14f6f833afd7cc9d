"""Time a model on this machine, and find the setting that is fast and close enough on clips of one's own.

Run: python examples/tune_your_model.py [checkpoint]

The model is the benchmark's own MixSTE; any model that `adapters.patch` takes is tuned the same way, and so
is a module around one. D3DP's sampler returns a list: it needs a distance of its own,
`lambda a, b: (a[-1] - b[-1]).norm(dim=-1)`. Without a checkpoint the weights are random: then the
deviations say nothing about poses, but times and operations are real.
"""

import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in (".", "benchmarks")]

import adapters  # noqa: E402
from htp_diffusion.models.mixste import MixSTE  # noqa: E402


def main() -> None:
    """Time, tune, print, run."""
    torch.manual_seed(0)
    model = MixSTE(num_frames=27, dim=32, depth=6, num_heads=4).eval()
    if len(sys.argv) > 1:
        print(adapters.load_checkpoint(model, sys.argv[1]))
    clips = torch.randn(8, 27, 17, 2)  # your own: what the model's forward takes, clips along the first axis

    print(adapters.benchmark(model, batch_size=4, repeats=3, warmup=1))

    # Without ground truth: how far from the model's own unpruned output, in its output's unit.
    tuning = adapters.tune(model, clips, tolerance=0.5, num_sft_layers=(1,), num_neighbors=(1.0,), repeats=3)
    print(tuning)
    # tuning.draw("tuning.png") draws it, with matplotlib.

    if tuning.chosen is not None:
        print(adapters.describe(model))  # it is left with that setting, patched
    with torch.no_grad():
        print(f"poses {tuple(model(clips).shape)}")


if __name__ == "__main__":
    main()
