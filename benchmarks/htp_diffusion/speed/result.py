"""What timing the models found: its JSON."""

from dataclasses import dataclass, field

from adapters.clock import SpeedUp, Timing
from htp_diffusion.base.device import Precision
from htp_diffusion.base.execution import Mode
from htp_diffusion.base.provenance import Provenance
from htp_diffusion.base.results import ADDED_LATER
from htp_diffusion.base.units import GIGA
from htp_diffusion.speed.drift import Drift
from htp_diffusion.speed.lineup import HOST_NAMES, Host
from htp_diffusion.speed.roofline import Roofline
from htp_modules.config import Recovery


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model in one group.

    Attributes:
        model: The model.
        host: What it is, or prunes.
        seconds: Wall-clock of each round; of several processes, the slowest one's.
        speed_up: Over the plain host, from the same rounds.
        thop_gmacs: Multiply-accumulates of a round by THOP, G.
        true_gmacs: Every matrix product of a round counted, G.
        moved_bytes: What the operations of a round read and write, one by one, in the group's precision.
        peak_memory: Most bytes in use during a round, over what was in use before (the weights), of the
            process that used most; None where the system does not tell.
        fused_difference: Largest difference between the fused and the written-out attention, in float64, as a
            share of the largest output; None for public code, which has one path.
        difference: Largest difference of a pass over a short clip, in the group's precision and mode, from
            one in float64 with attention written out and the same frames selected, as a share of the largest
            output; public code is held against our host with the same weights, where there is one, and
            that of FinePOSE and MotionAGFormer, which computes in float32 alone, against nothing: None.
    """

    model: str
    host: Host
    seconds: list[float]
    speed_up: SpeedUp
    thop_gmacs: float
    true_gmacs: float
    moved_bytes: float
    peak_memory: int | None
    fused_difference: float | None
    difference: float | None

    @property
    def is_pruned(self) -> bool:
        """Whether HTP is in it."""
        return self.model.startswith("HTP")

    @property
    def is_public(self) -> bool:
        """Whether it is public code, plain or patched."""
        return self.fused_difference is None

    @property
    def timing(self) -> Timing:
        """The rounds."""
        return Timing(tuple(self.seconds))

    @property
    def flops(self) -> float:
        """Floating-point operations a second: two a multiply-accumulate."""
        return 2 * self.true_gmacs * GIGA / self.timing.median


@dataclass(frozen=True, kw_only=True)
class Group:
    """Models timed in turn in the same rounds.

    Attributes:
        frames: T.
        batch: Clips in a round, over all processes.
        hypotheses: H of a whole sampling with flip; None for a single pass.
        steps: K, likewise.
        precision: In which the models compute.
        mode: How they are run.
        roofline: What the device can do in this precision; of several processes, their sum.
        rows: The models, each host's plain one before those that prune it.
    """

    frames: int
    batch: int
    hypotheses: int | None
    steps: int | None
    precision: Precision
    mode: Mode
    roofline: Roofline
    rows: list[Row]

    @property
    def timed(self) -> str:
        """What a round is, in words."""
        return "one pass" if self.hypotheses is None else f"H={self.hypotheses}, K={self.steps}"

    def plain(self, host: Host) -> Row:
        """The row of a host as it is."""
        return next(row for row in self.rows if row.model == HOST_NAMES[host])


@dataclass(frozen=True, kw_only=True)
class ThroughputResult:
    """A run.

    Attributes:
        dim, depth, motionbert_depth, heads: Sizes of the models.
        num_keep: f of the pruned ones: frames, or a share of T.
        recovery: How they restore the full length.
        device: Where.
        processes: How many shared the batches.
        groups: What was timed together.
        drift: What fast modes do to poses; empty if not measured.
        provenance: Where the result comes from.
    """

    dim: int
    depth: int
    motionbert_depth: int
    heads: int
    num_keep: int | float
    device: str
    processes: int
    groups: list[Group]
    drift: list[Drift]
    provenance: Provenance
    recovery: Recovery = field(default="cross_attention", metadata=ADDED_LATER)
