"""Ablations: the rows of the paper's Tables VIII, X, XI, XII and XIII as models to train and ways to sample.

The paper's figures (`speed/paper_tables.py`): MPJPE on Human3.6M with CPN 2D poses, mm; multiply-accumulates
of a pass by THOP, G.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal

from htp_diffusion.models.contender import Pruning
from htp_diffusion.models.preset import Preset
from htp_diffusion.models.variants import Variant, VariantConfig
from htp_diffusion.speed.paper_tables import printed
from htp_modules import HTPConfig
from htp_modules.config import resolve_frames

TableName = Literal["viii", "x", "xi", "xii", "xiii"]
TABLES: dict[TableName, str] = {
    "viii": "Table VIII: pairs that see every frame (n) and frames kept (f)",
    "x": "Table X: frames that a frame attends to (k), at inference",
    "xi": "Table XI: modules on and off",
    "xii": "Table XII: TCEP's mask in the attention and in the pruner",
    "xiii": "Table XIII: frames of a window (T)",
}

_KEEP_SHARES = (1 / 9, 2 / 9, 1 / 3, 2 / 3)
_PAPER_KEEP = 2 / 9  # 54 of 243
_MPJPE, _GMACS = "MPJPE, mm", "GMACs a pass"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of one table.

    Attributes:
        table: The table.
        name: The row.
        model: What is trained.
        pruning: What changes at inference.
        paper_mpjpe: The paper's error, mm; None if it has none.
        paper_gmacs: The paper's multiply-accumulates of a pass, G; None if it has none.
    """

    table: TableName
    name: str
    model: VariantConfig
    pruning: Pruning = field(default_factory=Pruning)
    paper_mpjpe: float | None = None
    paper_gmacs: float | None = None

    @property
    def sampled(self) -> VariantConfig:
        """The model as it samples: the trained weights fit it, whatever is pruned."""
        return replace(self.model, denoiser=self.pruning.applied_to(self.model.denoiser))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How every row is trained.

    Attributes:
        data: File of the training motion, beside the procedural one; None for the procedural one alone.
        motions: Names of all of it.
        training_steps: Steps.
        batch_size: Windows in a step, whatever their length.
        learning_rate: The highest.
    """

    data: str | None
    motions: tuple[str, ...]
    training_steps: int
    batch_size: int
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training: what, how, and the seed of the initial weights and every draw."""

    model: VariantConfig
    recipe: Recipe
    seed: int

    @property
    def name(self) -> str:
        """For its files."""
        return f"{model_name(self.model)}-seed{self.seed}"


def model_name(model: VariantConfig) -> str:
    """A model's variant and pruning in one word, frames as numbers."""
    frames, htp = model.denoiser.num_frames, model.denoiser.htp or HTPConfig()
    kept, neighbors = (resolve_frames(value, frames) for value in (htp.num_keep, htp.num_neighbors))
    return f"{model.variant}-t{frames}-n{htp.num_sft_layers}-f{kept}-k{neighbors}"


def whole_model(preset: Preset) -> VariantConfig:
    """HTP with everything on at a preset; every table has it as one of its rows."""
    return VariantConfig(variant="htp", denoiser=preset.denoiser("htp"))


def settings(preset: Preset) -> list[Setting]:
    """The rows of all tables, in their order; what the preset has too few blocks for is left out."""
    whole = whole_model(preset)
    return [*_table_viii(whole), *_table_x(whole), *_table_xi(whole), *_table_xii(whole), *_table_xiii(whole)]


def _pruned(model: VariantConfig, frames: int | None = None, **changes: int | float) -> VariantConfig:
    denoiser = model.denoiser
    htp = replace(denoiser.htp or HTPConfig(), **changes)  # pyright: ignore[reportArgumentType]
    return replace(model, denoiser=replace(denoiser, num_frames=frames or denoiser.num_frames, htp=htp))


