"""Checkpoints: tensors as safetensors, everything else as JSON, whole after a kill at any moment.

The JSON file is the commit point. It names the tensor file that belongs to it, whose name is new with every
save; it is replaced in one step once that file is complete, and only then is the file before it deleted,
unless another JSON file of the folder names it, too. What a kill leaves unnamed is deleted by a later save.
"""

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from adapters.words import printable
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.results import ADDED_LATER, read_json, write_json
from htp_diffusion.base.tensors import read_tensors, sha256_of, write_tensors
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.lifter import Lifter
from htp_diffusion.models.preset import Preset
from htp_diffusion.models.tensor_files import commit_of, delete_stale, new_tensors
from htp_diffusion.models.variants import Variant, VariantConfig
from htp_diffusion.models.weights import Weights, names_of, weights_in
from htp_diffusion.pose.space import CAMERA_METRES, PoseSpace
from htp_modules.errors import HTPError

SHIPPED = Path(__file__).resolve().parents[2] / "checkpoints"
"""Folder of the checkpoints that come with this code."""
RUN_FILES = ("last.json", "best.json")
"""What the checkpoints of a run are called in its folder."""
_LARGER = 4  # times as many parameters as tensors hold: a model of a damaged file, which is not even built


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The error on clips held out, at some moment of a run.

    Attributes:
        step: Steps done.
        mpjpe: Mean MPJPE of the averaged weights, in the ``error_unit`` of the checkpoint's space: mm for
            metres.
    """

    step: int
    mpjpe: float


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What the JSON file holds.

    Attributes:
        denoiser: The model.
        preset: How it is trained.
        motions: Names of the motions that it is trained on.
        seed: Seed of the run.
        step: Steps done.
        steps: Steps of the whole run.
        losses: Mean training loss (MPJPE, unit likewise) over each stretch of ``loss_every`` steps so far.
        loss_every: Steps in a stretch.
        evaluations: Errors on clips held out, in the order of the steps; empty if none were.
        space: What the numbers of its poses mean, as ``PoseSpace.to_json`` says it.
        commit: Revision of the code that the run began with, if known.
        variant: Of an ablation, which parts of HTP the model has; ``denoiser`` is then the whole one.
        view: How the motions are seen, in words; empty in older files.
        start: Hash of the weights that the run began with; empty for fresh ones, and in older files.
        tensors: File beside this one that holds the weights.
        sha256: Its hash.
    """

    denoiser: DenoiserConfig
    preset: Preset
    motions: list[str]
    seed: int
    step: int
    steps: int
    losses: list[float]
    loss_every: int
    evaluations: list[Evaluation] = field(default_factory=list)
    space: dict[str, str] = field(default_factory=CAMERA_METRES.to_json)
    commit: str | None
    variant: Variant | None = field(default=None, metadata=ADDED_LATER)
    view: str = field(default="", metadata=ADDED_LATER)
    start: str = field(default="", metadata=ADDED_LATER)
    tensors: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        PoseSpace.from_json(self.space, "the checkpoint")  # refuses one that is not known

    def build(self) -> D3DPDenoiser | Lifter:
        """The model, freshly initialised."""
        if self.variant is None:
            return self.denoiser.build()
        return VariantConfig(variant=self.variant, denoiser=self.denoiser).build()

    @property
    def pose_space(self) -> PoseSpace:
        """What the numbers of its poses mean.

        Raises:
            BenchmarkError: It states no known space.
        """
        return PoseSpace.from_json(self.space, "the checkpoint")


def save_checkpoint(
    path: str | os.PathLike[str], checkpoint: Checkpoint, tensors: dict[str, Tensor]
) -> Checkpoint:
    """Write a checkpoint; a reader sees the one before or this one, never a mixture.

    Args:
        path: The JSON file; the tensors go beside it.
        checkpoint: Its content; ``tensors`` and ``sha256`` are filled in.
        tensors: Weights, and what else a resumed run needs.

    Returns:
        The checkpoint as written.

    Raises:
        BenchmarkError: The folder cannot be written or the disk is full; the checkpoint before stays whole.
    """
    path = Path(path)
    target = new_tensors(path, checkpoint.step)
    make_folder(path.parent)
    before = commit_of(path)
    digest = write_tensors(target, tensors)
    written = dataclasses.replace(checkpoint, tensors=target.name, sha256=digest)
    write_json(path, written)
    delete_stale(path, before)
    return written


