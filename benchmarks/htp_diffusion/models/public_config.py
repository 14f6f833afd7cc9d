"""PublicConfig: what it takes to build a published network again, as it is or patched without training."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

import adapters
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.mixste import MixSTE

PublicModel = Literal["mixste", "d3dp", "motionbert", "motionbert-lite"]

_ROOT = 0  # of the Human3.6M layout


class NetworkLifter(nn.Module):
    """A network that needs no noise, called as a denoiser is: it takes the 2D poses and leaves the rest.

    Args:
        network: MixSTE or a DSTformer, patched or not.
    """

    def __init__(self, network: MixSTE | DSTformer) -> None:
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
        if isinstance(self.network, MixSTE):
            return self.network(pose_2d)
        poses = self.network(torch.cat((pose_2d, torch.ones_like(pose_2d[..., :1])), dim=-1))
        return poses - poses[..., _ROOT : _ROOT + 1, :]


@dataclass(frozen=True, kw_only=True)
class PublicConfig(DenoiserConfig):
    """A published network's sizes. With ``htp``, an adapter has patched it.

    Attributes:
        network: Whose code it is.
        mlp_ratio: Hidden width of the blocks' MLPs over ``dim``.
        dim_rep: Channels of MotionBERT's motion representation.
        att_fuse: Whether MotionBERT weighs its streams token by token.
    """

    network: PublicModel
    mlp_ratio: float = 2.0
    dim_rep: int = 512
    att_fuse: bool = True

    def build(self) -> D3DPDenoiser | NetworkLifter:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The network, freshly initialised; called as a denoiser is."""
        model = self._whole()
        return model if self.htp is None else adapters.patch(model, self.htp)

    def _whole(self) -> D3DPDenoiser | NetworkLifter:
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
        kind = D3DPDenoiser if self.network == "d3dp" else MixSTE
        model = kind(
            num_frames=self.num_frames,
            dim=self.dim,
            depth=self.depth,
            num_heads=self.num_heads,
            mlp_ratio=self.mlp_ratio,
        )
        return model if isinstance(model, D3DPDenoiser) else NetworkLifter(model)
