"""The diffusion process over poses: its noise schedule and its sampler."""

from htp_diffusion.diffusion.ddim import Denoiser, max_batch_within, sample, sample_steps, sequence_bytes
from htp_diffusion.diffusion.schedule import CosineSchedule, cosine_schedule

__all__ = [
    "CosineSchedule",
    "Denoiser",
    "cosine_schedule",
    "max_batch_within",
    "sample",
    "sample_steps",
    "sequence_bytes",
]
