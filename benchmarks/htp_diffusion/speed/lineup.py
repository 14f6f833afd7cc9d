"""Line-up: the models that are timed, host by host: plain, pruned, and from the host's public code."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

import adapters
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.clip_text import Clip
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.finepose import FinePOSEDenoiser
from htp_diffusion.models.ktpformer import KTPFormerDenoiser
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.counting import Count, count
from htp_diffusion.speed.public_code import public_d3dp, public_mixste, public_motionbert
from htp_diffusion.speed.public_hosts import (
    public_finepose,
    public_ktpformer,
    public_motionagformer,
    public_stcformer,
)
from htp_diffusion.speed.traffic import moved_elements
from htp_modules import HTPConfig

Host = Literal[
    "d3dp",
    "mixste",
    "motionbert",
    "finepose",
    "ktpformer",
    "ktpformer-denoiser",
    "stcformer",
    "motionagformer",
]

HOST_NAMES: dict[Host, str] = {
    "d3dp": "D3DP",
    "mixste": "MixSTE",
    "motionbert": "MotionBERT",
    "finepose": "FinePOSE",
    "ktpformer": "KTPFormer",
    "ktpformer-denoiser": "KTPFormer denoiser",
    "stcformer": "STCFormer",
    "motionagformer": "MotionAGFormer",
}
PUBLIC_ALONE: tuple[Host, ...] = ("ktpformer", "stcformer", "motionagformer")
"""Hosts that this project has no class of."""
SAMPLED: tuple[Host, ...] = ("d3dp", "finepose", "ktpformer-denoiser")
"""Denoisers that whole samplings are timed of."""
_PLAIN_ALONE: tuple[Host, ...] = ("ktpformer-denoiser",)  # a rival: no adapter is written for it
_PUBLIC_CODE: dict[Host, Callable[..., nn.Module]] = {
    "d3dp": public_d3dp,
    "mixste": public_mixste,
    "motionbert": public_motionbert,
}
_PUBLIC_PATCHED: dict[Host, Callable[..., nn.Module]] = {
    "finepose": public_finepose,
    "ktpformer": public_ktpformer,
    "stcformer": public_stcformer,
    "motionagformer": public_motionagformer,
}
_FLOAT32_ALONE: tuple[Host, ...] = ("finepose", "motionagformer")  # the public code casts to it
_WORDS = 49408, 77  # of CLIP's vocabulary, and of a text
_SENTENCES = 7  # that FinePOSE is told
_PUBLIC_TOLERANCE = 1e-4  # of the largest output in float32, in which D3DP computes its timestep embedding
_TIMESTEPS = 1000  # diffusion times that a denoiser may be asked for


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the models.

    Attributes:
        frames: T.
        dim: D, channels of a token.
        depth: Pairs of blocks of D3DP and MixSTE.
        motionbert_depth: Dual blocks of MotionBERT.
        heads: Attention heads.
    """

    frames: int
    dim: int
    depth: int
    motionbert_depth: int
    heads: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Entrant:
    """A model that is timed.

    Attributes:
        name: For tables.
        host: What it is, or prunes.
        model: It, in evaluation mode, with random weights.
        twin: The model whose exact output is expected of it: itself, or for public code beside ours our own
            host, which has the same weights.
        own: Whether it is this project's code.
        cost: Of one pass over one clip.
        elements: Numbers that the operations of this pass read and write.
    """

    name: str
    host: Host
    model: nn.Module
    twin: nn.Module
    own: bool
    cost: Count
    elements: int

    @property
    def widens(self) -> bool:
        """Whether it computes in float64 as well, so that it can be checked there."""
        return self.own or self.host not in _FLOAT32_ALONE


