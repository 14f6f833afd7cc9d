"""benchmark(model): how fast a model is on this machine, as it is and pruned."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn

from adapters.clock import SpeedUp, Timing, check_whole, interleaved, peak_memory, speed_up
from adapters.counting import Counter
from adapters.trial import Trial, device_in_words, errors_told, random_clips, trial
from htp_modules import HTPConfig

_MILLI, _GIGA, _MIB = 1e-3, 1e9, 2**20


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one pass of a model costs.

    Attributes:
        timing: Seconds of each round.
        macs: Multiply-accumulates of every matrix product, for one clip.
        peak_memory: Most bytes of tensors alive at once in a pass, over those alive before it (the weights);
            None on a device that does not tell.
    """

    timing: Timing
    macs: int
    peak_memory: int | None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A model as it is and pruned, timed in turn in one process.

    Attributes:
        host: The host's class, and what it was recognised as.
        device: What it ran on.
        batch_size: Clips in a pass.
        frames: T, frames of a clip.
        config: Where and how hard the pruned model prunes.
        plain: What the host costs as it is.
        pruned: What it costs under the config.
    """

    host: str
    device: str
    batch_size: int
    frames: int
    config: HTPConfig
    plain: Cost
    pruned: Cost

    @property
    def speed_up(self) -> SpeedUp:
        """How many times as fast pruning makes it, from the ratios within the rounds."""
        return speed_up(self.plain.timing, self.pruned.timing)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("", "ms", "spread", "clips/s", "GMACs/clip", "peak MiB")]
        for name, cost in (("plain", self.plain), ("pruned", self.pruned)):
            rows.append((name, *self._cells(cost)))
        kept, rounds = self.config.frames_kept(self.frames), len(self.plain.timing.samples)
        return "\n".join(
            (
                f"{self.host}, {kept} of {self.frames} frames kept, batches of {self.batch_size}, "
                f"on {self.device}",
                *aligned(rows),
                f"pruned / plain speed: {self.speed_up.told(rounds)}",
            )
        )

    def _cells(self, cost: Cost) -> tuple[str, ...]:
        seconds = cost.timing.median
        return (
            f"{seconds / _MILLI:.2f}",
            f"{cost.timing.iqr / _MILLI:.2f}",
            f"{self.batch_size / seconds:.1f}" if seconds else "-",
            f"{cost.macs / _GIGA:.3f}",
            "-" if cost.peak_memory is None else f"{cost.peak_memory / _MIB:.1f}",
        )


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table, the first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def benchmark(
    model: nn.Module,
    *,
    batch_size: int = 1,
    frames: int | None = None,
    config: HTPConfig | None = None,
    repeats: int = 7,
    warmup: int = 2,
) -> Benchmark:
    """Time a model as it is and pruned, in turn, on the device and in the precision that it is in.

    The host runs by itself, without what may stand around it, on clips of random poses: neither speed nor
    operations depend on poses or weights. The model comes out as it was.

    Args:
        model: Patched, or not yet.
        batch_size: Clips in a pass.
        frames: T, frames of a clip; the host's own if not given.
        config: Where and how hard to prune; as the model is patched if not given, and as
            :func:`adapters.tune` starts if it is not.
        repeats: Timed rounds; a round runs the model once as it is and once pruned.
        warmup: Rounds before them, not timed.

    Raises:
        PatchError: The model cannot be patched, or the patch is not in force any more.
        UnrecognisedHostError: It holds no host; the error names the nearest.
        ConfigError: The config does not fit the model.
        MeasurementError: A number out of range, or a length that the host does not take.
    """
    check_whole(batch_size, "batch_size")
    if frames is not None:
        check_whole(frames, "frames")
    with trial(model, config) as tried:
        frames = frames or tried.htp.facts.num_frames
        inputs = random_clips(tried, batch_size, frames)
        _check_length(tried, inputs, frames)

        # A compiled host runs compiled; what else may stand around it is left out.
        called = model if getattr(model, "_orig_mod", None) is tried.host else tried.host

        def run() -> None:
            called(*(x.clone() for x in inputs))  # some hosts write into what they are given

        cases = {"plain": partial(tried.plain, run), "pruned": run}
        timings = interleaved(cases, repeats=repeats, warmup=warmup, device=tried.device)
        counter = Counter.of(model, frames)
        macs = {"plain": counter.plain(), "pruned": counter.pruned(tried.htp.config)}
        costs = {
            name: Cost(timing=timings[name], macs=macs[name], peak_memory=peak_memory(case, tried.device))
            for name, case in cases.items()
        }
        return Benchmark(
            host=tried.name,
            device=device_in_words(tried.device),
            batch_size=batch_size,
            frames=frames,
            config=tried.htp.config,
            **costs,
        )


def _check_length(tried: Trial, inputs: tuple[Tensor, ...], frames: int) -> None:
    """Check that the host takes clips of this length, by itself and pruned."""
    built = tried.htp.facts.num_frames
    if frames == built:
        return
    with errors_told(f"{tried.name} built for {built} frames does not run on {frames}"):
        tried.plain(tried.host, *(x.clone() for x in inputs))
        tried.host(*(x.clone() for x in inputs))
