"""What ``python -m htp_modules`` does: say what is installed, and patch a small host to see that it works."""

import platform
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

import htp_modules
from adapters.patching import ADAPTERS, htp_of, patch_with, unpatch
from adapters.words import counted
from htp_modules import SFTMHSA, HTPConfig, record

FRAMES, JOINTS, DIM, DEPTH = 27, 17, 32, 5
_TOLERANCE = 1e-5  # of float32, relative to the largest coordinate


class _AlongJoints(SFTMHSA):
    """The same block along the joints of one frame."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  (the sequences of a host's spatial block)
        self, x: Float[Tensor, "sequences joints dim"]
    ) -> Float[Tensor, "sequences joints dim"]:
        return super().forward(x.unsqueeze(2)).squeeze(2)


class SmallHost(nn.Module):
    """A host with the structure of MixSTE, small enough to be run in milliseconds, with random weights."""

    def __init__(self) -> None:
        super().__init__()
        self.Spatial_patch_to_embedding = nn.Linear(2, DIM)
        self.Spatial_pos_embed = nn.Parameter(torch.randn(1, JOINTS, DIM))
        self.Temporal_pos_embed = nn.Parameter(torch.randn(1, FRAMES, DIM))
        self.STEblocks = nn.ModuleList(_AlongJoints(DIM) for _ in range(DEPTH))
        self.TTEblocks = nn.ModuleList(SFTMHSA(DIM) for _ in range(DEPTH))
        self.Spatial_norm, self.Temporal_norm = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.head = nn.Linear(DIM, 3)

    def forward(self, pose: Float[Tensor, "batch frames joints 2"]) -> Float[Tensor, "batch frames joints 3"]:
        """3D poses of a 2D sequence; with random weights they mean nothing."""
        x = self.Spatial_patch_to_embedding(pose) + self.Spatial_pos_embed
        for number, (spatial, temporal) in enumerate(zip(self.STEblocks, self.TTEblocks, strict=True)):
            x = self.Spatial_norm(spatial(x.flatten(0, 1)).unflatten(0, x.shape[:2]))
            x = x if number else x + self.Temporal_pos_embed[:, : x.shape[1], None]
            x = self.Temporal_norm(temporal(x))
        return self.head(x)


def check(device: str) -> Iterator[tuple[str, bool]]:
    """Patch, keep everything, prune and undo; each step as a sentence and whether it came out so."""
    torch.manual_seed(0)
    host, pose = SmallHost().eval().to(device), torch.randn(1, FRAMES, JOINTS, 2).to(device)
    keys = list(host.state_dict())
    with torch.no_grad():
        before = host(pose)
        model = patch_with(ADAPTERS, host, HTPConfig(num_neighbors=1.0, num_keep=1.0))
        near = float((model(pose) - before).abs().max() / before.abs().max()) < _TOLERANCE
        yield "patched, every frame kept: the output is the host's", near

        htp = htp_of(model)
        htp.config = replace(htp.config, num_neighbors=2 / 3, num_keep=9)
        with record(model) as seen:
            pruned = model(pose)
        mask, kept = seen.masks[0], seen.kept[0]
        yield f"masked: symmetric, {float(mask.density):.0%} of the frame pairs attended to", _holds(mask)
        yield f"pruned to {kept.num_kept} of {FRAMES} frames: {kept.index[0].tolist()}", kept.num_kept == 9
        yield (
            "restored to full length, finite",
            pruned.shape == before.shape and bool(pruned.isfinite().all()),
        )

        unpatch(model)
        undone = type(model) is SmallHost and list(model.state_dict()) == keys
        yield (
            "undone: class, keys and output as before, bit for bit",
            undone and torch.equal(model(pose), before),
        )


def _holds(mask: htp_modules.TemporalMask) -> bool:
    try:
        mask.validate()
    except htp_modules.HTPError:
        return False
    return True


def devices() -> str:
    """What PyTorch can compute on here."""
    names = [f"cuda ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return ", ".join([f"cpu ({counted(torch.get_num_threads(), 'thread')})", *names])


def main() -> int:
    """Print it all.

    Returns:
        The exit status: 0 if every step of the check came out as it should, else 1.
    """
    python = platform.python_version()
    print(f"htp-modules {htp_modules.__version__}, Python {python}, torch {torch.__version__}")
    print(f"devices: {devices()}")
    print(f"hosts known: {', '.join(adapter.name for adapter in ADAPTERS)}")
    device, begun = "cuda" if torch.cuda.is_available() else "cpu", time.perf_counter()
    print(f"self-check on {device}, a small MixSTE with random weights:")
    failed = 0
    for sentence, holds in check(device):
        print(f"  {'ok  ' if holds else 'FAIL'}  {sentence}")
        failed += not holds
    print(f"{'all is well' if not failed else f'{failed} steps failed'}, {time.perf_counter() - begun:.1f} s")
    return 1 if failed else 0
