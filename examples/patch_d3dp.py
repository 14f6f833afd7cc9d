"""Prune a D3DP denoiser in place and sample poses with it.

Run: python examples/patch_d3dp.py [checkpoint]

The model is the benchmark's own; the classes of D3DP's repository (the sampler or its bare denoiser, in both
modes) are patched the same way. Without a checkpoint the weights are random.
"""

import sys
from pathlib import Path

import torch

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in (".", "benchmarks")]

import adapters  # noqa: E402
from htp_diffusion.models.denoiser import D3DPDenoiser  # noqa: E402


def main() -> None:
    """Patch, denoise, fine-tune one step, undo."""
    torch.manual_seed(0)
    model = D3DPDenoiser(num_frames=81, dim=64, num_heads=4).eval()
    if len(sys.argv) > 1:
        print(adapters.load_checkpoint(model, sys.argv[1]))
    pose_2d, noisy, timestep = torch.randn(2, 81, 17, 2), torch.randn(2, 81, 17, 3), torch.tensor([999, 500])

    # The paper's settings: 2/3 of the frames as neighbors, 2/9 kept, three masked pairs, a learned recovery.
    adapters.patch_d3dp(model)
    print(adapters.describe(model))

    # The learned recovery starts as a blend of the kept frames around each one: a few epochs of fine-tuning
    # follow; here is one step.
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-5, weight_decay=0.1)
    clean = torch.randn(2, 81, 17, 3)
    model.train()
    loss = (model(pose_2d, noisy, timestep) - clean).norm(dim=-1).mean()
    loss.backward()
    optimizer.step()
    print(f"one step of fine-tuning at a loss of {float(loss.detach()):.3f}")

    model.eval()
    with torch.no_grad():
        poses = model(pose_2d, noisy, timestep)
    print(f"denoised poses {tuple(poses.shape)}")

    adapters.unpatch(model)
    print(f"undone: patched is {adapters.is_patched(model)}")


if __name__ == "__main__":
    main()
