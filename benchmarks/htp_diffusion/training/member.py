"""Member: one model of a fleet, and what sets it apart."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.checkpoint import load_denoiser, read_record
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.preset import Preset
from htp_diffusion.models.stretch import stretched
from htp_diffusion.models.variants import Variant, VariantConfig
from htp_diffusion.training.variety import VarietyName


@dataclass(frozen=True, kw_only=True)
class Member:
    """One model of a fleet.

    Attributes:
        name: Its folder.
        denoiser: What to train.
        variant: An ablation of ``denoiser``; None for the whole model.
        seed: Of its weights and of every draw.
        variety: How its windows differ.
        tilt: How much more often high noise is drawn (:func:`~htp_diffusion.training.noising.add_noise`).
        window: Frames of its windows; None: as many as the model takes. Short windows teach more a second,
            long ones what only they show: a long run may begin with the former and end with the latter.
        start: Checkpoint whose averaged weights it begins with, interpolated where its windows are shorter;
            None for fresh weights.
    """

    name: str
    denoiser: DenoiserConfig
    variant: Variant | None = None
    seed: int = 0
    variety: VarietyName = "scored"
    tilt: float = 1.0
    window: int | None = None
    start: Path | None = None

    @property
    def frames(self) -> int:
        """Frames of its windows."""
        return self.denoiser.num_frames if self.window is None else self.window

    @property
    def view(self) -> str:
        """How the motions are seen, in words."""
        return f"virtual cameras, {self.variety}, in windows of {self.frames} frames"

    @property
    def begun(self) -> str:
        """Hash of the weights that it begins with; empty for fresh ones."""
        return "" if self.start is None else read_record(self.start).sha256

    def preset(self, shared: Preset) -> Preset:
        """How it is trained: as the others of its fleet, with its own tilt."""
        return replace(shared, tilt=self.tilt)

    def build(self) -> torch.nn.Module:
        """The model, its weights those it begins with or a function of the seed.

        Raises:
            BenchmarkError: A checkpoint of another model.
        """
        if self.start is not None:
            _, earlier = load_denoiser(self.start)
            model = self._fresh()
            try:
                model.load_state_dict(stretched(earlier.state_dict(), model))
            except (BenchmarkError, RuntimeError) as error:
                raise BenchmarkError(f"{self.start} cannot be the start of {self.name}: {error}") from error
            return model
        return self._fresh()

    def _fresh(self) -> torch.nn.Module:
        torch.manual_seed(self.seed)
        if self.variant is None:
            return self.denoiser.build()
        return VariantConfig(variant=self.variant, denoiser=self.denoiser).build()
