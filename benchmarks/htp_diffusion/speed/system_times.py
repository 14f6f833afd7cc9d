"""What timing the paper's other systems found: its JSON and its table."""

from dataclasses import dataclass

from adapters.clock import SpeedUp, Timing, speed_up_notes
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.base.units import MILLI


@dataclass(frozen=True, kw_only=True)
class SystemTime:
    """One system.

    Attributes:
        system: Its name.
        public: Whether it is its authors' code, or ours.
        frames: T of a clip.
        frames_out: Frames that a pass predicts.
        seconds: Wall-clock of each pass.
        speed_up: Over MixSTE, from the same rounds.
        thop_gmacs: Multiply-accumulates of a pass by THOP, G.
        true_gmacs: Every matrix product of a pass counted, G.
        params_m: Parameters, M.
    """

    system: str
    public: bool
    frames: int
    frames_out: int
    seconds: list[float]
    speed_up: SpeedUp
    thop_gmacs: float
    true_gmacs: float
    params_m: float

    @property
    def timing(self) -> Timing:
        """The rounds."""
        return Timing(tuple(self.seconds))


@dataclass(frozen=True, kw_only=True)
class SystemTimes:
    """A run.

    Attributes:
        num_keep: f of HTP: frames, or a share of T.
        dim: D of MixSTE and HTP.
        rows: The systems, MixSTE first.
        provenance: Where the result comes from.
    """

    num_keep: int | float
    dim: int
    rows: list[SystemTime]
    provenance: Provenance

    @property
    def conditions(self) -> str:
        """How it was timed, in words."""
        made = self.provenance
        return (
            f"one clip, float32, eager, {made.told_threads} of {made.cpu}, medians of "
            f"{len(self.rows[0].seconds)} rounds, the systems in turn in each"
        )


def system_times_table(result: SystemTimes) -> Table:
    """One row a system."""
    return Table(
        title="One pass of the systems that pruning in time does not apply to, MixSTE and HTP beside them",
        columns=(
            Column("system"),
            Column("code"),
            Column("T", "d"),
            Column("frames out", "d"),
            Column("median, ms", ",.1f", "measured"),
            Column("IQR, ms", ",.1f", "measured"),
            Column("ms a frame out", ",.2f", "measured"),
            Column("times as fast as MixSTE, a pass", ".2f", "measured"),
            Column("THOP, G", ".2f", "counted"),
            Column("true, G", ".2f", "counted"),
            Column("params, M", ".2f", "counted"),
        ),
        rows=tuple(
            (
                row.system,
                "public" if row.public else "ours",
                row.frames,
                row.frames_out,
                row.timing.median / MILLI,
                row.timing.iqr / MILLI,
                row.timing.median / MILLI / row.frames_out,
                row.speed_up.cell(len(row.seconds)),
                row.thop_gmacs,
                row.true_gmacs,
                row.params_m,
            )
            for row in result.rows
        ),
        notes=(
            *speed_up_notes([row.speed_up for row in result.rows], len(result.rows[0].seconds)),
            f"{result.conditions[0].upper()}{result.conditions[1:]}; random weights, public classes at the "
            "sizes that their authors publish, without flip.",
            "Frames out: what a pass predicts; the others' passes slide over a video frame by frame. "
            "MHFormer computes a pose for each of its frames, of which its authors use the middle one.",
            "PoseFormerV2's cosine transform is a matrix product here.",
        ),
    )
