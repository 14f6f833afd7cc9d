"""Sampling from a network that sees 2D poses, for tests: the sampler with what is put around a denoiser."""

from collections import deque

from htp_diffusion.diffusion.ddim import sample_steps
from htp_diffusion.diffusion.denoisers import cheaper_early, in_chunks, seeing, with_flip


def drawn_steps(
    network, pose_2d, *, schedule, steps=1, hypotheses=1, flip=None, max_batch=None, early=None, **options
):
    """The predictions of every step."""

    def denoiser(network):
        network = in_chunks(network, max_batch)
        return seeing(network if flip is None else with_flip(network, flip), pose_2d, hypotheses)

    denoise = denoiser(network)
    if early is not None:
        denoise = cheaper_early(denoiser(early), denoise, schedule.ddim_timesteps(steps)[-1][0])
    return sample_steps(
        denoise, tuple(pose_2d.shape[:3]), schedule=schedule, steps=steps, hypotheses=hypotheses,
        dtype=pose_2d.dtype, device=pose_2d.device, **options,
    )  # fmt: skip


def drawn(network, pose_2d, **options):
    """The last of them."""
    return deque(drawn_steps(network, pose_2d, **options), maxlen=1).pop()
