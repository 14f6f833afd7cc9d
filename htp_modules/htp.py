"""HTP: the modules as one flow over any stack of spatial and temporal blocks (paper, Fig. 2, Section III)."""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from htp_modules.config import HTPConfig, check_config
from htp_modules.errors import ConfigError
from htp_modules.kept import KeptFrames
from htp_modules.mask import TemporalMask
from htp_modules.mgptp import MGPTP
from htp_modules.recovery import CrossMHSA, Interpolation
from htp_modules.tcep import TCEP

_OPTIONS = frozenset(field.name for field in fields(HTPConfig))


class Pair(NamedTuple):
    """A spatial and a temporal block, as functions of tokens (batch, frames, joints, dim).

    Attributes:
        spatial: Mixes joints within a frame.
        temporal: Mixes frames within a joint, under a mask or, given None, all of them.
        pruned: Stands in for ``temporal`` behind the pruner, in a block that must know which frames it sees;
            None for ``temporal`` without a mask.
    """

    spatial: Callable[[Tensor], Tensor]
    temporal: Callable[[Tensor, TemporalMask | None], Tensor]
    pruned: Callable[[Tensor, KeptFrames], Tensor] | None = None

    def after(self, embed: Callable[[Tensor], Tensor]) -> "Pair":
        """The pair whose spatial block gets what ``embed`` makes of its input.

        The first pair may so take poses: nobody then holds their tokens while the flow runs.
        """
        return self._replace(spatial=lambda x: self.spatial(embed(x)))


class HTP(nn.Module):
    """Hierarchical temporal pruning around blocks that somebody else owns.

    It holds TCEP, MGPTP and the recovery; the blocks come with each call, so that a denoiser, a lifter and a
    patched foreign model run the same flow.

    Args:
        dim: D, channels of the tokens.
        num_frames: T, the longest sequence.
        num_heads: Heads of the recovery's attention.
        config: Where and how hard to prune.

    Raises:
        ConfigError: Frames required that ``num_frames`` frames do not have, or more than are kept of them.
    """

    def __init__(
        self, dim: int, num_frames: int, num_heads: int = 8, config: HTPConfig | None = None
    ) -> None:
        super().__init__()
        config = HTPConfig() if config is None else check_config(config)
        config.frames_required(num_frames)
        self._config = config
        self.tcep = TCEP(dim, num_frames, config.num_neighbors)
        self.mgptp = MGPTP(config.num_keep, config.density_neighbors, config.required)
        attends = config.recovery == "cross_attention"
        self.recovery = CrossMHSA(dim, num_frames, num_heads) if attends else Interpolation()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OPTIONS and not isinstance(value, nn.Module):
            raise ConfigError(
                f"{name} is an option of the config, which is frozen: "
                f"assign htp.config = dataclasses.replace(htp.config, {name}={value!r})"
            )
        super().__setattr__(name, value)

    @property
    def config(self) -> HTPConfig:
        """The options in force. Assign another config to change k, f, n or k' without touching weights.

        Raises:
            ConfigError: It is no HTPConfig, asks for other modules than were built, or requires frames that
                the longest sequence does not have or keep.
        """
        return self._config

    @config.setter
    def config(self, config: HTPConfig) -> None:
        check_config(config)
        for name in ("recovery", "spatial_gcn"):
            built, asked = getattr(self._config, name), getattr(config, name)
            if built != asked:
                raise ConfigError(f"{name} is fixed when HTP is built: expected {built!r}, got {asked!r}")
        config.frames_required(self.tcep.num_frames)
        self._config = config
        self.tcep.num_neighbors = config.num_neighbors
        self.mgptp.num_keep = config.num_keep
        self.mgptp.num_neighbors = config.density_neighbors
        self.mgptp.required = config.required

    def forward(
        self,
        x: Float[Tensor, "batch frames joints channels"],
        pairs: Sequence[Pair],
        inject: Callable[[Tensor], Tensor] | None = None,
    ) -> Float[Tensor, "batch frames joints dim"]:
        """Run the hourglass: narrow in time after n pairs, widen again at the end.

        Args:
            x: Embedded tokens with the spatial position added; poses, if the first pair embeds them.
            pairs: The blocks. The first pair surrounds TCEP, the next n see every frame under the mask, the
                rest see the kept frames alone.
            inject: Adds the temporal position (and diffusion time) to the tokens once TCEP has read them.

        Returns:
            Tokens of every frame. When nothing is pruned (T <= f) the recovery is skipped.

        Raises:
            ConfigError: Fewer pairs than the config needs.
            HTPError: Tokens that the modules refuse.
        """
        first_pruned = 1 + self.config.num_sft_layers
        if len(pairs) < first_pruned:
            raise ConfigError(
                f"num_sft_layers={self.config.num_sft_layers} needs at least {first_pruned} pairs of blocks, "
                f"got {len(pairs)}"
            )
        # Each result replaces its input at once, so that no more of them are alive than one block needs.
        x = pairs[0].spatial(x)
        x, mask = self.tcep(x)
        if inject is not None:
            x = inject(x)
        x = pairs[0].temporal(x, mask)
        for pair in pairs[1:first_pruned]:
            x = pair.spatial(x)
            x = pair.temporal(x, mask)
        x, kept = self.mgptp(x, mask)
        del mask
        for pair in pairs[first_pruned:]:
            x = pair.spatial(x)
            x = pair.temporal(x, None) if pair.pruned is None else pair.pruned(x, kept)
        return x if kept.is_all else self.recovery(x, kept)

    if TYPE_CHECKING:  # else a call of a module has no type

        def __call__(
            self, x: Tensor, pairs: Sequence[Pair], inject: Callable[[Tensor], Tensor] | None = None
        ) -> Tensor: ...
