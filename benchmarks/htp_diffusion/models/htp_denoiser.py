"""The HTP denoiser: D3DP's denoiser with its time axis pruned (paper, Section III-E).

What differs from D3DP: a Spatial GCN embeds the 2D pose, and the noisy 3D pose joins it by a linear map; the
timestep enters with the temporal positions, after TCEP has read the tokens; the flow from there on is
:class:`htp_modules.HTP`.
"""

from jaxtyping import Float, Real
from torch import Tensor, nn

from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.mixste import COORDINATES, flow_parts
from htp_modules import HTP, HTPConfig, SpatialGCN


class HTPDenoiser(D3DPDenoiser):
    """Predicts the clean 3D poses from noisy ones, most layers seeing the frames that matter alone.

    Args:
        num_frames: Longest clip.
        num_joints: Joints of the skeleton.
        in_channels: Channels of a 2D joint.
        dim: Channels of a token.
        depth: Pairs of a spatial and a temporal block.
        num_heads: Attention heads of every block and of the recovery.
        mlp_ratio: Hidden width of the blocks' MLPs over ``dim``.
        drop_path: Stochastic depth rate of the last pair.
        config: Where and how hard to prune. ``denoiser.htp.config`` changes k, f and n later.
    """

    def __init__(
        self,
        num_frames: int = 243,
        num_joints: int = 17,
        in_channels: int = 2,
        dim: int = 512,
        depth: int = 8,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
        drop_path: float = 0.0,
        config: HTPConfig | None = None,
    ) -> None:
        super().__init__(num_frames, num_joints, in_channels, dim, depth, num_heads, mlp_ratio, drop_path)
        self.htp = HTP(dim, num_frames, num_heads, config)
        if self.htp.config.spatial_gcn:
            self.Spatial_patch_to_embedding = SpatialGCN(in_channels, dim, num_joints, COORDINATES)

    def compiled_parts(self) -> list[tuple[nn.Module, str]]:
        """Those of D3DP's denoiser, and HTP's own modules."""
        return [*super().compiled_parts(), *flow_parts(self.htp)]

    def forward(
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The clean 3D poses.

        Raises:
            ShapeError: The clips differ in batch, frames or joints, or do not fit the model.
        """
        moment = self.temporal_position(pose_2d.shape[1]) + self.time_mlp(timestep)[:, None, None]
        first, *rest = self.pairs()
        first = first.after(lambda pose_2d: self.embed(pose_2d, noisy))
        return self.head(self.htp(pose_2d, [first, *rest], inject=lambda x: x + moment))
