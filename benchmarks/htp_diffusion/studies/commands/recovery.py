"""Why the recovery's keys know their frame: poses restored from a third of their frames, learnt anew.

An embedding, the recovery and a head are trained on synthetic motion; every other part of the system is left
out, so that what is seen is how fast the recovery learns to find the frames around a query.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.provenance import Provenance, provenance
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tables import Column, Table, show
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.diffusion.sampling import check_seed
from htp_diffusion.training.batches import step_generator
from htp_diffusion.training.fit import fit
from htp_diffusion.training.virtual import VirtualBatches
from htp_modules import CrossMHSA, Interpolation, KeptFrames
from htp_modules.attention import explicit_attention

_FRAMES, _KEEP, _DIM, _HEADS = 81, 27, 64, 4  # the paper's T and f of Table XIII, at a CPU's width
_BATCH, _RATE = 4, 2e-3


@dataclass(frozen=True, kw_only=True)
class Options:
    """Train each recovery by itself on synthetic motion; a minute on one core.

    Attributes:
        training_steps: Training steps of each recovery.
        seed: Seed of the weights, the windows and the kept frames.
        out: Folder for recovery.json.
    """

    training_steps: int = 300
    seed: int = 0
    out: Annotated[Path, tyro.conf.arg(metavar="FOLDER")] = Path("runs/recovery")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One recovery: mean error over the first, middle and last third of the steps, mm."""

    recovery: str
    first_mm: float
    middle_mm: float
    last_mm: float


@dataclass(frozen=True, kw_only=True)
class Study:
    """What the JSON file holds."""

    provenance: Provenance
    steps: int
    seed: int
    rows: list[Row]


class PaperRecovery(nn.Module):
    """The paper's text to the letter: the pruned tokens alone are keys and values; a random start."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.empty(_FRAMES, _DIM))
        nn.init.trunc_normal_(self.queries, std=0.02)
        self.q, self.k, self.v, self.out = (nn.Linear(_DIM, _DIM) for _ in range(4))

    def forward(
        self, x_kept: Float[Tensor, "batch kept joints dim"], kept: KeptFrames
    ) -> Float[Tensor, "batch frames joints dim"]:
        tokens = rearrange(x_kept, "b f j d -> (b j) f d")
        query = rearrange(self.q(self.queries), "t (h d) -> 1 h t d", h=_HEADS).expand(
            len(tokens), -1, -1, -1
        )
        key, value = (
            rearrange(project(tokens), "n f (h d) -> n h f d", h=_HEADS) for project in (self.k, self.v)
        )
        mixed = explicit_attention(query, key, value)
        mixed = rearrange(mixed, "(b j) h t d -> b t j (h d)", b=len(x_kept))
        return self.out(mixed) + self.queries[:, None]


def random_start() -> CrossMHSA:
    """Keys that know their frame, from small random queries and PyTorch's initial projections."""
    recovery = CrossMHSA(_DIM, _FRAMES, _HEADS)
    nn.init.trunc_normal_(recovery.queries, std=0.02)
    for projection in (recovery.q, recovery.k, recovery.v, recovery.out):
        projection.reset_parameters()
    return recovery


class Restorer(nn.Module):
    """Pose to tokens with a learned position, the kept frames of them, and back."""

    def __init__(self, recovery: nn.Module) -> None:
        super().__init__()
        self.embed = nn.Linear(3, _DIM)
        self.position = nn.Parameter(torch.zeros(1, _FRAMES, 1, _DIM))
        self.norm = nn.LayerNorm(_DIM)
        self.recovery = recovery
        self.head = nn.Sequential(nn.LayerNorm(_DIM), nn.Linear(_DIM, 3))

    def forward(
        self, pose: Float[Tensor, "batch frames joints 3"], kept: KeptFrames
    ) -> Float[Tensor, "batch frames joints 3"]:
        tokens = self.norm(self.embed(pose) + self.position)
        return self.head(self.recovery(kept.gather(tokens), kept))


RECOVERIES: dict[str, Callable[[], nn.Module]] = {
    "keys are the tokens alone, random start (the text)": PaperRecovery,
    "keys know their frame, random start": random_start,
    "keys know their frame, start at positions (ours)": lambda: CrossMHSA(_DIM, _FRAMES, _HEADS),
    "linear interpolation, no parameters": Interpolation,
}


def learn(recovery: nn.Module, batches: VirtualBatches, steps: int, seed: int) -> list[float]:
    """The error of each training step in mm."""
    restorer = Restorer(recovery)

    def loss(step: int) -> Float[Tensor, ""]:
        generator = step_generator(seed, step)
        pose = batches.draw(generator).pose_3d
        index = torch.rand(len(pose), _FRAMES, generator=generator).argsort(-1)[:, :_KEEP].sort(-1).values
        return (restorer(pose, KeptFrames(index, _FRAMES)) - pose).norm(dim=-1).mean()

    return list(fit(restorer, loss, steps, _RATE))


def study_table(study: Study) -> Table:
    """One row a recovery."""
    columns = (
        Column("recovery"),
        Column("first third, mm", ".1f"),
        Column("middle, mm", ".1f"),
        Column("last, mm", ".1f"),
    )
    return Table(
        title=f"Restoring {_FRAMES} frames from {_KEEP} random ones: error over {study.steps} training steps",
        columns=columns,
        rows=tuple((row.recovery, row.first_mm, row.middle_mm, row.last_mm) for row in study.rows),
    )


def main(options: Options) -> None:
    """Train each, print the table, write the JSON."""
    if options.training_steps < 3:
        raise BenchmarkError(f"training-steps expects at least 3, got {options.training_steps}")
    check_seed(options.seed)
    out = make_folder(options.out)  # or a wrong one would be told at the end
    batches = VirtualBatches(synthetic_motions(seed=1, count=6), _FRAMES, _BATCH)
    rows = []
    for name, build in RECOVERIES.items():
        torch.manual_seed(options.seed)
        losses = learn(build(), batches, options.training_steps, options.seed)
        third = options.training_steps // 3
        thirds = (losses[:third], losses[third:-third], losses[-third:])
        first, middle, last = (sum(part) / len(part) for part in thirds)
        rows.append(Row(recovery=name, first_mm=first, middle_mm=middle, last_mm=last))
    study = Study(provenance=provenance(), steps=options.training_steps, seed=options.seed, rows=rows)
    show(study_table(study))
    path = out / "recovery.json"
    write_json(path, study)
    print(f"written: {path}")
