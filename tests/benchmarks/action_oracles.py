"""Denoisers that know the answer, and files to score them on."""

import dataclasses

import numpy as np
import torch
from torch import nn
from written import (
    TINY,
    mpi_poses,
    write_h36m,
    write_mpi_test,
)

from htp_diffusion.comparison.comparison import compare
from htp_diffusion.data import source
from htp_diffusion.data.formats.h36m import H36M_TEST
from htp_diffusion.data.formats.mpi_inf_3dhp_cameras import mpi_test_camera
from htp_diffusion.data.protocol import EVERY_FRAME, cut_clips, cut_set
from htp_diffusion.data.source import Source
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.contender import Contender

# Left and right joints, and the root, of each layout: the field's lists.
MIRROR = {
    "h36m-17": ([4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]),
    "mpi-inf-3dhp-17": ([5, 6, 7, 11, 12, 13], [2, 3, 4, 8, 9, 10]),
}


class Oracle(nn.Module):
    """Knows the pose of every window, and errs by what it is told, joint by joint and frame by frame."""

    def __init__(self, pose_2d, answers, layout="h36m-17"):
        super().__init__()
        self.seen = torch.cat([pose_2d, mirrored(pose_2d, layout)]).flatten(1)
        self.answers = torch.cat([answers, mirrored(answers, layout)])

    def forward(self, pose_2d, noisy, timestep):
        return self.answers[torch.cdist(pose_2d.flatten(1), self.seen).argmin(dim=1)]


def mirrored(pose, layout):
    left, right = MIRROR[layout]
    other = pose.clone()
    other[..., left + right, :] = pose[..., right + left, :]
    other[..., 0] *= -1
    return other


def oracle(found, num_frames, protocol=EVERY_FRAME, err=lambda answers: 0.0):
    windows = [piece for _, piece in cut_clips(found.clips, num_frames, protocol)]
    answers = torch.cat([piece.pose_3d for piece in windows])
    pose_2d = torch.cat([piece.pose_2d for piece in windows])
    return Oracle(pose_2d, answers + err(answers), found.space.layout.name)


def within_bounds(found):
    """The set with poses that the sampler does not clip: those of the fixtures reach beyond its 1.1 m."""
    clips = (
        dataclasses.replace(item, clip=dataclasses.replace(item.clip, pose_3d=item.clip.pose_3d / 2))
        for item in found.clips
    )
    return dataclasses.replace(found, clips=tuple(clips))


def h36m(folder, frames=10, trials=("Walking", "Walking 1", "Photo")):
    path_3d, path_2d, *_ = write_h36m(folder, trials, H36M_TEST, frames=frames)
    found = source.test_clips(Source(dataset="h36m", data=path_3d, keypoints=path_2d), 9)
    # The files repeat the 2D poses from subject to subject: tell the subjects apart.
    for item in found.clips[len(found.clips) // 2 :]:
        item.clip.pose_2d.add_(0.5)
    return within_bounds(found)


def mpi(folder, frames=4, valid=(1, 0, 1, 1)):
    tables = {
        f"TS{i}": mpi_poses(mpi_test_camera(f"TS{i}"), frames, i) | {"valid": np.array(valid)}
        for i in range(1, 7)
    }
    path = write_mpi_test(folder / "data_test_3dhp.npz", **tables)
    return within_bounds(source.test_clips(Source(dataset="3dhp", data=path, annotation="annot3"), 9))


def evaluated(model, config, found, sampling, protocol=EVERY_FRAME, **options):
    """What one model scores, without a clock."""
    cut = cut_set(found, config.num_frames, protocol)
    contender = Contender(name="m", config=config, denoiser=model)
    return compare([contender], cut, sampling, device=torch.device("cpu"), clock=False, **options)


def sampling(hypotheses=2, steps=2, **changes):
    options = {"eta": 1.0, "flip": True, "seed": 3, "batch_size": 5} | changes
    return Sampling(hypotheses=hypotheses, steps=steps, **options)


def config(num_frames, kind="d3dp"):
    return dataclasses.replace(TINY.denoiser(kind), num_frames=num_frames)
