"""What the study of patched hosts found: its JSON, its table and its picture."""

import os
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from adapters.clock import told_speed_up
from htp_diffusion.base.picture import save_png
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Column, Table

Treatment = Literal["plain", "interpolate", "interpolate, tuned", "cross_attention, tuned", "plain, tuned"]

_COLOURS: dict[Treatment, str] = {
    "interpolate": "#9aa0a8",
    "interpolate, tuned": "#4c6a92",
    "cross_attention, tuned": "#d1495b",
}


@dataclass(frozen=True, kw_only=True)
class PatchedRow:
    """One host, treated one way.

    Attributes:
        host: The host.
        treatment: Plain, or patched with this recovery; tuned if trained on afterwards.
        keep: Share of the frames that is kept; None for the plain host.
        frames_kept: Their number.
        mpjpe: MPJPE on the test clips, mm.
        p_mpjpe: After Procrustes alignment, mm.
        mpjve: Velocity error, mm a frame; None where no clip has two frames.
        gmacs: Multiply-accumulates of a pass over one clip, every matrix product counted, G.
        speed_up: Over the plain host in the same rounds: median.
        speed_up_low, speed_up_high: Quartiles.
    """

    host: str
    treatment: Treatment
    keep: float | None
    frames_kept: int
    mpjpe: float
    p_mpjpe: float
    mpjve: float | None
    gmacs: float
    speed_up: float
    speed_up_low: float
    speed_up_high: float


@dataclass(frozen=True, kw_only=True)
class PatchedStudy:
    """A run.

    Attributes:
        data: What was scored.
        hosts: How each host came about and how it is scored, one sentence each.
        num_sft_layers: n of the patches.
        tune_steps: Fine-tuning steps.
        rows: The rows, host by host.
        provenance: Where the result comes from.
    """

    data: str
    hosts: list[str]
    num_sft_layers: int
    tune_steps: int
    rows: list[PatchedRow]
    provenance: Provenance


def patched_table(study: PatchedStudy) -> Table:
    """One row a treatment."""
    rows = [
        (
            row.host,
            row.treatment,
            row.frames_kept,
            row.mpjpe,
            row.p_mpjpe,
            row.mpjve,
            row.gmacs,
            told_speed_up(row.speed_up, row.speed_up_low, row.speed_up_high),
        )
        for row in study.rows
    ]
    return Table(
        title=f"Trained hosts, patched with n={study.num_sft_layers}: error against speed",
        columns=(
            Column("host"),
            Column("treatment"),
            Column("frames kept", "d"),
            Column("MPJPE, mm", ".1f"),
            Column("P-MPJPE, mm", ".1f"),
            Column("velocity error, mm/frame", ".1f"),
            Column("GMACs a pass", ".3f"),
            Column("times as fast as plain"),
        ),
        rows=tuple(rows),
        notes=(
            f"Data: {study.data}.",
            *study.hosts,
            f"tuned: {study.tune_steps} more training steps of host and added parameters; plain, tuned: "
            "what these steps do for the host alone.",
            "Speed: one pass, all variants of a host in turn in each round; medians [quartiles].",
        ),
    )


def draw_patched(path: str | os.PathLike[str], study: PatchedStudy) -> None:
    """Draw error against speed, a panel a host and a line a treatment, points marked with frames kept.

    Args:
        path: The PNG to write.
        study: What was found.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    hosts = list(dict.fromkeys(row.host for row in study.rows))
    figure = Figure(figsize=(5.2 * len(hosts), 4.2), dpi=130, layout="constrained")
    panels = figure.subplots(1, len(hosts), squeeze=False)[0]
    for host, axes in zip(hosts, panels, strict=True):
        rows = [row for row in study.rows if row.host == host]
        for treatment, colour in _COLOURS.items():
            line = [row for row in rows if row.treatment == treatment]
            speed, error = [row.speed_up for row in line], [row.mpjpe for row in line]
            axes.plot(speed, error, "o-", color=colour, linewidth=1.4, label=treatment)
            for row in line:
                axes.annotate(
                    str(row.frames_kept), (row.speed_up, row.mpjpe), (4, 4), textcoords="offset points"
                )
        for row in rows:
            if row.keep is None:
                style = "--" if row.treatment == "plain" else ":"
                axes.axhline(row.mpjpe, color="black", linestyle=style, linewidth=0.9, label=row.treatment)
        axes.set(title=host, xlabel="times as fast as the plain host", ylabel="MPJPE, mm")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small")
    save_png(figure, path)
