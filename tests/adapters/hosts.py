"""The hosts that the contract runs over: our own models, stand-ins for the public ones, real checkouts."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import checkouts
import standins
import standins_agformer
import standins_priors as priors
import torch
from torch import Tensor, nn

import adapters
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.mixste import MixSTE

FRAMES, JOINTS, DIM, DEPTH, HEADS = 9, 5, 8, 3, 2


@dataclass(frozen=True)
class Host:
    """A host in small.

    Attributes:
        name: For the test's id.
        build: Makes it for (frames, joints); further options where the class has them.
        patch: The function that patches it.
        kind: What its forward takes.
        any_length: Whether the host alone takes clips shorter than it was built for.
        joints: The joints that it is built for; None if any number.
    """

    name: str
    build: Callable[..., nn.Module]
    patch: Callable[..., nn.Module]
    kind: str
    any_length: bool = False
    joints: int | None = None

    def make(self, frames: int = FRAMES, joints: int = JOINTS, **options: Any) -> nn.Module:
        """With random weights, in evaluation mode."""
        model = self.build(frames, self.joints or joints, **options)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.normal_(0.0, min(0.25, 0.7 * (parameter.shape or (1,))[-1] ** -0.5))
                if parameter.ndim == 1 and name.endswith("weight"):  # of a norm
                    parameter += 1.0
        return model.eval()

    def inputs(self, batch: int = 2, frames: int = FRAMES, joints: int = JOINTS) -> tuple[Tensor, ...]:
        """Random arguments of the forward."""
        shape = (batch, frames, self.joints or joints)
        if self.kind == "mixste":
            return (torch.randn(*shape, 2),)
        if self.kind in ("motionbert", "motionagformer"):
            return (torch.randn(*shape, 3),)
        several = self.kind.endswith("hyps")
        noisy = torch.randn(batch, 2, *shape[1:], 3) if several else torch.randn(*shape, 3)
        inputs = torch.randn(*shape, 2), noisy, torch.randint(1000, (batch,))
        if not self.kind.startswith("finepose"):
            return inputs
        length = checkouts.WORDS if self.name.startswith("real") else priors.WORDS
        words = torch.randint(priors.VOCABULARY, (batch, 7, length))
        return *inputs, words[:, 0].clamp(max=priors.WORDS - 1), words[:, 1:]


def _ours(cls: type[nn.Module], frames: int, joints: int, drop_path: float = 0.0) -> nn.Module:
    return cls(
        num_frames=frames, num_joints=joints, dim=DIM, depth=DEPTH, num_heads=HEADS, drop_path=drop_path
    )


def _our_dstformer(frames: int, joints: int, drop_path: float = 0.0) -> nn.Module:
    return DSTformer(3, 3, DIM, 12, DEPTH, HEADS, 2, frames, joints)


def _trunk(cls: type[nn.Module], frames: int, joints: int, depth: int = DEPTH, **options: Any) -> nn.Module:
    return cls(frames, joints, DIM, depth, HEADS, **options)


def _dstformer(frames: int, joints: int, **options: Any) -> nn.Module:
    return standins.DSTformer(maxlen=frames, joints=joints, **options)


_MIXSTE, _D3DP, _MOTIONBERT = adapters.patch_mixste, adapters.patch_d3dp, adapters.patch_motionbert

OURS = (
    Host("our-mixste", partial(_ours, MixSTE), _MIXSTE, "mixste", any_length=True),
    Host("our-d3dp", partial(_ours, D3DPDenoiser), _D3DP, "d3dp", any_length=True),
    Host("our-motionbert", _our_dstformer, _MOTIONBERT, "motionbert", any_length=True),
)
PUBLIC = (
    Host("mixste", partial(_trunk, standins.MixSTE2), _MIXSTE, "mixste"),
    Host("d3dp", partial(_trunk, standins.Denoiser), _D3DP, "d3dp"),
    Host("d3dp-hyps", partial(_trunk, standins.Denoiser, is_train=False), _D3DP, "d3dp-hyps"),
    Host("motionbert", _dstformer, _MOTIONBERT, "motionbert", any_length=True),
)
_FINEPOSE = adapters.patch_finepose
PRIORS = (
    Host("finepose", partial(_trunk, priors.FinePOSE), _FINEPOSE, "finepose"),
    Host("finepose-hyps", partial(_trunk, priors.FinePOSE, is_train=False), _FINEPOSE, "finepose-hyps"),
    Host("ktpformer", partial(_trunk, priors.KTPFormer), adapters.patch_ktpformer, "mixste"),
    Host("stcformer", partial(_trunk, priors.STCFormer), adapters.patch_stcformer, "mixste", any_length=True),
)
_AGFORMER = adapters.patch_motionagformer
AGFORMERS = (
    Host("motionagformer", partial(_trunk, standins_agformer.MotionAGFormer), _AGFORMER, "motionagformer"),
    Host(
        "motionagformer-mean",
        partial(_trunk, standins_agformer.MotionAGFormer, fuse=False),
        _AGFORMER,
        "motionagformer",
    ),
)
PLAIN = Host(
    "plain", partial(_dstformer, att_fuse=False, mlp_ratio=4), _MOTIONBERT, "motionbert", any_length=True
)

_REAL = {
    "MixSTE": (_MIXSTE, "mixste", False, None),
    "HoT MixSTE": (_MIXSTE, "mixste", False, None),
    "D3DP": (_D3DP, "d3dp", False, None),
    "D3DP hypotheses": (_D3DP, "d3dp-hyps", False, None),
    "MotionBERT": (_MOTIONBERT, "motionbert", True, None),
    "MotionBERT lite": (_MOTIONBERT, "motionbert", True, None),
    "MotionBERT without fusion": (_MOTIONBERT, "motionbert", True, None),
    "HoT MotionBERT": (_MOTIONBERT, "motionbert", False, 17),
    "FinePOSE": (_FINEPOSE, "finepose", False, None),
    "FinePOSE hypotheses": (_FINEPOSE, "finepose-hyps", False, None),
    "KTPFormer": (adapters.patch_ktpformer, "mixste", False, 17),
    "STCFormer": (adapters.patch_stcformer, "mixste", True, 17),
    "MotionAGFormer": (_AGFORMER, "motionagformer", False, 17),
}
REAL = tuple(
    Host(f"real {name}", checkouts.BUILDERS[name], *rest)
    for name, rest in (_REAL.items() if checkouts.ROOT else ())
)
ALL = (*OURS, *PUBLIC, *PRIORS, *AGFORMERS, PLAIN, *REAL)
# For the slow tests, with two blocks each: ours share their structure with the stand-ins, and the modes of
# D3DP most of their code.
GRAPHS = (
    *(
        replace(host, build=partial(host.build, depth=2))
        for host in (PUBLIC[0], *PUBLIC[2:], *PRIORS[1:], AGFORMERS[0])
    ),
    *REAL,
)
# With one block each, for tests that trace a model and are not about its blocks: a host, and one whose graph
# depends on the frames.
TRACED = tuple(replace(host, build=partial(host.build, depth=1)) for host in (PUBLIC[0], AGFORMERS[0]))
