"""Contender: a denoiser that takes part in a comparison, and where its weights come from."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from htp_diffusion.errors import BenchmarkError
from htp_diffusion.models.config import DenoiserConfig, Kind
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.pose.space import CAMERA_METRES, PoseSpace
from htp_diffusion.training.checkpoint import Checkpoint, load_denoiser
from htp_diffusion.training.preset import PRESETS, PresetName

NAMES: dict[Kind, str] = {"d3dp": "D3DP", "htp": "HTP"}


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What to change in a trained HTP denoiser; None leaves an option as it was trained.

    Attributes:
        num_sft_layers: n, pairs after the first that keep every frame.
        num_keep: f, kept frames: an int, or a float share of T.
        num_neighbors: k, neighbours in the temporal mask: an int, or a float share of T.
    """

    num_sft_layers: int | None = None
    num_keep: int | float | None = None
    num_neighbors: int | float | None = None

    def applied_to(self, config: DenoiserConfig) -> DenoiserConfig:
        """The denoiser's options with these changes; D3DP has nothing to change.

        Raises:
            HTPError: A value out of range.
        """
        if config.htp is None:
            return config
        changes = {name: value for name, value in vars(self).items() if value is not None}
        return replace(config, htp=replace(config.htp, **changes))


@dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """A denoiser ready to sample.

    Attributes:
        name: For tables.
        config: What it is, as it samples.
        denoiser: The model, in evaluation mode, on the CPU.
        source: The checkpoint's file name; None for random weights.
        checkpoint: Its training record; None for random weights.
    """

    name: str
    config: DenoiserConfig
    denoiser: D3DPDenoiser
    source: str | None = None
    checkpoint: Checkpoint | None = None


def trained_contenders(
    folder: Path, preset: PresetName, kinds: Sequence[Kind], pruning: Pruning
) -> list[Contender]:
    """Load KIND-PRESET.json, and the weights that it names, of each kind.

    Raises:
        BenchmarkError: A file is missing, damaged, of another kind or pose space, or the models are of
            different lengths.
    """
    contenders = []
    for kind in kinds:
        path = folder / f"{kind}-{preset}.json"
        contender = trained_contender(path, pruning, CAMERA_METRES)
        if contender.config.kind != kind:
            raise BenchmarkError(f"{path} holds a denoiser of kind {contender.config.kind}, expected {kind}")
        contenders.append(replace(contender, name=NAMES[kind]))
    lengths = {contender.config.num_frames for contender in contenders}
    if len(lengths) > 1:
        raise BenchmarkError(
            f"{folder}: the models are for clips of different lengths: {sorted(lengths)} frames"
        )
    return contenders


def trained_contender(path: Path, pruning: Pruning, space: PoseSpace | None = None) -> Contender:
    """Load a checkpoint; it is called after its file.

    Args:
        path: The JSON file.
        pruning: What to change.
        space: What its poses are taken for; None takes any.

    Raises:
        BenchmarkError: A file is missing or damaged, or its poses are of another space.
        HTPError: Pruning out of range.
    """
    checkpoint, denoiser = load_denoiser(path, space)
    return Contender(
        name=path.stem,
        config=_prune(denoiser, checkpoint.denoiser, pruning),
        denoiser=denoiser,
        source=path.name,
        checkpoint=checkpoint,
    )


def untrained_contenders(
    preset: PresetName, kinds: Sequence[Kind], pruning: Pruning, seed: int
) -> list[Contender]:
    """Build each kind with random weights: good for speed and cost, not for errors."""
    contenders = []
    for kind in kinds:
        config = PRESETS[preset].denoiser(kind)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            denoiser = config.build().eval()
        contenders.append(
            Contender(name=NAMES[kind], config=_prune(denoiser, config, pruning), denoiser=denoiser)
        )
    return contenders


def _prune(denoiser: D3DPDenoiser, config: DenoiserConfig, pruning: Pruning) -> DenoiserConfig:
    """Change the pruning of a built denoiser; returns the config that it has then."""
    config = pruning.applied_to(config)
    if isinstance(denoiser, HTPDenoiser) and config.htp is not None:
        denoiser.htp.config = config.htp
    return config
