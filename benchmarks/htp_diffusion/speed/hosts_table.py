"""One line a host, plain and patched, from whatever timing runs there are."""

from collections.abc import Iterator, Sequence

from htp_diffusion.base.tables import Cell, Column, Table
from htp_diffusion.base.units import MILLI
from htp_diffusion.speed.lineup import HOST_NAMES, Host
from htp_diffusion.speed.result import Group, Row, ThroughputResult


def hosts_table(results: Sequence[ThroughputResult], known: Sequence[str]) -> Table:
    """Each host's cost and time before and after the patch that saves most.

    Counted are single passes of one clip in float32, eager, on a CPU; of several runs with a host, the first.

    Args:
        results: Timing runs.
        known: Names of the hosts that can be patched, to tell which were not timed.
    """
    rows: dict[Host, tuple[Cell, ...]] = {}
    public: list[str] = []
    settings, sizes, machines = set[str](), set[str](), set[str]()
    for result, group, host in _measured(results):
        pruned = [row for row in group.rows if row.host == host and row.is_pruned]
        if host in rows or not pruned:
            continue
        plain, best = group.plain(host), min(pruned, key=lambda row: row.true_gmacs)
        rows[host] = (
            HOST_NAMES[host],
            _setting(best, result),
            plain.true_gmacs,
            best.true_gmacs,
            plain.timing.median / MILLI,
            best.timing.median / MILLI,
            best.speed_up.told(len(best.seconds)),
            str(len(best.seconds)),
        )
        settings.add(f"T={group.frames}, batch 1, fp32, eager, f={result.num_keep * group.frames:.0f}")
        if plain.fused_difference is None:
            public.append(HOST_NAMES[host])
        else:
            sizes.add(f"D={result.dim}")
        made = result.provenance
        machines.add(f"{made.cpu}, {made.told_threads}, torch {made.torch}")
    missing = [name for name in known if not any(name.startswith(HOST_NAMES[host]) for host in rows)]
    notes = [
        "Random weights; cross_attention needs training, interpolate none. MACs: every matrix product, "
        "attention and HTP's modules included."
    ]
    told = "; ".join(sorted(machines))
    notes.append(
        "Plain and patched in turn in each round; ms: medians of the rounds, times as fast: the median of "
        f"their ratios [quartiles]. {told}."
    )
    if public:
        notes.append(f"Public code at its published size, plain and patched: {', '.join(public)}.")
    if sizes:
        notes.append(f"{'The others are our' if public else 'Our'} own models at {'; '.join(sorted(sizes))}.")
    if missing:
        notes.append(f"Can be patched, not timed yet: {', '.join(missing)}.")
    return Table(
        title=f"One pass on a CPU: {'; '.join(sorted(settings))}",
        columns=(
            Column("host"),
            Column("patched with"),
            Column("GMACs before", ",.1f"),
            Column("after", ",.1f"),
            Column("ms before", ",.0f"),
            Column("after", ",.0f"),
            Column("times as fast"),
            Column("rounds"),
        ),
        rows=tuple(rows.values()),
        notes=tuple(notes),
    )


def _measured(results: Sequence[ThroughputResult]) -> Iterator[tuple[ThroughputResult, Group, Host]]:
    """The hosts of every run that may be compared with each other, in the order of ``HOST_NAMES``."""
    for host in HOST_NAMES:
        for result in results:
            for group in result.groups:
                way = (result.device, group.precision, group.mode, group.batch, group.hypotheses)
                if way == ("cpu", "fp32", "eager", 1, None) and any(row.host == host for row in group.rows):
                    yield result, group, host


def _setting(row: Row, result: ThroughputResult) -> str:
    pairs = row.model.rpartition(" ")[2]
    return f"{pairs}, {result.recovery}"
