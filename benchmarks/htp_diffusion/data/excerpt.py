"""Excerpts: windows cut into shorter ones."""

from dataclasses import replace

import torch

from htp_diffusion.data.motion import Windows
from htp_diffusion.errors import BenchmarkError


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