def _table_viii(whole: VariantConfig) -> Iterator[Setting]:
    frames, depth = whole.denoiser.num_frames, whole.denoiser.depth
    for layers in range(1, min(4, depth - 1) + 1):
        yield Setting(
            table="viii",
            name=f"n={layers}",
            model=_pruned(whole, num_sft_layers=layers),
            paper_mpjpe=printed("Table VIII", f"n={layers}", _MPJPE),
            paper_gmacs=printed("Table VIII", f"n={layers}", _GMACS),
        )
    yield Setting(
        table="viii",
        name="n=1 at inference, trained with 3",
        model=whole,
        pruning=Pruning(num_sft_layers=1),
        paper_gmacs=printed("Table VIII", "n=1", _GMACS),
    )
    for share in _KEEP_SHARES:
        papers = share == _PAPER_KEEP
        yield Setting(
            table="viii",
            name=f"f={resolve_frames(share, frames)} of {frames}",
            model=_pruned(whole, num_keep=share),
            paper_mpjpe=printed("Table VIII", "n=3", _MPJPE) if papers else None,
            paper_gmacs=printed("Table VIII", "n=3", _GMACS) if papers else None,
        )


def _table_x(whole: VariantConfig) -> Iterator[Setting]:
    frames = whole.denoiser.num_frames
    for share, row in ((1.0, "k=243"), (2 / 3, "k=162"), (1 / 3, "k=81")):
        yield Setting(
            table="x",
            name=f"k={resolve_frames(share, frames)} of {frames}",
            model=whole,
            pruning=Pruning(num_neighbors=share),
            paper_mpjpe=printed("Table X", row, _MPJPE),
        )


def _table_xi(whole: VariantConfig) -> Iterator[Setting]:
    yield Setting(
        table="xi",
        name="D3DP, to compare",
        model=replace(whole, variant="d3dp"),
        paper_mpjpe=printed("Table I", "D3DP", f"{_MPJPE}, CPN 2D"),
        paper_gmacs=printed("Table I", "D3DP", _GMACS),
    )
    rows: tuple[tuple[str, Variant, str], ...] = (
        ("baseline: D3DP + Spatial GCN", "baseline", "baseline"),
        ("+ TCEP", "tcep", "+ TCEP"),
        ("+ TCEP, SFT MHSA", "tcep-sft", "+ TCEP, SFT MHSA"),
        ("+ TCEP, MGPTP", "mask-pruner", "+ TCEP, MGPTP"),
        ("+ TCEP, SFT MHSA, MGPTP (HTP)", "htp", "all"),
    )
    for name, variant, row in rows:
        yield Setting(
            table="xi",
            name=name,
            model=replace(whole, variant=variant),
            paper_mpjpe=printed("Table XI", row, _MPJPE),
            paper_gmacs=printed("Table XI", row, _GMACS),
        )


def _table_xii(whole: VariantConfig) -> Iterator[Setting]:
    rows: tuple[tuple[str, Variant, str], ...] = (
        ("neither", "mask-neither", "mask in neither"),
        ("pruner alone", "mask-pruner", "in MGPTP alone"),
        ("attention alone", "mask-attention", "in the attention alone"),
        ("both (HTP)", "htp", "in both"),
    )
    for name, variant, row in rows:
        yield Setting(
            table="xii",
            name=name,
            model=replace(whole, variant=variant),
            paper_mpjpe=printed("Table XII", row, _MPJPE),
        )


def _table_xiii(whole: VariantConfig) -> Iterator[Setting]:
    longest = whole.denoiser.num_frames
    # The paper keeps 27 of 81 and 54 of 162 frames, and 54 of 243.
    for share, row in ((1 / 3, "T=81"), (2 / 3, "T=162")):
        frames = resolve_frames(share, longest)
        model = _pruned(whole, frames, num_keep=1 / 3)
        yield Setting(
            table="xiii",
            name=f"T={frames}, f={resolve_frames(1 / 3, frames)}",
            model=model,
            paper_mpjpe=printed("Table XIII", row, _MPJPE),
        )
    kept = (whole.denoiser.htp or HTPConfig()).frames_kept(longest)
    yield Setting(
        table="xiii",
        name=f"T={longest}, f={kept}",
        model=whole,
        paper_mpjpe=printed("Table XIII", "T=243", _MPJPE),
    )