def random_inputs(host: Host, batch: int, frames: int) -> tuple[Tensor, ...]:
    """What a host is called with: the same at every call.

    2D poses; for MotionBERT and MotionAGFormer with a confidence, for the denoisers with noisy 3D poses and a
    timestep for each clip, for FinePOSE with the words of the prompts.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (batch, frames, H36M_17.num_joints)
    pose_2d = torch.rand(*shape, 2, generator=generator) * 2 - 1
    if host in ("mixste", "ktpformer", "stcformer"):
        return (pose_2d,)
    if host in ("motionbert", "motionagformer"):
        return (torch.cat((pose_2d, torch.rand(*shape, 1, generator=generator)), dim=-1),)
    noisy = torch.randn(*shape, 3, generator=generator)
    inputs = pose_2d, noisy, torch.randint(_TIMESTEPS, (batch,), generator=generator)
    if host != "finepose":
        return inputs
    vocabulary, words = _WORDS
    told = torch.randint(vocabulary, (batch, _SENTENCES, words), generator=generator)
    return *inputs, told[:, 0], told[:, 1:]


def build_host(host: Host, sizes: Sizes, pruning: HTPConfig | None = None) -> nn.Module:
    """One of our hosts with random weights: plain, or pruned from scratch as the paper's models are.

    Raises:
        HTPError: Sizes that do not fit each other.
    """
    if host == "d3dp":
        kind = "d3dp" if pruning is None else "htp"
        return DenoiserConfig(
            kind=kind,
            num_frames=sizes.frames,
            dim=sizes.dim,
            depth=sizes.depth,
            num_heads=sizes.heads,
            htp=pruning,
        ).build()
    model: nn.Module
    if host == "mixste":
        model = MixSTE(sizes.frames, dim=sizes.dim, depth=sizes.depth, num_heads=sizes.heads)
    elif host == "ktpformer-denoiser":
        model = KTPFormerDenoiser(sizes.frames, dim=sizes.dim, depth=sizes.depth, num_heads=sizes.heads)
    elif host == "finepose":
        clip = Clip(*_WORDS, dim=sizes.dim, image=False)
        model = FinePOSEDenoiser(
            sizes.frames, dim=sizes.dim, depth=sizes.depth, num_heads=sizes.heads, clip=clip
        )
    else:
        model = DSTformer(
            dim_feat=sizes.dim,
            dim_rep=sizes.dim,
            depth=sizes.motionbert_depth,
            num_heads=sizes.heads,
            maxlen=sizes.frames,
        )
    return model if pruning is None else _pruned(model, pruning)


def _pruned(model: nn.Module, pruning: HTPConfig) -> nn.Module:
    """Interpolation is for hosts that are trained, which keep their embedding.

    The other options are the adapter's own: MotionBERT keeps its linear embedding.
    """
    return adapters.patch(
        model,
        from_scratch=pruning.recovery != "interpolate",
        num_sft_layers=pruning.num_sft_layers,
        num_keep=pruning.num_keep,
        recovery=pruning.recovery,
    )


def line_up(
    hosts: Sequence[Host],
    sizes: Sizes,
    prunings: Sequence[HTPConfig],
    public: Path | None,
    device: torch.device,
) -> list[Entrant]:
    """Each host plain, then pruned, then its public code; the plain one first.

    FinePOSE, where there is public code, and the hosts of ``PUBLIC_ALONE``: the public code itself, plain and
    pruned.

    Args:
        hosts: The hosts.
        sizes: Their sizes.
        prunings: How each is pruned.
        public: Folder of checkouts; None leaves public code out.
        device: Where the models go.

    Raises:
        BenchmarkError: No checkout, one that does not import, or outputs that differ from ours.
        HTPError: Sizes that do not fit each other.
    """
    entrants = []
    for host in hosts:
        name = HOST_NAMES[host]
        build = _entrant if public is None or host not in _PUBLIC_PATCHED else partial(_public_alone, public)
        plain = build(name, host, sizes, None, device)
        entrants.append(plain)
        for pruning in () if host in _PLAIN_ALONE else prunings:
            wraps = "" if host == "d3dp" else f" w/ {name}"
            pruned = f"HTP{wraps} n={pruning.num_sft_layers}"
            entrants.append(build(pruned, host, sizes, pruning, device))
        if public is not None and host in _PUBLIC_CODE:
            entrants.append(_public(public, plain, sizes, device))
    return entrants


def _entrant(name: str, host: Host, sizes: Sizes, pruning: HTPConfig | None, device: torch.device) -> Entrant:
    """One of our models, built and counted."""
    with torch.device("meta"):
        model = build_host(host, sizes, pruning)
        inputs = tuple(torch.empty_like(part, device="meta") for part in random_inputs(host, 1, sizes.frames))
    cost, elements = count(model, inputs), moved_elements(model, inputs)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_host(host, sizes, pruning).eval().to(device)
    return Entrant(name=name, host=host, model=model, twin=model, own=True, cost=cost, elements=elements)


def _public_alone(
    root: Path, name: str, host: Host, sizes: Sizes, pruning: HTPConfig | None, device: torch.device
) -> Entrant:
    """Public code, pruned if asked for; counted where it is, as some of it takes no meta device."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _PUBLIC_PATCHED[host](
            root, frames=sizes.frames, dim=sizes.dim, depth=sizes.depth, heads=sizes.heads
        ).eval()
        if pruning is not None:
            model = _pruned(model, pruning)
    inputs = random_inputs(host, 1, sizes.frames)
    cost, elements = count(model, inputs), moved_elements(model, inputs)
    model = model.eval().to(device)
    return Entrant(name=name, host=host, model=model, twin=model, own=False, cost=cost, elements=elements)


def _public(root: Path, plain: Entrant, sizes: Sizes, device: torch.device) -> Entrant:
    """The public code with the weights of ours, once its output is seen to be that of ours."""
    name = HOST_NAMES[plain.host]
    model = _PUBLIC_CODE[plain.host](
        root,
        frames=sizes.frames,
        dim=sizes.dim,
        depth=sizes.motionbert_depth if plain.host == "motionbert" else sizes.depth,
        heads=sizes.heads,
    ).eval()
    try:
        model.load_state_dict(plain.model.state_dict())
    except RuntimeError as error:
        raise BenchmarkError(f"the public {name} does not take the weights of ours: {error}") from error
    inputs = random_inputs(plain.host, 1, sizes.frames)
    with torch.inference_mode():
        expected = copy.deepcopy(plain.model).cpu()(*inputs)
        difference = float((model(*inputs) - expected).abs().max() / expected.abs().max())
    if not difference <= _PUBLIC_TOLERANCE:
        raise BenchmarkError(
            f"the public {name} and ours, with the same weights, differ by {difference:.1e} of the largest "
            f"output, expected at most {_PUBLIC_TOLERANCE:.0e}: nothing is timed"
        )
    return Entrant(
        name=f"{name}, public code",
        host=plain.host,
        model=model.to(device),
        twin=plain.model,
        own=False,
        cost=plain.cost,
        elements=plain.elements,
    )
