"""DenoiserConfig: what it takes to build a denoiser again; a checkpoint carries it beside the weights."""

from dataclasses import asdict, dataclass
from typing import Literal

from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_modules import HTPConfig

Kind = Literal["d3dp", "htp"]


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """A denoiser's kind and sizes; the defaults are the paper's.

    Attributes:
        kind: D3DP, or HTP around it.
        num_frames: T, the longest clip.
        dim: D, channels of a token.
        depth: Pairs of a spatial and a temporal block.
        num_heads: Attention heads.
        drop_path: Stochastic depth rate of the last pair while training.
        htp: Where and how hard to prune; None for D3DP.
    """

    kind: Kind
    num_frames: int = 243
    dim: int = 512
    depth: int = 8
    num_heads: int = 8
    drop_path: float = 0.0
    htp: HTPConfig | None = None

    def build(self) -> D3DPDenoiser:
        """The denoiser, freshly initialised."""
        sizes = {name: value for name, value in asdict(self).items() if name not in ("kind", "htp")}
        return HTPDenoiser(**sizes, config=self.htp) if self.kind == "htp" else D3DPDenoiser(**sizes)
