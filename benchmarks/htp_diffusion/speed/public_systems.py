"""The paper's systems that pruning in time does not apply to, from checkouts that somebody names.

Their sizes are those that their authors publish with weights for Human3.6M.
"""

import os
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.public_code import load_public

_JOINTS = H36M_17.num_joints
_SKELETON = {"n_joints": _JOINTS, "out_joints": _JOINTS}


@dataclass(frozen=True, kw_only=True)
class PublicSystem:
    """One system at its published size.

    Attributes:
        frames: T, frames of a clip.
        frames_out: How many of them a pass predicts.
        build: Makes it from the folder of checkouts; random weights.
        channels_first: Whether a clip is (batch, 2, frames, joints, 1) instead of (batch, frames, joints, 2).
    """

    frames: int
    frames_out: int
    build: Callable[[str | os.PathLike[str]], nn.Module]
    channels_first: bool = False

    def inputs(self) -> tuple[Tensor, ...]:
        """One clip: the same at every call."""
        generator = torch.Generator().manual_seed(0)
        pose_2d = torch.rand(1, self.frames, _JOINTS, 2, generator=generator) * 2 - 1
        return (pose_2d.permute(0, 3, 1, 2)[..., None],) if self.channels_first else (pose_2d,)


def _hot_mixste(root: str | os.PathLike[str]) -> nn.Module:
    sizes = Namespace(channel=512, frames=243, token_num=81, layer_index=3, **_SKELETON)
    return load_public(root, "HoT w/ MixSTE").Model(sizes)


def _mhformer(root: str | os.PathLike[str]) -> nn.Module:
    sizes = Namespace(layers=3, channel=512, d_hid=1024, frames=351, **_SKELETON)
    return load_public(root, "MHFormer").Model(sizes)


def _poseformer(root: str | os.PathLike[str]) -> nn.Module:
    return load_public(root, "PoseFormer").PoseTransformer(
        num_frame=81,
        num_joints=_JOINTS,
        embed_dim_ratio=32,
        depth=4,
        num_heads=8,
        mlp_ratio=2.0,
        qkv_bias=True,
    )


def _poseformer_v2(root: str | os.PathLike[str]) -> nn.Module:
    kept = Namespace(embed_dim_ratio=32, depth=4, number_of_kept_frames=27, number_of_kept_coeffs=27)
    return load_public(root, "PoseFormerV2").PoseTransformerV2(num_frame=243, num_joints=_JOINTS, args=kept)


def _pstmo(root: str | os.PathLike[str]) -> nn.Module:
    sizes = Namespace(layers=4, channel=256, d_hid=512, frames=243, stride_num=[3] * 5, **_SKELETON)
    return load_public(root, "P-STMO").Model(sizes)


PUBLIC_SYSTEMS: dict[str, PublicSystem] = {
    "HoT w/ MixSTE": PublicSystem(frames=243, frames_out=243, build=_hot_mixste),
    "MHFormer": PublicSystem(frames=351, frames_out=1, build=_mhformer),
    "PoseFormer": PublicSystem(frames=81, frames_out=1, build=_poseformer),
    "PoseFormerV2": PublicSystem(frames=243, frames_out=1, build=_poseformer_v2),
    "P-STMO": PublicSystem(frames=243, frames_out=1, build=_pstmo, channels_first=True),
}
"""By the name that the paper gives them. MHFormer computes a pose for every frame, of which its authors use
the middle one."""
