"""Excerpts: some windows of clips, and windows cut into shorter ones."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from htp_diffusion.data.motion import Windows
from htp_diffusion.errors import BenchmarkError

_STACKED = ("pose_2d", "pose_3d", "root", "scored", "start")


def every_window(clips: Sequence[Windows], every: int) -> list[Windows]:
    """Each clip's first window and every ``every``-th after it.

    Raises:
        BenchmarkError: ``every`` below 1.
    """
    if every < 1:
        raise BenchmarkError(f"every expects at least 1, got {every}")
    return [replace(clip, **{name: getattr(clip, name)[::every] for name in _STACKED}) for clip in clips]


def shorter_windows(clip: Windows, num_frames: int) -> Windows:
    """Cut each window of a clip into consecutive ones; the last is aligned to the end of the window.

    The same frames are scored as before, each of them once.

    Raises:
        BenchmarkError: The windows are shorter already.
    """
    length = clip.pose_2d.shape[1]
    if not 1 <= num_frames <= length:
        raise BenchmarkError(f"windows of {length} frames cannot be cut into windows of {num_frames}")
    count = -(-length // num_frames)
    new = torch.arange(count) * num_frames  # the first frame that belongs to each
    start = new.clamp(max=length - num_frames)
    frame = start[:, None] + torch.arange(num_frames)
    return replace(
        clip,
        pose_2d=clip.pose_2d[:, frame].flatten(0, 1),
        pose_3d=clip.pose_3d[:, frame].flatten(0, 1),
        root=clip.root[:, frame].flatten(0, 1),
        scored=(clip.scored[:, frame] & (frame >= new[:, None])).flatten(0, 1),
        start=(clip.start[:, None] + start).flatten(),
    )
