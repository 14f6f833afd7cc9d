"""The public hosts that are patched as they are, from checkouts that somebody names."""

import os
import warnings
from argparse import Namespace
from unittest import mock

import torch
from torch import Tensor, nn

from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.public_code import load_public
from htp_modules.graph import chain_graph, skeleton_graph

_STCFORMER_LAYERS = 6  # of the published STCFormer-L
_AGFORMER_LAYERS, _AGFORMER_DIM, _NEIGHBOURS = 26, 128, 2  # of the published MotionAGFormer-L


def public_finepose(
    root: str | os.PathLike[str], *, frames: int, dim: int, depth: int, heads: int
) -> nn.Module:
    """The public FinePOSE's denoiser; its prompts are 512 wide, so dim must be. CLIP has random weights."""
    network = load_public(root, "FinePOSE").MixSTE2
    sizes = (frames, H36M_17.num_joints, 2, dim, depth, heads, 2.0, True)
    with warnings.catch_warnings():  # PyTorch, about the order of axes in the host's text transformer
        warnings.simplefilter("ignore", UserWarning)
        return network(*sizes, drop_path_rate=0.0, is_train=True)


def public_ktpformer(
    root: str | os.PathLike[str], *, frames: int, dim: int, depth: int, heads: int
) -> nn.Module:
    """The public KTPFormer, which lifts; its own depth leaves out the first of ``depth`` pairs."""
    graphs = skeleton_graph(H36M_17.num_joints), chain_graph(frames, torch.zeros(()))
    sizes = (frames, H36M_17.num_joints, 2, dim, depth - 1, heads)
    return load_public(root, "KTPFormer").KTPFormer(*graphs, *sizes, drop_path_rate=0.0)


def public_stcformer(
    root: str | os.PathLike[str], *, frames: int, dim: int, depth: int, heads: int
) -> nn.Module:
    """The public STCFormer-L, whose depth and heads are its own."""
    joints = H36M_17.num_joints
    sizes = Namespace(layers=_STCFORMER_LAYERS, d_hid=dim, frames=frames, n_joints=joints, out_joints=joints)
    with mock.patch.object(Tensor, "cuda", lambda tensor: tensor):  # called in its constructor
        return load_public(root, "STCFormer").Model(sizes)


def public_motionagformer(
    root: str | os.PathLike[str], *, frames: int, dim: int, depth: int, heads: int
) -> nn.Module:
    """The public MotionAGFormer-L, whose depth and width are its own."""
    return load_public(root, "MotionAGFormer").MotionAGFormer(
        _AGFORMER_LAYERS, 3, _AGFORMER_DIM, num_heads=heads, neighbour_num=_NEIGHBOURS, n_frames=frames
    )
