"""The public code of the hosts, run from checkouts that somebody names; nothing of it is in this project.

Its files import timm, scipy and such for a handful of names; where one is not installed, those are lent for
the import. CLIP is always lent, with random weights: the real one would fetch its own.
"""

import importlib.util
import os
import sys
import types
import warnings
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

from torch import nn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.clip_text import Clip
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.cosine_transform import dct, idct
from htp_modules.block import NORM_EPS, DropPath

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
    "FinePOSE": ("PKU-ICST-MIPL+FinePOSE_CVPR2024", "common/mixste_finepose.py"),
    "FinePOSE sampler": ("PKU-ICST-MIPL+FinePOSE_CVPR2024", "common/finepose.py"),
    "STCFormer": ("zhenhuat+STCFormer", "model/stcformer.py"),
    "MotionAGFormer": ("TaatiTeam+MotionAGFormer", "model/MotionAGFormer.py"),
    "HoT w/ MixSTE": ("NationalGAILab+HoT", "model/mixste/hot_mixste.py"),
    "HoT w/ MotionBERT": ("NationalGAILab+HoT", "model/motionbert/hot_motionbert.py"),
    "HoT w/ MotionAGFormer": ("NationalGAILab+HoT", "model/motionagformer/hot_motionagformer.py"),
    "MHFormer": ("Vegetebird+MHFormer", "model/mhformer.py"),
    "PoseFormer": ("zczcwh+PoseFormer", "common/model_poseformer.py"),
    "PoseFormerV2": ("QitaoZhao+PoseFormerV2", "common/model_poseformer.py"),
    "P-STMO": ("paTRICK-swk+P-STMO", "model/stmo.py"),
    "PoseMamba": ("nankingjing+PoseMamba", "lib/model/PoseMamba.py"),
}
_LENT_ALWAYS = ("clip",)


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
        "timm.models.vision_transformer": {"_cfg": None},
        "fvcore": {},
        "fvcore.nn": dict.fromkeys(("FlopCountAnalysis", "flop_count_str", "flop_count", "parameter_count")),
        "torchvision": {},
        "torchvision.models": {"VisionTransformer": None},
        "triton": {"jit": lambda function: function},
        "triton.language": {"constexpr": int},
        "torch_dct": {"dct": dct, "idct": idct},
        "scipy": {},
        "scipy.sparse": {},
        "clip": {"load": lambda name, device: (Clip(), None)},
    }
    made: dict[str, types.ModuleType] = {}
    for name, content in names.items():
        package = name.partition(".")[0]
        if package in _LENT_ALWAYS or importlib.util.find_spec(package) is None:
            made[name] = types.ModuleType(name)
            vars(made[name]).update(content)
    return made


@cache
def load_public(root: str | os.PathLike[str], name: str) -> types.ModuleType:
    """Import one of ``FILES``; its own packages (``common``, ``lib``, ``model``) are free again afterwards.

    Args:
        root: Folder of the checkouts, each called owner+name.
        name: Key of ``FILES``.

    Raises:
        BenchmarkError: The checkout is not there, or does not import.
    """
    folder, file = FILES[name]
    checkout = Path(root) / folder
    if not (checkout / file).is_file():
        raise BenchmarkError(f"{root} holds no {folder}/{file}: clone {folder.replace('+', '/')} there")
    # Registered under the name, so that the classes pickle.
    spec = importlib.util.spec_from_file_location(f"upstream_{name.replace(' ', '_')}", checkout / file)
    if spec is None or spec.loader is None:
        raise BenchmarkError(f"{checkout / file} is not Python")
    before = dict(sys.modules)
    lent = _lent()
    sys.modules.update(lent)
    sys.path.insert(0, str(checkout))
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        with warnings.catch_warnings():  # what a checkout does the old way is not ours to tell
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
    except Exception as error:  # whatever a checkout's lines raise
        raise BenchmarkError(f"{checkout / file} does not import: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(checkout))
        for key in set(sys.modules) - set(before):
            if key in lent:
                del sys.modules[key]
            elif key.partition(".")[0] in ("common", "lib", "model"):
                _rename(key, f"upstream_{name.replace(' ', '_')}.{key}")
    return module


def _rename(key: str, name: str) -> None:
    """Give a checkout's module a name that no other checkout has; its classes pickle under it."""
    module = sys.modules.pop(key)
    sys.modules[name] = module
    module.__name__ = name  # torch.compile imports a function's module by the name in its globals
    for value in vars(module).values():
        if isinstance(value, type) and value.__module__ == key:
            value.__module__ = name


def public_d3dp(root: str | os.PathLike[str], *, frames: int, dim: int, depth: int, heads: int) -> nn.Module:
    """The public D3DP's denoiser, called as ours is; its parameters have the names of ours."""
    network = partial(load_public(root, "D3DP").MixSTE2, is_train=True)
    return _mixste(network, frames, dim, depth, heads)


def public_mixste(
    root: str | os.PathLike[str], *, frames: int, dim: int, depth: int, heads: int
) -> nn.Module:
    """The public MixSTE; its parameters have the names of ours."""
    return _mixste(load_public(root, "MixSTE").MixSTE2, frames, dim, depth, heads)


def _mixste(network: Callable[..., nn.Module], frames: int, dim: int, depth: int, heads: int) -> nn.Module:
    return network(
        num_frame=frames,
        num_joints=H36M_17.num_joints,
        in_chans=2,
        embed_dim_ratio=dim,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2.0,
        qkv_bias=True,
        drop_path_rate=0.0,
    )


def public_motionbert(
    root: str | os.PathLike[str], *, frames: int, dim: int, depth: int, heads: int
) -> nn.Module:
    """The public MotionBERT's DSTformer; its parameters have the names of ours."""
    return load_public(root, "MotionBERT").DSTformer(
        dim_in=3,
        dim_out=3,
        dim_feat=dim,
        dim_rep=dim,
        depth=depth,
        num_heads=heads,
        mlp_ratio=2,
        num_joints=H36M_17.num_joints,
        maxlen=frames,
        qkv_bias=True,
        drop_path_rate=0.0,
        norm_layer=partial(nn.LayerNorm, eps=NORM_EPS),
        att_fuse=True,
    )