def json_of(path: Path) -> Path:
    """The JSON file of a checkpoint: a run's folder stands for its last one."""
    return path / "last.json" if path.is_dir() else path


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """What checkpoints are called: after their JSON files, with as many folders before as tell them apart.

    Raises:
        BenchmarkError: One is named twice.
    """
    whole = [path.resolve() for path in paths]
    for above in range(max((len(path.parts) for path in whole), default=1)):
        names = [printable("/".join((*path.parts[-above - 1 : -1], path.stem))) for path in whole]
        if len(set(names)) == len(names):
            return names
    raise BenchmarkError("the same checkpoint was named twice")


def read_record(path: str | os.PathLike[str]) -> Checkpoint:
    """Read the JSON file of a checkpoint, and not the tensors.

    Raises:
        BenchmarkError: The file is missing or damaged.
    """
    return read_json(path, Checkpoint)


def load_checkpoint(
    path: str | os.PathLike[str], weights: Weights | None = None
) -> tuple[Checkpoint, dict[str, Tensor]]:
    """Read a checkpoint back.

    Args:
        path: The JSON file.
        weights: Read this model's tensors alone, by its own names; None reads all that a run needs to go on.

    Raises:
        BenchmarkError: A file is missing, damaged, or not what the JSON file says it is.
    """
    path = Path(path)
    checkpoint = read_record(path)
    target = path.parent / checkpoint.tensors
    if target.name != checkpoint.tensors:
        raise BenchmarkError(f"{path} names tensors outside its folder: {checkpoint.tensors}")
    try:
        digest = sha256_of(target)
    except OSError as error:
        raise BenchmarkError(f"cannot read {target}: {error.strerror}") from error
    except ValueError as error:
        raise BenchmarkError(f"{path} names tensors that no file can be called: {error}") from error
    if digest != checkpoint.sha256:
        raise BenchmarkError(f"{target} is not the file that {path.name} was saved with (its hash differs)")
    if weights is None:
        return checkpoint, read_tensors(target)
    return checkpoint, weights_in(read_tensors(target, partial(names_of, weights)), weights)


def load_denoiser(
    path: str | os.PathLike[str],
    space: PoseSpace | None = CAMERA_METRES,
    weights: Weights = "averaged",
) -> tuple[Checkpoint, D3DPDenoiser | Lifter]:
    """The denoiser of a checkpoint, ready to sample.

    Args:
        path: The JSON file.
        space: What its poses are about to be taken for; None takes any, and the caller looks at its
            ``pose_space``.
        weights: The running average over steps, or the last step's, which a published checkpoint lacks.

    Raises:
        BenchmarkError: As :func:`load_checkpoint`, poses of another space, or weights that do not fit the
            model or are not finite.
    """
    checkpoint, tensors = load_checkpoint(path, weights)
    if space is not None:
        space.require(checkpoint.pose_space, str(path))
    if not tensors:
        raise BenchmarkError(f"{path} holds no {weights} weights: it is a published checkpoint")
    denoiser = _built(checkpoint, tensors, path)
    convolution = tensors.get("Spatial_patch_to_embedding.convolution.weight")
    if convolution is not None and convolution.dim() > 1 and convolution.shape[1] != denoiser.in_channels:
        raise BenchmarkError(
            f"{path}: a graph convolution over 2D and noisy 3D poses embeds this HTP, as it did in the first "
            "checkpoints; it cannot be converted, train it again"
        )
    try:
        denoiser.load_state_dict(tensors)
    except RuntimeError as error:
        raise BenchmarkError(f"the weights of {path} do not fit its model: {error}") from error
    # As the model holds them: a number of a wider type may have become infinite.
    damaged = next(
        (name for name, value in denoiser.state_dict().items() if not value.isfinite().all()), None
    )
    if damaged is not None:
        raise BenchmarkError(f"the weights of {path} are not finite: {damaged}")
    return checkpoint, denoiser.eval()


def _built(
    checkpoint: Checkpoint, tensors: dict[str, Tensor], path: str | os.PathLike[str]
) -> D3DPDenoiser | Lifter:
    """The model that the JSON file states, once its size is known to be that of the tensors."""
    if checkpoint.denoiser.depth > len(tensors):  # before as many blocks are built
        raise BenchmarkError(
            f"the weights of {path} do not fit its model: it states {checkpoint.denoiser.depth:,} pairs of "
            "blocks"
        )
    try:
        with torch.device("meta"):
            stated = sum(value.numel() for value in checkpoint.build().parameters())
        if stated > _LARGER * sum(value.numel() for value in tensors.values()):
            raise BenchmarkError(
                f"the weights of {path} do not fit its model: it states {stated:,} parameters"
            )
        return checkpoint.build()
    except (HTPError, ArithmeticError, RuntimeError, TypeError, MemoryError) as error:
        raise BenchmarkError(f"{path} states a model that cannot be built: {error}") from error
