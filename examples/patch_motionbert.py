"""Prune a MotionBERT in place, also inside a network that uses it as backbone.

Run: python examples/patch_motionbert.py [checkpoint]

The model is the benchmark's own; the DSTformer of MotionBERT's repository is patched the same way, alone or
as the ``backbone`` of its action and mesh networks. Without a checkpoint the weights are random.
"""

import sys
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / folder) for folder in (".", "benchmarks")]

import adapters  # noqa: E402
from htp_diffusion.models.dstformer import DSTformer  # noqa: E402


class ActionNet(nn.Module):
    """Action scores from MotionBERT's motion representation."""

    def __init__(self, backbone: DSTformer) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(64, 10)

    def forward(self, clip: Tensor) -> Tensor:
        """One score per action."""
        return self.head(self.backbone.get_representation(clip).mean(dim=(1, 2)))


def main() -> None:
    """Patch the backbone through the network, run clips of several lengths, undo."""
    torch.manual_seed(0)
    network = ActionNet(DSTformer(dim_feat=64, dim_rep=64, num_heads=4, maxlen=81)).eval()
    if len(sys.argv) > 1:
        print(adapters.load_checkpoint(network.backbone, sys.argv[1]))
    adapters.patch_motionbert(network, recovery="interpolate")
    print(adapters.describe(network))
    with torch.no_grad():
        for frames in (81, 40, 1):
            scores = network(torch.randn(1, frames, 17, 3))
            print(f"{frames} frames: scores {tuple(scores.shape)}")
    adapters.unpatch(network)
    print(f"undone: patched is {adapters.is_patched(network)}")


if __name__ == "__main__":
    main()
