"""The public classes, from checkouts in the folder that HTP_UPSTREAM names (owner+name, as cloned)."""

import os
import types
from argparse import Namespace
from functools import partial

from torch import nn

from htp_diffusion.speed.public_code import load_public

ROOT = os.environ.get("HTP_UPSTREAM")


def load(name: str) -> types.ModuleType:
    """The module of a checkout."""
    return load_public(ROOT or "", name)


def _norm(dim: int) -> nn.LayerNorm:
    return nn.LayerNorm(dim, eps=1e-6)


def mixste(
    frames: int, joints: int, drop_path: float = 0.0, drop: float = 0.0, cls: str = "MixSTE2"
) -> nn.Module:
    return getattr(load("MixSTE"), cls)(
        frames, joints, 2, 8, 3, 2, drop_rate=drop, attn_drop_rate=drop, drop_path_rate=drop_path
    )


def d3dp(
    frames: int, joints: int, drop_path: float = 0.0, drop: float = 0.0, is_train: bool = True
) -> nn.Module:
    return load("D3DP").MixSTE2(
        frames,
        joints,
        2,
        8,
        3,
        2,
        drop_rate=drop,
        attn_drop_rate=drop,
        drop_path_rate=drop_path,
        is_train=is_train,
    )


def motionbert(
    frames: int,
    joints: int,
    drop_path: float = 0.0,
    drop: float = 0.0,
    rep: int = 8,
    ratio: int = 2,
    att_fuse: bool = True,
) -> nn.Module:
    return load("MotionBERT").DSTformer(
        3, 3, 8, rep, 3, 2, ratio, joints, frames, True, None, drop, drop, drop_path, _norm, att_fuse
    )


def hot_mixste(frames: int, joints: int) -> nn.Module:
    return load("HoT MixSTE").Model(Namespace(channel=8, d_hid=16, n_joints=joints, frames=frames))


def hot_pruned_mixste(frames: int, joints: int) -> nn.Module:
    options = Namespace(channel=8, d_hid=16, n_joints=joints, frames=frames, token_num=3, layer_index=1)
    return load("HoT pruned MixSTE").Model(options)


def hot_motionbert(frames: int, joints: int) -> nn.Module:
    """Its sizes are fixed in its code, but for the table's length."""
    model = load("HoT MotionBERT").Model(None)
    model.temp_embed = nn.Parameter(model.temp_embed[:, :frames].clone())
    return model


BUILDERS = {
    "MixSTE": mixste,
    "HoT MixSTE": hot_mixste,
    "D3DP": d3dp,
    "D3DP hypotheses": partial(d3dp, is_train=False),
    "MotionBERT": motionbert,
    "MotionBERT lite": partial(motionbert, rep=16, ratio=4),
    "MotionBERT without fusion": partial(motionbert, att_fuse=False),
    "HoT MotionBERT": hot_motionbert,
}
