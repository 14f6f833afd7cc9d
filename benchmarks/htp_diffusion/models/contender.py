"""Contender: a denoiser that takes part in a comparison, and where its weights come from."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import torch
import tyro

from htp_diffusion.base.command import by_default
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.checkpoint import Checkpoint, distinct_names, json_of, load_denoiser
from htp_diffusion.models.config import DenoiserConfig, Kind
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.models.lifter import HTPLifter, Lifter
from htp_diffusion.models.preset import PRESETS, PresetName
from htp_diffusion.models.public_config import Published
from htp_diffusion.pose.space import CAMERA_METRES, PoseSpace
from htp_modules.config import check_frames

Config = TypeVar("Config", bound=DenoiserConfig)

NAMES: dict[Kind, str] = {
    "d3dp": "D3DP",
    "htp": "HTP",
    "mixste": "MixSTE",
    "htp-mixste": "HTP w/ MixSTE",
}


NUM_SFT_LAYERS = tyro.conf.arg(
    help="n of HTP: pairs of blocks after the first that see every frame (the paper trains with 3 and "
    "samples with 1)."
)
NUM_KEEP = tyro.conf.arg(
    help="f of HTP: frames kept in a window, an integer count or a share of T such as 0.22.",
    metavar="INT|FLOAT",
)
PRESET = tyro.conf.arg(help="Size of the models and their training schedule.")
CHECKPOINT_FOLDER = tyro.conf.arg(help="Folder with d3dp-PRESET.json and htp-PRESET.json.")


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What to change in an HTP denoiser.

    Attributes:
        num_neighbors: k of HTP: frames that a frame attends to, a count or a share likewise.
    """

    num_sft_layers: Annotated[int | None, NUM_SFT_LAYERS, by_default("the model's own", "INT")] = None
    num_keep: Annotated[int | float | None, NUM_KEEP, by_default("the model's own", "INT|FLOAT")] = None
    num_neighbors: Annotated[int | float | None, by_default("the model's own", "INT|FLOAT")] = None

    @property
    def options(self) -> list[str]:
        """The options of a command line that ask for a change."""
        return [f"--{name.replace('_', '-')}" for name in self.changes]

    @property
    def changes(self) -> dict[str, Any]:
        """What is asked for, by the names of ``HTPConfig``."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def applied_to(self, config: Config) -> Config:
        """The denoiser's options with these changes; D3DP has nothing to change.

        Raises:
            HTPError: A value out of range.
            BenchmarkError: More layers than the denoiser has.
        """
        if config.htp is None:
            return config
        changed = replace(config, htp=replace(config.htp, **self.changes))
        changed.check_layers()
        return changed


@dataclass(frozen=True, kw_only=True, eq=False)
class Contender:
    """A denoiser ready to sample.

    Attributes:
        name: For tables.
        config: What it is, as it samples.
        denoiser: The model, in evaluation mode, on the CPU.
        source: The checkpoint's file name; None for random weights.
        checkpoint: Its training record; None for random weights and for those that others published.
        space: What its poses are where there is no such record; None for random weights.
        early: What predicts at every denoising step but the last; None for ``denoiser``.
    """

    name: str
    config: DenoiserConfig
    denoiser: D3DPDenoiser | Lifter | Published
    source: str | None = None
    checkpoint: Checkpoint | None = None
    space: PoseSpace | None = None
    early: HTPDenoiser | None = None

    @property
    def trained_on(self) -> list[str]:
        """Names of the motions that it was trained on."""
        return [] if self.checkpoint is None else self.checkpoint.motions

    def require_space(self, space: PoseSpace, what: str) -> None:
        """Refuse motion of another space than its checkpoint states; random weights fit any.

        Args:
            space: Of the motion.
            what: The motion, told in the error.

        Raises:
            BenchmarkError: The two differ.
        """
        own = self.space if self.checkpoint is None else self.checkpoint.pose_space
        if own is not None:
            own.require(space, f"{self.source} is not made for {what}")

    @property
    def early_config(self) -> DenoiserConfig:
        """What predicts at every denoising step but the last."""
        return self.config if self.early is None else replace(self.config, htp=self.early.htp.config)

    @property
    def early_keep(self) -> int | None:
        """Frames kept at every denoising step but the last; None where they are as many at the last."""
        return None if self.early is None else self.early.htp.config.frames_kept(self.config.num_frames)


def trained_contenders(
    folder: Path,
    preset: PresetName,
    kinds: Sequence[Kind],
    pruning: Pruning,
    space: PoseSpace | None = CAMERA_METRES,
) -> list[Contender]:
    """Load KIND-PRESET.json, and the weights that it names, of each kind.

    Args:
        folder: Where they are.
        preset: Their size.
        kinds: Which.
        pruning: What to change.
        space: As for ``trained_contender``.

    Raises:
        BenchmarkError: A file is missing, damaged, of another kind or pose space, or the models are of
            different lengths.
    """
    contenders = []
    for kind in kinds:
        path = folder / f"{kind}-{preset}.json"
        contender = trained_contender(path, pruning, space)
        if contender.config.kind != kind:
            raise BenchmarkError(f"{path} holds a denoiser of kind {contender.config.kind}, expected {kind}")
        if contender.checkpoint is not None and contender.checkpoint.variant not in (None, "htp"):
            raise BenchmarkError(
                f"{path} holds an ablation, {contender.checkpoint.variant}: score it by evaluate.py"
            )
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


def named_contenders(
    paths: Sequence[Path], pruning: Pruning, space: PoseSpace | None = None
) -> list[Contender]:
    """Load checkpoints, called after their files with as many folders before as tell them apart.

    Args:
        paths: JSON files, or folders of runs, whose last one is taken.
        pruning: As for ``trained_contender``.
        space: Likewise.

    Raises:
        BenchmarkError: As ``trained_contender``, or one is named twice.
    """
    files = [json_of(path) for path in paths]
    return [
        replace(trained_contender(file, pruning, space), name=name)
        for file, name in zip(files, distinct_names(files), strict=True)
    ]


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


def with_fewer_early(contender: Contender, num_keep: int | float) -> Contender:
    """The contender keeping fewer frames at every denoising step but the last; the weights are shared.

    Args:
        contender: An HTP denoiser.
        num_keep: f at those steps: an int, or a float share of T.

    Raises:
        BenchmarkError: It is another model, or keeps no more frames than that as it is.
        HTPError: A number of frames out of range.
    """
    check_frames(num_keep, "early_keep")
    denoiser, num_frames = contender.denoiser, contender.config.num_frames
    if not isinstance(denoiser, HTPDenoiser):
        raise BenchmarkError(f"early keep needs an HTP denoiser of this project, {contender.name} is none")
    kept = denoiser.htp.config.frames_kept(num_frames)
    config = replace(denoiser.htp.config, num_keep=num_keep)
    fewer = config.frames_kept(num_frames)
    if fewer >= kept:
        raise BenchmarkError(
            f"early keep expects fewer frames than the {kept} of {num_frames} that {contender.name} keeps, "
            f"got {fewer}"
        )
    early = copy.deepcopy(denoiser, {id(parameter): parameter for parameter in denoiser.parameters()})
    early.htp.config = config
    return replace(contender, name=f"{contender.name}, f={fewer} early", early=early)


def _prune(denoiser: D3DPDenoiser | Lifter, config: DenoiserConfig, pruning: Pruning) -> DenoiserConfig:
    """Change the pruning of a built denoiser; returns the config that it has then."""
    config = pruning.applied_to(config)
    if isinstance(denoiser, HTPDenoiser | HTPLifter) and pruning.options:
        denoiser.htp.config = replace(denoiser.htp.config, **pruning.changes)
    return config
