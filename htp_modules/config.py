"""HTPConfig: where and how hard to prune."""

from dataclasses import dataclass
from operator import index
from typing import Literal

from htp_modules.errors import ConfigError

Recovery = Literal["cross_attention", "interpolate"]
_RECOVERIES = ("cross_attention", "interpolate")


def check_frames(value: int | float, name: str) -> int | float:
    """Check a number of frames: an int of at least 1, or a float share of the sequence in (0, 1].

    Args:
        value: Frames or share.
        name: The option's name, for the message.

    Returns:
        The value as a plain int or float.

    Raises:
        ConfigError: Zero, negative, a share above 1, or not a number.
    """
    if isinstance(value, float):
        if not 0.0 < value <= 1.0:
            raise ConfigError(
                f"{name} as a float is a share of the frames and expects 0 < share <= 1, got {value}; "
                "give an int for a number of frames"
            )
        return value
    if isinstance(value, bool):
        raise ConfigError(f"{name} expects an int (frames) or a float (share), got {value}")
    try:
        frames = index(value)
    except TypeError:
        raise ConfigError(f"{name} expects an int (frames) or a float (share), got {value!r}") from None
    if frames < 1:
        raise ConfigError(f"{name} as an int is a number of frames and expects at least 1, got {frames}")
    return frames


def check_count(value: int, name: str, least: int = 1) -> int:
    """Check a number of things that is no share of anything.

    Args:
        value: The number.
        name: The option's name, for the message.
        least: The smallest that makes sense.

    Returns:
        The value as a plain int.

    Raises:
        ConfigError: Below ``least``, or not an integer.
    """
    try:
        count = index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, bool) or count < least:
        raise ConfigError(f"{name} expects an int of at least {least}, got {value!r}")
    return count


def check_heads(dim: int, num_heads: int) -> int:
    """Check that the channels of a token divide among the attention heads.

    Returns:
        The number of heads.

    Raises:
        ConfigError: No head, or channels left over.
    """
    if num_heads < 1 or dim % num_heads:
        raise ConfigError(f"dim expects a multiple of num_heads, got dim={dim}, num_heads={num_heads}")
    return num_heads


def resolve_frames(value: int | float, num_frames: int) -> int:
    """Frames out of ``num_frames``: an int is cut to it, a float is a share, rounded half up, at least 1."""
    if isinstance(value, float):
        return max(1, int(value * num_frames + 0.5))
    return min(value, num_frames)


@dataclass(frozen=True, kw_only=True)
class HTPConfig:
    """Options of hierarchical temporal pruning; the defaults are the paper's trained model at T = 243.

    Attributes:
        num_neighbors: k, frames that each frame may attend to in the temporal mask: an int, or a float share
            of the sequence (2/3 is 162 of 243; Section IV).
        num_keep: f, frames that are kept: an int, or a float share (2/9 is 54 of 243; Table VIII).
        num_sft_layers: n, spatial/temporal pairs after the first that keep every frame and attend under the
            mask (3 when trained, 1 at inference in the paper; Table VIII).
        density_neighbors: k', neighbours in the pruner's local density.
        recovery: How the full length comes back: ``"cross_attention"`` (Cross MHSA, learned) or
            ``"interpolate"`` (linear between kept frames, no parameters).
        spatial_gcn: Embed the joints by a graph convolution over the skeleton.

    Raises:
        ConfigError: An option lies outside its range.
    """

    num_neighbors: int | float = 2 / 3
    num_keep: int | float = 2 / 9
    num_sft_layers: int = 3
    density_neighbors: int = 2
    recovery: Recovery = "cross_attention"
    spatial_gcn: bool = True

    def __post_init__(self) -> None:
        check_frames(self.num_neighbors, "num_neighbors")
        check_frames(self.num_keep, "num_keep")
        check_count(self.num_sft_layers, "num_sft_layers", least=0)
        check_count(self.density_neighbors, "density_neighbors")
        if self.recovery not in _RECOVERIES:
            raise ConfigError(f"recovery expects one of {', '.join(_RECOVERIES)}, got {self.recovery!r}")
        if not isinstance(self.spatial_gcn, bool):
            raise ConfigError(f"spatial_gcn expects True or False, got {self.spatial_gcn!r}")

    def frames_kept(self, num_frames: int) -> int:
        """Frames kept, f, of a sequence of ``num_frames``: all of it if it is no longer."""
        return resolve_frames(self.num_keep, num_frames)

    def neighbors(self, num_frames: int) -> int:
        """Neighbours of a frame, k, in a sequence of ``num_frames``: at most all the others."""
        return min(resolve_frames(self.num_neighbors, num_frames), num_frames - 1)
