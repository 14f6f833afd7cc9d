"""Lifted: 3D poses of a clip of any length, from a denoiser that sees windows."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from htp_diffusion.base.device import Precision, precision_of
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.diffusion.observed import observe
from htp_diffusion.diffusion.sampling import Sampling, fit_sampling
from htp_diffusion.lifting.frame_rate import nearest, places_among, positions_at, sample_at
from htp_diffusion.lifting.windows import blend, cut_windows, leading_window, window_starts
from htp_diffusion.models.contender import Contender
from htp_diffusion.models.lifter import Lifter
from htp_diffusion.models.public_config import NetworkLifter


@dataclass(frozen=True, kw_only=True, eq=False)
class Lifted:
    """What a model makes of one person's 2D poses.

    Attributes:
        poses: Camera frame, relative to the root, metres; the mean of the hypotheses.
        spread: Uncertainty: root mean square distance of the hypotheses from their mean, metres; 0 for one.
        kept: Frames that the model kept at the last denoising step of hypothesis one, in the window that
            counts most for the frame; None for a model without HTP.
        windows: Windows that were sampled.
        window_frames: T, frames of a window.
        seconds: What it took.
    """

    poses: Float[Tensor, "frames joints 3"]
    spread: Float[Tensor, "frames joints"]
    kept: Bool[Tensor, " frames"] | None
    windows: int
    window_frames: int
    seconds: float


def lift(
    contender: Contender,
    pose_2d: Float[Tensor, "frames joints 2"],
    sampling: Sampling,
    *,
    fps: float | None = None,
    model_fps: float | None = None,
    device: torch.device | None = None,
    precision: Precision = "fp32",
    memory_budget: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Lifted:
    """Lift a clip of any length.

    Windows of the model's T frames overlap by half and are blended; after the end of a clip shorter than a
    window its last frame is held. Model and video of different frame rates: the 2D poses are sampled at the
    model's rate and the 3D poses back at the video's, on lines between frames.

    Args:
        contender: The model.
        pose_2d: The 17 Human3.6M joints, screen-normalised.
        sampling: H, K and the rest. A model that needs no noise gives one hypothesis in one step.
        fps: Frames a second of the poses; None: the model's, whatever it is.
        model_fps: Frames a second that the model was trained at; likewise.
        device: Where; the CPU if None.
        precision: In which precision the model computes.
        memory_budget: GiB for the activations of one call, as for ``even_max_batch``.
        progress: Told the batches done and all batches after each.

    Raises:
        BenchmarkError: Sampling out of range, a frame rate that is not positive, or poses that are not
            finite.
    """
    device = device or torch.device("cpu")
    start = time.perf_counter()
    length, num_frames = len(pose_2d), contender.config.num_frames
    at_model = None
    if fps is not None and model_fps is not None and fps != model_fps:
        at_model = positions_at(length, fps, model_fps)
        pose_2d = sample_at(pose_2d, at_model)
    starts = window_starts(len(pose_2d), num_frames)
    if isinstance(contender.denoiser, Lifter | NetworkLifter):
        sampling = replace(sampling, hypotheses=1, steps=1)
    sampling = fit_sampling(sampling, len(starts), contender.config, memory_budget, device)
    cut = cut_windows(pose_2d, starts, num_frames)
    with precision_of(precision, device), torch.no_grad():
        drawn, kept = _draw(contender, cut, sampling, device, progress)
    mean = drawn.mean(dim=1)
    spread = (drawn - mean[:, None]).square().sum(dim=-1).mean(dim=1).sqrt()
    poses, spread = (blend(part, starts, len(pose_2d)) for part in (mean, spread))
    if not (poses.isfinite().all() and spread.isfinite().all()):
        raise BenchmarkError(
            f"{contender.name} gives poses that are not finite: its weights are damaged, or precision "
            f"{precision} does not hold its numbers"
        )
    marks = None if kept is None else _marks(kept, starts, len(pose_2d), num_frames)
    if at_model is not None:
        back = places_among(torch.arange(length, dtype=torch.float64), at_model)
        poses, spread = sample_at(poses, back), sample_at(spread, back)
        marks = None if marks is None else marks[nearest(len(marks), back)]
    return Lifted(
        poses=poses,
        spread=spread,
        kept=marks,
        windows=len(starts),
        window_frames=num_frames,
        seconds=time.perf_counter() - start,
    )


def _draw(
    contender: Contender,
    windows: Float[Tensor, "windows frames joints 2"],
    sampling: Sampling,
    device: torch.device,
    progress: Callable[[int, int], None],
) -> tuple[Float[Tensor, "windows hyps frames joints 3"], Int64[Tensor, "windows kept"] | None]:
    """Hypotheses of every window, and the frames kept of each."""
    denoiser = contender.denoiser.to(device).eval()
    parts = windows.split(sampling.batch_size)
    poses, kept = [], []
    for number, part in enumerate(parts):
        seen = observe(denoiser, part.to(device), sampling, number)
        poses.append(seen.poses.cpu())
        if seen.kept is not None:
            kept.append(seen.kept.cpu())
        progress(number + 1, len(parts))
    return torch.cat(poses), torch.cat(kept) if kept else None


def _marks(
    kept: Int64[Tensor, "windows kept"], starts: Int64[Tensor, " windows"], length: int, num_frames: int
) -> Bool[Tensor, " length"]:
    """Kept frames of windows as marks along the clip."""
    marks = torch.zeros(len(kept), num_frames, dtype=torch.bool).scatter(1, kept, True)
    window, place = leading_window(starts, length, num_frames)
    return marks[window, place]
