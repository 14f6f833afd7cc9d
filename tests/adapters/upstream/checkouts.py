"""The public classes, from checkouts in the folder that HTP_UPSTREAM names (owner+name, as cloned).

They import timm for a handful of names; where it is not installed, those names are lent for the import.
"""

import importlib.util
import os
import sys
import types
from argparse import Namespace
from functools import cache, partial
from pathlib import Path

from torch import nn

from htp_modules.block import DropPath

ROOT = os.environ.get("HTP_UPSTREAM")

FILES = {
    "MixSTE": ("JinluZhang1126+MixSTE", "common/model_cross.py"),
    "HoT MixSTE": ("NationalGAILab+HoT", "model/mixste/mixste.py"),
    "HoT pruned MixSTE": ("NationalGAILab+HoT", "model/mixste/tpc_mixste.py"),
    "D3DP": ("paTRICK-swk+D3DP", "common/mixste.py"),
    "D3DP sampler": ("paTRICK-swk+D3DP", "common/diffusionpose.py"),
    "MotionBERT": ("Walter0807+MotionBERT", "lib/model/DSTformer.py"),
    "MotionBERT action": ("Walter0807+MotionBERT", "lib/model/model_action.py"),
    "HoT MotionBERT": ("NationalGAILab+HoT", "model/motionbert/motionbert.py"),
    "KTPFormer": ("JihuaPeng+KTPFormer", "common/model_ktpformer.py"),
}


def _lent() -> dict[str, types.ModuleType]:
    """Modules that the checkouts import and that may not be installed."""
    names = {
        "timm": {},
        "timm.data": {"IMAGENET_DEFAULT_MEAN": (), "IMAGENET_DEFAULT_STD": ()},
        "timm.models": {},
        "timm.models.helpers": {"load_pretrained": None},
        "timm.models.layers": {
            "DropPath": DropPath,
            "to_2tuple": lambda x: (x, x),
            "trunc_normal_": nn.init.trunc_normal_,
        },
        "timm.models.registry": {"register_model": lambda function: function},
        "local_attention": {"LocalAttention": None},
    }
    made = {}
    for name, content in names.items():
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            made[name] = types.ModuleType(name)
            vars(made[name]).update(content)
    return made


@cache
def load(name: str) -> types.ModuleType:
    """The module of a checkout; its own packages (``common``, ``lib``) are forgotten again afterwards."""
    folder, file = FILES[name]
    root = Path(ROOT or "") / folder
    before = dict(sys.modules)
    sys.modules.update(_lent())
    sys.path.insert(0, str(root))
    try:
        # Registered under the name, so that the classes pickle.
        spec = importlib.util.spec_from_file_location(f"upstream_{name.replace(' ', '_')}", root / file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(root))
        for key in set(sys.modules) - set(before):
            if key.partition(".")[0] in ("common", "lib", "model", "timm", "local_attention"):
                del sys.modules[key]
    return module


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
