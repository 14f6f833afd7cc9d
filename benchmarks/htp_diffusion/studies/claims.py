"""Claims: the models that the paper's claims speak of, trained alike on the same batches and scored alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_diffusion.data.motion import Windows
from htp_diffusion.diffusion.ddim import POSE_LIMIT
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.preset import Preset
from htp_diffusion.models.variants import Variant
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.scoring.draw_and_score import grade
from htp_diffusion.scoring.metrics import MILLIMETRES
from htp_diffusion.training.member import Member
from htp_modules import HTPConfig

TIMES = (100, 300, 500, 700, 900, 999)
"""Diffusion times at which a single prediction is scored."""
_NOISE_SEED = 7
_VARIANTS: tuple[str, ...] = get_args(Variant)
_SCORED_AT_ONCE = 48  # windows


def _number(letter: str, special: Sequence[str]) -> int | None:
    """The number behind a letter: 9 of f9."""
    return next((int(part[1:]) for part in special if part[0] == letter and part[1:].isdigit()), None)


def _htp(preset: Preset, special: Sequence[str]) -> HTPConfig:
    return HTPConfig(
        num_sft_layers=_number("n", special) or 3,
        num_keep=_number("f", special) or preset.num_keep,
        spatial_gcn="linear" not in special,
        recovery="interpolate" if "interpolate" in special else "cross_attention",
    )


def _member(name: str, preset: Preset) -> Member:
    """The member of a name, whose parts are joined by dashes: the model, then what is special about it."""
    model, *special = name.split("-")
    if model == "mixste":
        kind = "htp-mixste" if "htp" in special else "mixste"
    else:
        kind = "d3dp" if model == "d3dp" else "htp"
    preset = replace(preset, num_frames=_number("t", special) or preset.num_frames)
    member = Member(name=name, denoiser=preset.denoiser(kind, _htp(preset, special)))
    if "wide" in special:
        member = replace(member, variety="wide")
    if "tilt" in special:
        member = replace(member, tilt=1.5)
    if model == "htp":
        named = (part.replace("_", "-") for part in special)
        member = replace(
            member, variant=cast("Variant | None", next(filter(_VARIANTS.__contains__, named), None))
        )
    return member


MODELS: dict[str, str] = {
    "d3dp": "D3DP",
    "htp": "HTP n=3",
    "htp-n1": "HTP n=1",
    "htp-n2": "HTP n=2",
    "htp-n4": "HTP n=4",
    "htp-f3": "HTP n=3, f=3",
    "htp-f6": "HTP n=3, f=6",
    "htp-f9": "HTP n=3, f=9",
    "htp-f18": "HTP n=3, f=18",
    "htp-t9": "HTP n=3, windows of 9 frames",
    "htp-t18": "HTP n=3, windows of 18 frames",
    "htp-f27": "HTP n=3, f=27",
    "htp-f54": "HTP n=3, f=54",
    "mixste": "MixSTE",
    "mixste-htp": "HTP w/ MixSTE n=3",
    "mixste-htp-n1": "HTP w/ MixSTE n=1",
    "d3dp-wide": "D3DP, wide",
    "htp-wide": "HTP n=3, wide",
    "htp-n1-wide": "HTP n=1, wide",
    "d3dp-wide-tilt": "D3DP, wide, high noise drawn more often",
    "htp-n1-wide-tilt": "HTP n=1, wide, high noise drawn more often",
    "d3dp-tilt": "D3DP, high noise drawn more often",
    "htp-tilt": "HTP n=3, high noise drawn more often",
    "htp-n1-tilt": "HTP n=1, high noise drawn more often",
    "htp-spatial_gcn": "D3DP + Spatial GCN",
    "htp-noisy_gcn": "HTP n=3, graph convolution on the noise too",
    "htp-linear": "HTP n=3, linear embedding",
    "htp-interpolate": "HTP n=3, interpolation for Cross MHSA",
    "htp-linear-baseline": "D3DP + Cross MHSA",
    "htp-baseline": "baseline: D3DP + Spatial GCN + Cross MHSA",
    "htp-tcep": "baseline + TCEP",
    "htp-tcep_chain": "baseline + TCEP, nothing learned of single frames",
    "htp-tcep_sft": "baseline + TCEP + SFT MHSA",
    "htp-mask_pruner": "TCEP + MGPTP (mask in the pruner alone)",
    "htp-mask_attention": "mask in attention alone",
    "htp-mask_neither": "mask in neither",
    "htp-n1-tcep_sft": "baseline + TCEP + SFT MHSA n=1",
    "htp-n1-mask_pruner": "TCEP + MGPTP n=1 (mask in the pruner alone)",
    "htp-n1-mask_attention": "n=1, mask in attention alone",
    "htp-n1-mask_neither": "n=1, mask in neither",
    "htp-unrefined": "HTP n=3, TCEP masks alone",
    "htp-n1-unrefined": "HTP n=1, TCEP masks alone",
    "htp-n1-f3": "HTP n=1, f=3",
    "htp-n1-f9": "HTP n=1, f=9",
    "htp-n1-f18": "HTP n=1, f=18",
    "htp-n1-t9-f3": "HTP n=1, windows of 9 frames, f=3",
    "htp-n1-t18-f6": "HTP n=1, windows of 18 frames, f=6",
}
"""What can be trained, by name, and how a table calls it."""


def members(names: Sequence[str], seeds: Sequence[int], preset: Preset) -> list[Member]:
    """Members of these names, once with each seed."""
    return [
        replace(_member(name, preset), name=f"{name}-seed{seed}", seed=seed)
        for name in names
        for seed in seeds
    ]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Single predictions of a model, no sampling, over every frame of every window.

    Attributes:
        mpjpe: Mean error from poses noised to each of ``TIMES``, mm; a frame in two windows counts twice.
        shuffled: The error at the last of them where each window gets the 2D poses of another, mm: a model
            that looks at its condition is far worse there.
    """

    mpjpe: list[float]
    shuffled: float


