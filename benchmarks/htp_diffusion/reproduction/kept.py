"""Kept: the frames that HTP keeps, on the curve of the motion's speed, as a part (Figure 8)."""

from dataclasses import dataclass

import torch

from htp_diffusion.base.device import device_name
from htp_diffusion.base.tables import Column, Table
from htp_diffusion.comparison.kept_frames import draw_frames, motion_speed, observe_retention
from htp_diffusion.data.window_batches import first_windows
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.reproduction.pair import Pair
from htp_diffusion.reproduction.part import Compared, Part, Picture, Workplace
from htp_diffusion.reproduction.sampled import embedded_windows

PICTURE = "kept-frames.png"
_WINDOWS = 2
_STEPS = 5
_ABOUT = 5.0


@dataclass(frozen=True, kw_only=True)
class KeptAsked:
    """What the frames depend on: the weights' SHA-256, and where."""

    weights: list[str]
    device: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The frames of the windows that are drawn.

    Attributes:
        model: The model.
        clip: The clip.
        num_frames: T.
        frames: Kept frames of each window, counted from its beginning.
        speed_kept: Mean speed of the motion at the kept frames, m/s.
        speed_all: Mean speed at every frame of the windows, m/s.
    """

    model: str
    clip: str
    num_frames: int
    frames: list[list[int]]
    speed_kept: float
    speed_all: float


def kept_part(pair: Pair, device: torch.device) -> Part[Kept]:
    """The part."""

    def make(work: Workplace) -> Kept:
        contender = pair.contenders()[1]
        denoiser = contender.denoiser.to(device)
        if not isinstance(denoiser, HTPDenoiser):
            raise TypeError(f"expected an HTP denoiser, got {type(denoiser).__name__}")
        found, clips = embedded_windows(contender.config.num_frames)
        [shown] = first_windows(clips[:1], _WINDOWS)
        sampling = Sampling(hypotheses=1, steps=_STEPS, eta=1.0, flip=True, seed=0, batch_size=_WINDOWS)
        with torch.inference_mode():
            retention = observe_retention(denoiser, shown, sampling)
        draw_frames(work.folder / PICTURE, found.clips[0], retention, contender.name)
        speed = motion_speed(found.clips[0])
        kept = (retention.start[:, None] + retention.kept).flatten().unique()
        seen = (retention.start[:, None] + torch.arange(retention.num_frames)).flatten().unique()
        return Kept(
            model=contender.name,
            clip=found.clips[0].name,
            num_frames=retention.num_frames,
            frames=retention.kept.tolist(),
            speed_kept=float(speed[kept].mean()),
            speed_all=float(speed[seen].mean()),
        )

    return Part(
        name="kept-frames",
        title="The frames that HTP keeps",
        items=("Figure 8",),
        asked=KeptAsked(weights=pair.hashes, device=device_name(device)),
        kind=Kept,
        estimate=_ABOUT,
        make=make,
        tables=_tables,
        compared=lambda kept: [
            Compared(
                item="Figure 8",
                what="mean speed at kept frames over the mean at all frames",
                measured=kept.speed_kept / kept.speed_all if kept.speed_all else 0.0,
                quoted=None,
                condition=f"{kept.model}, {kept.clip}",
            )
        ],
        pictures=lambda kept: [
            Picture(
                file=PICTURE,
                item="Figure 8",
                caption=f"{kept.model} keeps {len(kept.frames[0])} of {kept.num_frames} frames: {kept.clip}; "
                "the last denoising step.",
            )
        ],
    )


def _tables(kept: Kept) -> list[Table]:
    return [
        Table(
            title=f"Frames that {kept.model} keeps of {kept.clip}",
            columns=(Column("window", "d"), Column("kept", "d"), Column("which")),
            rows=tuple(
                (number, len(frames), ", ".join(map(str, frames)))
                for number, frames in enumerate(kept.frames)
            ),
        )
    ]
