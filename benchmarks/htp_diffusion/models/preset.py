"""Preset: a denoiser's size and how long and how fast it is trained."""

from dataclasses import dataclass, field
from typing import Literal

from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.models.config import DenoiserConfig, Kind
from htp_modules import HTPConfig

PresetName = Literal["tiny", "small", "base", "large", "paper"]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Sizes and training schedule.

    Attributes:
        num_frames: T, frames of a training window.
        dim: D, channels of a token.
        depth: Pairs of a spatial and a temporal block.
        num_heads: Attention heads.
        drop_path: Stochastic depth rate of the last pair.
        batch_size: Windows in a step.
        epochs: Passes over as many frames as the training motion has.
        learning_rate: AdamW's rate after the warm-up.
        decay: Factor of the learning rate per epoch.
        warmup_steps: Steps over which the rate rises linearly from 0.
        weight_decay: AdamW's.
        clip_norm: Largest norm of the gradient.
        ema: Decay per step of the averaged weights that are kept for sampling.
        num_keep: f of HTP, frames or share.
        tilt: Above 1, diffusion times near pure noise are drawn more often in training.
    """

    num_frames: int
    dim: int
    depth: int
    num_heads: int
    drop_path: float
    batch_size: int
    epochs: int
    learning_rate: float
    decay: float
    warmup_steps: int
    weight_decay: float = 0.1
    clip_norm: float = 1.0
    ema: float = 0.998
    num_keep: int | float = HTPConfig.num_keep
    tilt: float = field(default=1.0, metadata=ADDED_LATER)

    def denoiser(self, kind: Kind, htp: HTPConfig | None = None) -> DenoiserConfig:
        """The denoiser that this preset trains."""
        return DenoiserConfig(
            kind=kind,
            num_frames=self.num_frames,
            dim=self.dim,
            depth=self.depth,
            num_heads=self.num_heads,
            drop_path=self.drop_path,
            htp=(htp or HTPConfig(num_keep=self.num_keep)) if kind in ("htp", "htp-mixste") else None,
        )


PRESETS: dict[PresetName, Preset] = {
    # For tests and a first look: a minute on one core.
    "tiny": Preset(
        num_frames=27,
        dim=32,
        depth=4,
        num_heads=4,
        drop_path=0.0,
        batch_size=8,
        epochs=1,
        learning_rate=1e-3,
        decay=1.0,
        warmup_steps=10,
    ),
    # The shipped checkpoints: an hour on one core. Short windows, since the steps of a short run count for
    # more the more windows, cameras and diffusion times they see (docs/errors.md).
    "small": Preset(
        num_frames=27,
        dim=64,
        depth=8,
        num_heads=4,
        drop_path=0.0,
        batch_size=12,
        epochs=50,
        learning_rate=2e-3,
        decay=0.92,
        warmup_steps=100,
        num_keep=1 / 3,  # the paper's share at T = 81 (Table XIII)
    ),
    # Three hours on one core. In windows of 81 frames pruning with n=1 halves the time of a pass. At twice
    # this rate the loss falls only once the rate does (docs/errors.md).
    "base": Preset(
        num_frames=81,
        dim=64,
        depth=8,
        num_heads=4,
        drop_path=0.0,
        batch_size=16,
        epochs=90,
        learning_rate=1e-3,
        decay=0.96,
        warmup_steps=100,
        ema=0.998,
    ),
    # With --precision bf16 200 (D3DP) and 300 s (HTP) of an H200.
    "large": Preset(
        num_frames=243,
        dim=256,
        depth=8,
        num_heads=8,
        drop_path=0.0,
        batch_size=8,
        epochs=150,
        learning_rate=6e-4,
        decay=0.97,
        warmup_steps=200,
    ),
    # Section IV-A; the learning rate, lost from the paper's text, is D3DP's at the same batch.
    "paper": Preset(
        num_frames=243,
        dim=512,
        depth=8,
        num_heads=8,
        drop_path=0.1,
        batch_size=4,
        epochs=150,
        learning_rate=6e-5,
        decay=0.993,
        warmup_steps=0,
    ),
}
