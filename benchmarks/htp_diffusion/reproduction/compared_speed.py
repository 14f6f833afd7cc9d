"""Speeds of whole samplings beside those of the paper's Table V."""

from collections.abc import Sequence

from adapters.clock import speed_up
from adapters.words import counted
from htp_diffusion.base.units import MEBIBYTE
from htp_diffusion.reproduction.machine import PLAIN
from htp_diffusion.reproduction.part import Compared
from htp_diffusion.speed.drift import Drift
from htp_diffusion.speed.lineup import HOST_NAMES, Host
from htp_diffusion.speed.paper_tables import printed_or_none
from htp_diffusion.speed.result import Group, Row, ThroughputResult

_PRINTED = {20: "HxK=20", 200: "H=20, K=10"}  # how Table V calls a setting, by HxK
_PRINTED_AS = {HOST_NAMES["ktpformer-denoiser"]: "KTPFormer"}  # rows that it calls otherwise
_MADE_HOW: dict[Host, str] = {
    "finepose": "; prompts encoded once a sampling",
    "ktpformer-denoiser": "; its public lifter, told the timestep: its own denoiser is not public",
}

_Figure = tuple[str, float, float | None, str]  # name, measured, printed, what its condition adds


def compared_speed(result: ThroughputResult, told: Sequence[Host] = ("d3dp",)) -> Sequence[Compared]:
    """Speed and its ratio to D3DP's beside the paper's, memory and use of the device, at each H and K.

    Args:
        result: With a plain D3DP in every group.
        told: Hosts whose figures are told.
    """
    found = []
    for group in result.groups:
        if group.hypotheses is None or group.steps is None:
            continue
        where = (
            f"{result.device}, batch {group.batch}, T={group.frames}, D={result.dim}, {group.precision}, "
            f"{group.mode}, {counted(len(group.rows[0].seconds), 'round')}"
        )
        for row in group.rows:
            if row.host not in told:
                continue
            what = f"{row.model}, {group.timed}, {group.precision}, {group.mode}"
            for name, measured, paper, more in _figures(group, row, group.hypotheses * group.steps):
                condition = where + more + ("; the paper: two RTX 4090" if paper is not None else "")
                found.append(
                    Compared(
                        item="Table V",
                        what=f"{what}: {name}",
                        measured=measured,
                        quoted=paper,
                        condition=condition,
                    )
                )
    return [*found, *(_drifted(result, one) for one in result.drift)]


def _figures(group: Group, row: Row, number: int) -> list[_Figure]:
    """What is told of a row of a group whose H times K is a number."""

    def paper(name: str) -> float | None:
        if (group.precision, group.mode) != PLAIN or number not in _PRINTED:
            return None
        printed_as = _PRINTED_AS.get(row.model, row.model)
        return printed_or_none("Table V", printed_as, f"{name}, {_PRINTED[number]}")

    frames, base = group.batch * group.frames, group.plain("d3dp")
    made = _MADE_HOW.get(row.host, "")
    figures: list[_Figure] = [
        ("frames/s", frames / row.timing.median, paper("frames/s"), made),
        ("% of the square matmul rate", 100 * row.flops / group.roofline.square.flops, None, ""),
    ]
    if row.peak_memory is not None:
        figures.append(("peak memory, MiB", row.peak_memory / MEBIBYTE, None, "; weights left out"))
    ratios = {} if row is base else {base.model: speed_up(base.timing, row.timing)}
    plain = group.plain(row.host)
    if row is not plain and plain is not base:
        ratios[plain.model] = row.speed_up
    for slower, ratio in ratios.items():
        name = f"times as fast as {slower}"
        spread = f"; quartiles {ratio.paired_low:.2f} to {ratio.paired_high:.2f}"
        if row.host != base.host and slower == base.model:
            spread += f"; {slower} in the same rounds: {frames / base.timing.median:,.1f} frames/s"
        figures.append((name, ratio.paired, paper(name), spread))
    return figures


def _drifted(result: ThroughputResult, one: Drift) -> Compared:
    return Compared(
        item="Table V",
        what=f"{one.model}, {one.precision}, {one.mode}: mean distance from fp32, eager, mm",
        measured=one.distance,
        quoted=None,
        condition=f"{result.device}, {one.checkpoint}, embedded motion, H={one.hypotheses}, "
        f"K={one.steps}, the same seeds; MPJPE differs by {one.mpjpe_drift:.3g} mm",
    )