@torch.no_grad()
def predict(denoiser: nn.Module, clips: Sequence[Windows], device: torch.device) -> Prediction:
    """Score single predictions at every one of ``TIMES``, from the same noise for every model."""
    schedule = cosine_schedule()
    pose_2d = torch.cat([clip.pose_2d for clip in clips]).to(device)
    pose_3d = torch.cat([clip.pose_3d for clip in clips]).to(device)
    generator = torch.Generator().manual_seed(_NOISE_SEED)
    noise = torch.randn(pose_3d.shape, generator=generator).to(device)

    def error(condition: Float[Tensor, "windows frames joints 2"], time: int) -> float:
        timestep = torch.full((len(condition),), time, device=device)
        noisy = schedule.add_noise(pose_3d, timestep, noise).clamp(-POSE_LIMIT, POSE_LIMIT)
        parts = (part.split(_SCORED_AT_ONCE) for part in (condition, noisy, timestep))
        predicted = torch.cat([denoiser(*part) for part in zip(*parts, strict=True)])
        return float((predicted - pose_3d).norm(dim=-1).mean()) * MILLIMETRES

    return Prediction(
        mpjpe=[error(pose_2d, time) for time in TIMES],
        shuffled=error(pose_2d.roll(len(pose_2d) // 2, dims=0), TIMES[-1]),
    )


def score(
    denoiser: nn.Module,
    clips: Sequence[Windows],
    draws: Sequence[tuple[int, int]],
    device: torch.device,
    told: Callable[[str], None] = lambda line: None,
) -> dict[str, Errors]:
    """Errors of the mean of the hypotheses, by H and K, written as 5x5; eta 1, with flip."""
    found = {}
    for hypotheses, steps in draws:
        sampling = Sampling(
            hypotheses=hypotheses,
            steps=steps,
            eta=1.0,
            flip=True,
            seed=0,
            batch_size=_SCORED_AT_ONCE,
            max_batch=2 * hypotheses * _SCORED_AT_ONCE,
        )
        errors = grade(denoiser, clips, sampling, device)
        found[f"{hypotheses}x{steps}"] = errors
        told(f"H={hypotheses}, K={steps}: {errors.mpjpe:.2f} mm")
    return found
