"""What k and k' cost, model by model: the JSON and the tables."""

from dataclasses import dataclass

from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Cell, Column, Figure, Table
from htp_diffusion.speed.paper_tables import printed
from htp_diffusion.studies.sensitivity import DENSITY, NEIGHBORS, PRINTED, SAMPLING, Sensitivity


@dataclass(frozen=True, kw_only=True)
class SensitivityStudy:
    """A study.

    Attributes:
        every: N, where every N-th window of each clip was scored.
        device: Where.
        models: Each model's errors.
        provenance: Where the result comes from.
    """

    every: int
    device: str
    models: list[Sensitivity]
    provenance: Provenance


def study_tables(study: SensitivityStudy) -> list[Table]:
    """One table of k, a row for each share of T, and one of k'."""
    names = [f"{model.model}, T={model.num_frames}" for model in study.models]
    columns = tuple(Column(f"{name}: MPJPE, mm", ".1f", "measured") for name in names)
    how = (
        f"Data: {study.models[0].data}; one window in {study.every}; H={SAMPLING.hypotheses}, "
        f"K={SAMPLING.steps}, flip. Changed at inference, not trained for."
    )
    neighbors: list[tuple[Cell, ...]] = []
    for place, share in enumerate(NEIGHBORS):
        row = PRINTED.get(share)
        neighbors.append(
            (
                f"{share:.2f} T",
                *(model.over_neighbors[place].mpjpe for model in study.models),
                None if row is None else Figure(printed("Table X", row, "MPJPE, mm"), "quoted"),
            )
        )
    density: list[tuple[Cell, ...]] = [
        (str(count), *(model.over_density[place].mpjpe for model in study.models))
        for place, count in enumerate(DENSITY)
    ]
    trained = "; ".join(
        f"{model.model} with k = {model.trained_neighbors / model.num_frames:.2f} T, "
        f"k' = {model.trained_density}"
        for model in study.models
    )
    return [
        Table(
            title="k, the frames that a frame attends to, changed at inference (Table X, Figure 4)",
            columns=(Column("k"), *columns, Column("the paper, T=243: MPJPE, mm", ".1f")),
            rows=tuple(neighbors),
            notes=(how, f"Trained: {trained}."),
        ),
        Table(
            title="k', the neighbours that make a frame's density, changed at inference (Figure 4)",
            columns=(Column("k'"), *columns),
            rows=tuple(density),
        ),
    ]
