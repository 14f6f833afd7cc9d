"""DenoiserConfig: what it takes to build a denoiser again; a checkpoint carries it beside the weights."""

from dataclasses import dataclass
from typing import Literal

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.htp_denoiser import HTPDenoiser
from htp_diffusion.models.lifter import HTPLifter, Lifter
from htp_modules import HTPConfig

Kind = Literal["d3dp", "htp", "mixste", "htp-mixste"]


@dataclass(frozen=True, kw_only=True)
class DenoiserConfig:
    """A denoiser's kind and sizes; the defaults are the paper's.

    Attributes:
        kind: D3DP or MixSTE, which needs no noise, each as it is or with HTP.
        num_frames: T, the longest clip.
        dim: D, channels of a token.
        depth: Pairs of a spatial and a temporal block.
        num_heads: Attention heads.
        drop_path: Stochastic depth rate of the last pair while training.
        htp: Where and how hard to prune; None without HTP.
    """

    kind: Kind
    num_frames: int = 243
    dim: int = 512
    depth: int = 8
    num_heads: int = 8
    drop_path: float = 0.0
    htp: HTPConfig | None = None

    @property
    def prunes(self) -> bool:
        """Whether HTP is in it."""
        return self.kind in ("htp", "htp-mixste")

    def check_layers(self) -> "DenoiserConfig":
        """This config, if it has the pairs of blocks that HTP needs; HTP itself would tell at the first call.

        Raises:
            BenchmarkError: It has fewer.
        """
        needed = 1 + (self.htp.num_sft_layers if self.htp is not None else 0)
        if self.depth < needed:
            raise BenchmarkError(
                f"num_sft_layers={needed - 1} needs at least {needed} pairs of blocks, got {self.depth}"
            )
        return self

    def build(self) -> D3DPDenoiser | Lifter:
        """The denoiser, freshly initialised."""
        sizes = {
            "num_frames": self.num_frames,
            "dim": self.dim,
            "depth": self.depth,
            "num_heads": self.num_heads,
            "drop_path": self.drop_path,
        }
        if self.kind == "d3dp":
            return D3DPDenoiser(**sizes)
        if self.kind == "mixste":
            return Lifter(**sizes)
        return (HTPDenoiser if self.kind == "htp" else HTPLifter)(**sizes, config=self.htp)
