"""MixSTE, plain and with HTP, called as a denoiser is: it looks at the 2D poses alone.

So a lifter is trained, scored and timed by what trains, scores and times denoisers; all its hypotheses and
denoising steps are the same.
"""

from jaxtyping import Float, Real
from torch import Tensor, nn

from htp_diffusion.models.mixste import MixSTE, flow_parts
from htp_modules import HTP, HTPConfig, SpatialGCN


class Lifter(MixSTE):
    """MixSTE that takes a noisy pose and a timestep along, and leaves them aside."""

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The 3D poses."""
        return self.head(self.mix(self.embed(pose_2d)))


class HTPLifter(Lifter):
    """MixSTE with HTP as the paper trains it (Table I, "w/ MixSTE"): the Spatial GCN embeds the joints.

    Args:
        num_frames: Longest clip.
        dim: Channels of a token.
        depth: Pairs of a spatial and a temporal block.
        num_heads: Attention heads of every block and of the recovery.
        drop_path: Stochastic depth rate of the last pair.
        config: Where and how hard to prune.
    """

    def __init__(
        self,
        num_frames: int = 243,
        dim: int = 512,
        depth: int = 8,
        num_heads: int = 8,
        drop_path: float = 0.0,
        config: HTPConfig | None = None,
    ) -> None:
        super().__init__(num_frames, dim=dim, depth=depth, num_heads=num_heads, drop_path=drop_path)
        self.htp = HTP(dim, num_frames, num_heads, config)
        if self.htp.config.spatial_gcn:
            self.Spatial_patch_to_embedding = SpatialGCN(self.in_channels, dim, self.num_joints)

    def compiled_parts(self) -> list[tuple[nn.Module, str]]:
        """Those of the trunk, and HTP's own modules."""
        return [*super().compiled_parts(), *flow_parts(self.htp)]

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The 3D poses."""
        position = self.temporal_position(pose_2d.shape[1])
        first, *rest = self.pairs()
        return self.head(self.htp(pose_2d, [first.after(self.embed), *rest], inject=lambda x: x + position))
