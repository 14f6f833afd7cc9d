"""The public classes, from checkouts in the folder that HTP_UPSTREAM names (owner+name, as cloned)."""

import os
import types
import warnings
from argparse import Namespace
from functools import partial
from unittest import mock

import standins_priors
import torch
from torch import nn

from htp_diffusion.models.clip_text import Clip
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


WORDS, VOCABULARY = 77, 20  # of a text that FinePOSE is given; of the encoder that it is given here


def small_clip(cls: type[nn.Module]) -> None:
    """Let FinePOSE's code load an encoder of one block and few words, in CLIP's form."""
    encoder = partial(Clip, VOCABULARY, WORDS, depth=1, image=False)
    cls.__init__.__globals__["clip"] = Namespace(load=lambda name, device: (encoder(), None))


def finepose(
    frames: int, joints: int, drop_path: float = 0.0, drop: float = 0.0, is_train: bool = True
) -> nn.Module:
    """Its prompts and their attention are 512 wide in its code, and so is everything."""
    cls = load("FinePOSE").MixSTE2
    small_clip(cls)
    options = {"drop_rate": drop, "attn_drop_rate": drop, "drop_path_rate": drop_path, "is_train": is_train}
    with warnings.catch_warnings():  # PyTorch, about the order of axes in the host's text transformer
        warnings.simplefilter("ignore", UserWarning)
        return cls(frames, joints, 2, 512, 3, 8, **options)


class CopyingReLU(nn.ReLU):
    """A rectifier whose output may be written into while gradients are kept."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).clone()


def ktpformer(frames: int, joints: int, drop_path: float = 0.0, drop: float = 0.0) -> nn.Module:
    chain = standins_priors.chain
    options = {"drop_rate": drop, "attn_drop_rate": drop, "drop_path_rate": drop_path}
    model = load("KTPFormer").KTPFormer(chain(joints), chain(frames), frames, joints, 2, 8, 3, 2, **options)
    # The host adds the position in place to what its rectifier returns: today's PyTorch does not train that.
    model.kpattention.attn.kpa.relu = CopyingReLU()
    return model


def stcformer(frames: int, joints: int) -> nn.Module:
    sizes = Namespace(layers=3, d_hid=16, frames=frames, n_joints=joints, out_joints=joints)
    with mock.patch.object(torch.Tensor, "cuda", lambda tensor: tensor):  # called in its constructor
        return load("STCFormer").Model(sizes)


def motionagformer(frames: int, joints: int, drop_path: float = 0.0, drop: float = 0.0) -> nn.Module:
    options = {"drop": drop, "attn_drop": drop, "drop_path": drop_path}
    sizes = {"dim_rep": 12, "num_heads": 2, "num_joints": joints, "neighbour_num": 2, "n_frames": frames}
    return load("MotionAGFormer").MotionAGFormer(3, 3, 8, **options, **sizes)


BUILDERS = {
    "MixSTE": mixste,
    "HoT MixSTE": hot_mixste,
    "D3DP": d3dp,
    "D3DP hypotheses": partial(d3dp, is_train=False),
    "MotionBERT": motionbert,
    "MotionBERT lite": partial(motionbert, rep=16, ratio=4),
    "MotionBERT without fusion": partial(motionbert, att_fuse=False),
    "HoT MotionBERT": hot_motionbert,
    "FinePOSE": finepose,
    "FinePOSE hypotheses": partial(finepose, is_train=False),
    "KTPFormer": ktpformer,
    "STCFormer": stcformer,
    "MotionAGFormer": motionagformer,
}
