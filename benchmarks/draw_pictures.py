"""Draw the pictures of the documentation: the flow, masks and kept frames of the shipped HTP."""

import htp_diffusion.base.extras  # noqa: F401

# isort: split
from dataclasses import dataclass
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from htp_diffusion.base.command import run_command
from htp_diffusion.base.picture import save_png
from htp_diffusion.comparison.kept_frames import draw_frames, observe_retention
from htp_diffusion.data.motion import Windows, windows
from htp_diffusion.data.virtual_views import embedded_set
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.checkpoint import SHIPPED
from htp_diffusion.models.contender import Pruning, trained_contender
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.pose.layout import H36M_17
from htp_modules import record

_ROOT = Path(__file__).resolve().parents[1]
_PICTURED = SHIPPED / "htp-small.json"
_JOINTS = ("pelvis", "right_knee", "right_wrist")
_STEPS = (
    ("embed\nspatial 0", "T", "T frames"),
    ("TCEP", "T", "finds the mask M"),
    ("+ position\n+ time", "T", "joins the tokens"),
    ("temporal 0\nn pairs", "T", "attend under M\n(SFT MHSA)"),
    ("MGPTP", "f", "T to f frames"),
    ("the other\npairs", "f", "attend freely\namong f frames"),
    ("recovery", "T", "f to T frames\n(Cross MHSA)"),
    ("head", "T", "T poses"),
)
_WIDE, _NARROW, _INK = "#4c6a92", "#d1495b", "#20242a"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Draw flow.png, mask.png and kept.png.

    Attributes:
        out: Folder for them.
    """

    out: Path = _ROOT / "docs"


def draw_flow(path: Path) -> None:
    """Draw the hourglass: which modules see every frame, and which the kept ones."""
    figure = Figure(figsize=(10, 2.6), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for place, (name, frames, told) in enumerate(_STEPS):
        height = 1.0 if frames == "T" else 0.5
        color = _WIDE if frames == "T" else _NARROW
        box = FancyBboxPatch((place, -height / 2), 0.8, height, boxstyle="round,pad=0.02", color=color)
        axes.add_patch(box)
        axes.text(place + 0.4, 0, name, color="white", ha="center", va="center", fontsize=8)
        axes.text(place + 0.4, -0.62, told, color=_INK, ha="center", va="top", fontsize=7)
        if place:
            arrow = {"arrowstyle": "->", "color": _INK, "linewidth": 1}
            axes.annotate("", (place - 0.02, 0), (place - 0.18, 0), arrowprops=arrow)
    axes.set(xlim=(-0.1, len(_STEPS) - 0.1), ylim=(-1.0, 0.6))
    axes.axis("off")
    save_png(figure, path)


def draw_masks(path: Path, denoiser: HTPDenoiser, pictured: Windows) -> None:
    """Draw the masks of a few joints in one window, at the last denoising step."""
    pose_2d, time = pictured.pose_2d[:1], torch.zeros(1, dtype=torch.long)
    with record(denoiser) as seen, torch.no_grad():
        denoiser(pose_2d, pictured.pose_3d[:1], time)
    mask = seen.masks[0]
    figure = Figure(figsize=(9, 3.2), dpi=150, layout="constrained")
    for axes, name in zip(figure.subplots(1, len(_JOINTS)), _JOINTS, strict=True):
        keep = mask.keep[0, H36M_17.joints.index(name)]
        axes.imshow(keep.numpy(), cmap="Blues", vmin=0, vmax=1.4, interpolation="nearest")
        share, degree = float(keep.float().mean()), keep.sum(dim=1)
        told = f"{int(degree.min())} to {int(degree.max())} frames a row"
        axes.set_title(f"{name}: {share:.0%} of the pairs,\n{told}", fontsize=9)
        axes.set(xlabel="frame attended to", ylabel="frame")
    save_png(figure, path)


def main(options: Options) -> None:
    """Draw all of them."""
    contender = trained_contender(_PICTURED, Pruning())
    denoiser, frames = contender.denoiser, contender.config.num_frames
    if not isinstance(denoiser, HTPDenoiser):
        raise TypeError(f"{_PICTURED} holds a {type(denoiser).__name__}")
    clip = embedded_set(frames).clips[0]
    pictured = windows(clip, frames)
    sampling = Sampling(hypotheses=1, steps=2, eta=0.0, flip=False, seed=0, batch_size=1)
    draw_flow(options.out / "flow.png")
    draw_masks(options.out / "mask.png", denoiser, pictured)
    retention = observe_retention(denoiser, pictured, sampling)
    draw_frames(options.out / "kept.png", clip, retention, "The shipped HTP")


if __name__ == "__main__":
    run_command(main, Options)
