"""Prune a model that no adapter knows (PyTorch's encoder layers); two functions say how it is built."""

import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from adapters import Adapter, Facts, FrameState, Probe, describe, patch_with, unpatch
from htp_modules import Pair


class Lifter(nn.Module):
    def __init__(self, frames=81, joints=17, dim=32, depth=4):
        super().__init__()
        self.embed, self.head = nn.Linear(2, dim), nn.Linear(dim, 3)
        self.position = nn.Parameter(torch.randn(1, frames, joints, dim))
        layers = (nn.TransformerEncoderLayer(dim, 4, batch_first=True) for _ in range(2 * depth))
        self.layers = nn.ModuleList(layers)

    def forward(self, pose):
        x = self.embed(pose) + self.position
        for number, layer in enumerate(self.layers):
            x = across_frames(layer, x) if number % 2 else mix(layer, x)
        return self.head(x)


def mix(layer, x, hidden=None):
    return layer(x.flatten(0, 1), hidden).unflatten(0, x.shape[:2])


def across_frames(layer, x, mask=None):
    hidden = None if mask is None else (~mask.folded()).repeat_interleave(layer.self_attn.num_heads, dim=0)
    return mix(layer, x.transpose(1, 2), hidden).transpose(1, 2)


def probe(model):
    look = Probe(model, "Lifter")  # notes what is missing; finish() raises if anything is
    channels, (_, frames, joints, dim) = look.number("embed.in_features"), look.table("position", 4)
    look.finish()
    return Facts(num_frames=frames, num_joints=joints, in_channels=channels, dim=dim, num_heads=4, depth=4)


def run(model, pose):
    def pair(s, t):
        return Pair(lambda x: mix(s, x), lambda x, mask: across_frames(t, x, mask))

    x = model.htp.embed(pose, model.embed) + model.position[:, : pose.shape[1]]
    return model.head(model.htp(x, [pair(*model.layers[i : i + 2]) for i in range(0, len(model.layers), 2)]))


if __name__ == "__main__":
    lifter = Lifter().eval()
    table = (FrameState("position"),)
    adapter = Adapter(name="Lifter", probe=probe, run=run, embedding="embed", by_frame=table)
    print(describe(patch_with(adapter, lifter, num_sft_layers=1)), lifter(torch.randn(1, 81, 17, 2)).shape)
    unpatch(lifter)
