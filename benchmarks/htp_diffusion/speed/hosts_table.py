"""One line a host, plain and patched, from whatever timing runs there are."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

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
    shown: dict[Host, _Shown] = {}
    for result, group, host in _measured(results):
        pruned = [row for row in group.rows if row.host == host and row.is_pruned]
        if host not in shown and pruned:
            best = min(pruned, key=lambda row: row.true_gmacs)
            shown[host] = _Shown(result, group, group.plain(host), best)
    missing = [name for name in known if not any(name.startswith(HOST_NAMES[host]) for host in shown)]
    settings = {
        f"T={one.group.frames}, batch 1, fp32, eager, f={one.result.num_keep * one.group.frames:.0f}"
        for one in shown.values()
    }
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
        rows=tuple(_row(one) for one in shown.values()),
        notes=_notes(list(shown.values()), missing),
    )


class _Shown(NamedTuple):
    """A host's line: the run it is from, and its rows there before and after the patch."""

    result: ThroughputResult
    group: Group
    plain: Row
    best: Row


def _row(shown: _Shown) -> tuple[Cell, ...]:
    plain, best = shown.plain, shown.best
    return (
        HOST_NAMES[plain.host],
        f"{best.model.rpartition(' ')[2]}, {shown.result.recovery}",
        plain.true_gmacs,
        best.true_gmacs,
        plain.timing.median / MILLI,
        best.timing.median / MILLI,
        best.speed_up.told(len(best.seconds)),
        str(len(best.seconds)),
    )


def _notes(shown: Sequence[_Shown], missing: Sequence[str]) -> tuple[str, ...]:
    public = [HOST_NAMES[one.plain.host] for one in shown if one.plain.is_public]
    sizes = {f"D={one.result.dim}" for one in shown if not one.plain.is_public}
    made = [one.result.provenance for one in shown]
    machines = {f"{one.cpu}, {one.told_threads}, torch {one.torch}" for one in made}
    notes = [
        "Random weights; cross_attention needs training, interpolate none. MACs: every matrix product, "
        "attention and HTP's modules included.",
        "Plain and patched in turn in each round; ms: medians of the rounds, times as fast: the median of "
        f"their ratios [quartiles]. {'; '.join(sorted(machines))}.",
    ]
    if public:
        notes.append(f"Public code at its published size, plain and patched: {', '.join(public)}.")
    if sizes:
        notes.append(f"{'The others are our' if public else 'Our'} own models at {'; '.join(sorted(sizes))}.")
    if missing:
        notes.append(f"Can be patched, not timed yet: {', '.join(missing)}.")
    return tuple(notes)


def _measured(results: Sequence[ThroughputResult]) -> Iterator[tuple[ThroughputResult, Group, Host]]:
    """The hosts of every run that may be compared with each other, in the order of ``HOST_NAMES``."""
    for host in HOST_NAMES:
        for result in results:
            for group in result.groups:
                way = (result.device, group.precision, group.mode, group.batch, group.hypotheses)
                if way == ("cpu", "fp32", "eager", 1, None) and any(row.host == host for row in group.rows):
                    yield result, group, host
