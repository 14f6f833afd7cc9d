"""Sampled: the trained pair on embedded motion, its errors and its poses, as a part (Figures 1, 6 and 7)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from htp_diffusion.base.device import device_name
from htp_diffusion.base.units import GIGA
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.comparison.poses_picture import draw_poses, scored_frames
from htp_diffusion.comparison.result import ComparisonResult
from htp_diffusion.comparison.table import comparison_table
from htp_diffusion.data.motion import Windows, windows
from htp_diffusion.data.protocol import cut_set
from htp_diffusion.data.source import Source, test_clips
from htp_diffusion.data.virtual_views import EvaluationSet, embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.checkpoint import read_record
from htp_diffusion.reproduction.pair import Pair
from htp_diffusion.reproduction.part import Compared, Part, Picture, Workplace
from htp_diffusion.reproduction.pictures import draw_error_cost
from htp_diffusion.reproduction.scale import Scale
from htp_diffusion.speed.counting import count_denoiser
from htp_diffusion.speed.paper_tables import printed_or_none

ERROR_COST, POSES, WORST = "error-cost.png", "poses.png", "worst.png"
_BATCH = 2  # windows; more only take more memory on a CPU
_DRAWN = 4  # frames of a picture
_EFFICIENCY = 0.25  # of the best matmul rate, for narrow models on short windows
_PRINTED = {"D3DP": "D3DP", "HTP n=3": "HTP"}  # how Table I calls a model


@dataclass(frozen=True, kw_only=True)
class SampledAsked:
    """What the errors depend on.

    Attributes:
        weights: SHA-256 of the pair's.
        hypotheses, steps: Of the sampling.
        device: Where.
        threads: Of one operation.
    """

    weights: list[str]
    hypotheses: int
    steps: int
    device: str
    threads: int


def embedded_windows(num_frames: int) -> tuple[EvaluationSet, list[Windows]]:
    """The motion that needs no file, and its windows."""
    found = embedded_set(num_frames)
    return found, [windows(clip, num_frames) for clip in found.clips]


def sampled_part(scale: Scale, pair: Pair, device: torch.device, flops: float) -> Part[ComparisonResult]:
    """The part."""
    sampling = Sampling(
        hypotheses=scale.hypotheses_scored,
        steps=scale.steps_scored,
        eta=1.0,
        flip=True,
        seed=0,
        batch_size=_BATCH if device.type == "cpu" else 64,
    )

    def make(work: Workplace) -> ComparisonResult:
        return _make(pair, sampling, work)

    return Part(
        name="sampled",
        title="The trained pair on embedded motion",
        items=("Table I", "Figure 1", "Figure 6", "Figure 7"),
        asked=SampledAsked(
            weights=pair.hashes,
            hypotheses=sampling.hypotheses,
            steps=sampling.steps,
            device=device_name(device),
            threads=torch.get_num_threads(),
        ),
        kind=ComparisonResult,
        estimate=_estimate(pair, sampling, flops),
        make=make,
        tables=lambda result: [comparison_table(result)],
        compared=_compared,
        pictures=_pictures,
    )


def _estimate(pair: Pair, sampling: Sampling, flops: float) -> float:
    configs = [read_record(path).denoiser for path in (pair.d3dp, pair.htp)]
    macs = sum(count_denoiser(config.build, config.num_frames).true_macs for config in configs)
    _, clips = embedded_windows(configs[0].num_frames)
    count = sum(len(clip.start) for clip in clips)
    return 8.0 + 2 * 1.5 * macs * sampling.passes * (count + _BATCH) / (flops * _EFFICIENCY)


def _make(pair: Pair, sampling: Sampling, work: Workplace) -> ComparisonResult:
    contenders = pair.contenders()
    num_frames = contenders[0].config.num_frames
    cut = cut_set(test_clips(Source(), num_frames), num_frames)
    poses: dict[str, list[Tensor]] = {}

    def seen(name: str, hypotheses: Tensor) -> None:
        poses.setdefault(name, []).append(hypotheses.mean(dim=1).float().cpu())

    result = compare(contenders, cut, sampling, device=work.device, progress=work.progress, observe=seen)
    models, clips, sampling = result.models, cut.windows, result.sampling
    condition = f"{result.data.partition(':')[0]}, {sampling.label}"
    points = [
        (m.name, (m.thop_macs_per_frame or 0.0) / GIGA, m.scores.over_frames["mean"].mpjpe) for m in models
    ]
    draw_error_cost(work.folder / ERROR_COST, points, condition)
    shown = {model.name: torch.cat(poses[model.name]) for model in models[:2]}
    frames, last = scored_frames(clips, shown), models[1].name
    for file, chosen, title in (
        (POSES, frames.spread_out(_DRAWN), "Truth (grey below the models), and predicted"),
        (WORST, frames.worst(last, num_frames, _DRAWN), f"The worst frames of {last}"),
    ):
        draw_poses(work.folder / file, frames, chosen, f"{title}: {condition}", views=("front", "side"))
    return result


def _compared(result: ComparisonResult) -> Sequence[Compared]:
    found = []
    condition = (
        f"{result.data.partition(':')[0]}, T={result.window_frames}, D={result.models[0].denoiser.dim}, "
        f"{result.sampling.label}, mean; the paper: Human3.6M, CPN"
    )
    for model in result.models:
        quoted = printed_or_none("Table I", _PRINTED.get(model.name, ""), "MPJPE, mm, CPN 2D")
        for item in ("Table I", "Figure 1"):
            found.append(
                Compared(
                    item=item,
                    what=f"{model.name}: MPJPE, mm",
                    measured=model.scores.over_frames["mean"].mpjpe,
                    quoted=quoted,
                    condition=condition,
                )
            )
        found.append(
            Compared(
                item="Figure 1",
                what=f"{model.name}: GMACs a frame by THOP",
                measured=(model.thop_macs_per_frame or 0.0) / GIGA,
                quoted=None,
                condition=condition.partition(";")[0],
            )
        )
    return found


def _pictures(result: ComparisonResult) -> Sequence[Picture]:
    how = f"{result.data}; {result.sampling.label}, mean of the hypotheses."
    return [
        Picture(file=ERROR_COST, item="Figure 1", caption=f"Left, measured here: {how} Right: the paper's."),
        Picture(file=POSES, item="Figure 6", caption=f"Frames at even distances. {how}"),
        Picture(
            file=WORST,
            item="Figure 7",
            caption=f"The frames furthest from the truth, at least a window apart. {how}",
        ),
    ]
