"""PublicConfig: what it takes to build a published network again, as it is or patched without training."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

import adapters
from htp_diffusion.models.clip_text import Clip
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.finepose import PROMPTS, FinePOSEDenoiser
from htp_diffusion.models.ktpformer import KTPFormer
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.models.told import ToldDenoiser

PublicModel = Literal["mixste", "d3dp", "motionbert", "motionbert-lite", "ktpformer", "finepose"]

_ROOT = 0  # of the Human3.6M layout
_CLIP_HEAD = 64  # channels


class NetworkLifter(nn.Module):
    """A network that needs no noise, called as a denoiser is: it takes the 2D poses and leaves the rest.

    Args:
        network: MixSTE, KTPFormer or a DSTformer, patched or not.
    """

    def __init__(self, network: MixSTE | KTPFormer | DSTformer) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        pose_2d: Float[Tensor, "batch frames joints 2"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The 3D poses. A DSTformer is told that the detector is sure of every joint.

        Its own answer lies in the image, wherever the person is; here it is told about the root.
        """
        if not isinstance(self.network, DSTformer):
            return self.network(pose_2d)
        poses = self.network(torch.cat((pose_2d, torch.ones_like(pose_2d[..., :1])), dim=-1))
        return poses - poses[..., _ROOT : _ROOT + 1, :]


Published = D3DPDenoiser | NetworkLifter | ToldDenoiser
"""A published network, called as a denoiser is."""


@dataclass(frozen=True, kw_only=True)
class TextSizes:
    """Sizes of what FinePOSE reads its prompts with.

    Attributes:
        action: What it is told.
        prompts: Words of each prompt, in the order of ``finepose.PROMPTS``.
        kept: How many of them are the text's.
        vocabulary: Words that the encoder knows.
        depth: Blocks of the encoder.
        image: Whether the side of CLIP that reads images, which nobody runs, is there too.
    """

    action: str
    prompts: tuple[int, ...]
    kept: int
    vocabulary: int
    depth: int
    image: bool

    def clip(self, dim: int) -> Clip:
        """The encoder, with random weights; as in CLIP, a head has 64 channels."""
        words, heads = sum(self.prompts), max(1, dim // _CLIP_HEAD)
        return Clip(self.vocabulary, words, dim, self.depth, heads, image=self.image)


@dataclass(frozen=True, kw_only=True)
class PublicConfig(DenoiserConfig):
    """A published network's sizes. With ``htp``, an adapter has patched it.

    Attributes:
        network: Whose code it is.
        mlp_ratio: Hidden width of the blocks' MLPs over ``dim``.
        dim_rep: Channels of MotionBERT's motion representation.
        att_fuse: Whether MotionBERT weighs its streams token by token.
        text: What FinePOSE reads its prompts with; None for the others.
    """

    network: PublicModel
    mlp_ratio: float = 2.0
    dim_rep: int = 512
    att_fuse: bool = True
    text: TextSizes | None = None

    @property
    def prunes(self) -> bool:
        """Whether an adapter has patched it."""
        return self.htp is not None

    def build(self) -> Published:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The network, freshly initialised; called as a denoiser is."""
        model = self._whole()
        return model if self.htp is None else adapters.patch(model, self.htp)

    def _whole(self) -> Published:
        if self.network.startswith("motionbert"):
            network = DSTformer(
                dim_feat=self.dim,
                dim_rep=self.dim_rep,
                depth=self.depth,
                num_heads=self.num_heads,
                mlp_ratio=self.mlp_ratio,
                maxlen=self.num_frames,
                att_fuse=self.att_fuse,
            )
            return NetworkLifter(network)
        sizes = {
            "num_frames": self.num_frames,
            "dim": self.dim,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio,
        }
        if self.network == "d3dp":
            return D3DPDenoiser(**sizes)
        if self.network == "finepose" and self.text is not None:
            text = self.text
            own = {"prompts": dict(zip(PROMPTS, text.prompts, strict=True)), "kept": text.kept}
            return ToldDenoiser(FinePOSEDenoiser(**sizes, clip=text.clip(self.dim), **own), text.action)
        return NetworkLifter((KTPFormer if self.network == "ktpformer" else MixSTE)(**sizes))
