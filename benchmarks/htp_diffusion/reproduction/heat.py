"""Heat: the denoisers that are timed in turn for Table V, and which of their figures are told."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from htp_diffusion.reproduction.pass_cost import PASS_GMACS
from htp_diffusion.speed.lineup import Entrant, Host, Sizes, line_up
from htp_modules import HTPConfig

_N1, _N3 = HTPConfig(num_sft_layers=1), HTPConfig(num_sft_layers=3)


@dataclass(frozen=True, kw_only=True)
class Heat:
    """Denoisers that are timed in turn.

    Attributes:
        name: Of the part.
        what: For people.
        hosts: Each host, and how it is pruned.
        told: Hosts whose figures are set beside the paper's. Any other host is timed only because their speed
            is given as a ratio to its own.
        share: Of the time that is left.
    """

    name: str
    what: str
    hosts: tuple[tuple[Host, tuple[HTPConfig, ...]], ...]
    told: tuple[Host, ...]
    share: float

    @property
    def pass_gmacs(self) -> int:
        """One pass of each at the paper's sizes, together, by matrix products."""
        return sum(
            PASS_GMACS[host][layers]
            for host, prunings in self.hosts
            for layers in (0, *(pruning.num_sft_layers for pruning in prunings))
        )

    def line_up(self, sizes: Sizes, public: Path | None, device: torch.device) -> list[Entrant]:
        """The denoisers, each host plain before what prunes it.

        Raises:
            BenchmarkError: No checkout of public code, or one that does not fit.
        """
        return list(_line_up(self.hosts, sizes, public, device))


@lru_cache(maxsize=1)  # every fast way times the same denoisers
def _line_up(
    hosts: tuple[tuple[Host, tuple[HTPConfig, ...]], ...],
    sizes: Sizes,
    public: Path | None,
    device: torch.device,
) -> tuple[Entrant, ...]:
    return tuple(
        entrant for host, prunings in hosts for entrant in line_up([host], sizes, prunings, public, device)
    )


D3DP_AND_HTP = Heat(
    name="table-v",
    what="Whole samplings",
    hosts=(("d3dp", (_N1, _N3)),),
    told=("d3dp",),
    share=0.45,  # of nine minutes: two rounds of H=20, K=10, as one alone has no spread
)
RIVALS = Heat(
    name="table-v-rivals",
    what="FinePOSE and KTPFormer beside D3DP, whole samplings",
    hosts=(("d3dp", ()), ("finepose", (_N1,)), ("ktpformer-denoiser", ())),
    told=("finepose", "ktpformer-denoiser"),
    share=0.25,
)
"""Table V's other two rows; D3DP runs again, since a ratio is told of models that ran in turn."""
