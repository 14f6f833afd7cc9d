"""HTPConfig: where and how hard to prune."""

from dataclasses import dataclass, field
from operator import index
from typing import Literal

from htp_modules.errors import ConfigError

Recovery = Literal["cross_attention", "interpolate"]
_RECOVERIES = ("cross_attention", "interpolate")

FrameName = Literal["centre", "first", "last"]
_FRAME_NAMES = ("centre", "first", "last")


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
        return float(value)
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
    """Check an integer count.

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
        ConfigError: No int of at least one head, or channels left over.
    """
    num_heads = check_count(num_heads, "num_heads")
    if dim % num_heads:
        raise ConfigError(f"dim expects a multiple of num_heads, got dim={dim}, num_heads={num_heads}")
    return num_heads


def resolve_frames(value: int | float, num_frames: int) -> int:
    """Frames out of ``num_frames``: an int is cut to it, a float is a share, rounded half up, at least 1."""
    if isinstance(value, float):
        return max(1, int(value * num_frames + 0.5))
    return min(value, num_frames)


def check_required(value: tuple[FrameName | int, ...]) -> tuple[FrameName | int, ...]:
    """Check frames that must stay: a tuple of names and of indices from 0 on, or a list, as JSON has it.

    Raises:
        ConfigError: Neither, an unknown name, or no index.
    """
    wrong = not isinstance(value, tuple | list)
    if not wrong:
        wrong = not all(
            frame in _FRAME_NAMES if isinstance(frame, str) else _is_index(frame) for frame in value
        )
    if wrong:
        raise ConfigError(
            f"required expects a tuple of {', '.join(map(repr, _FRAME_NAMES))} and frame indices from 0 on, "
            f"such as ('centre',) or (0, 40), got {value!r}"
        )
    return tuple(frame if isinstance(frame, str) else index(frame) for frame in value)


def _is_index(value: object) -> bool:
    try:
        return not isinstance(value, bool) and index(value) >= 0  # pyright: ignore[reportArgumentType]
    except TypeError:
        return False


def resolve_required(
    required: tuple[FrameName | int, ...], num_frames: int, num_keep: int
) -> tuple[int, ...]:
    """Indices of the frames that must stay in a sequence, ascending and distinct.

    Args:
        required: Names and indices; the centre of T frames is frame T // 2.
        num_frames: T.
        num_keep: f, frames that are kept.

    Raises:
        ConfigError: An index past the end, or more frames than are kept.
    """
    named = {"centre": num_frames // 2, "first": 0, "last": num_frames - 1}
    frames = sorted({named[frame] if isinstance(frame, str) else frame for frame in required})
    if frames and frames[-1] >= num_frames:
        raise ConfigError(
            f"required names frame {frames[-1]}, but a sequence of {num_frames} frames ends with frame "
            f"{num_frames - 1}"
        )
    if len(frames) > num_keep:
        raise ConfigError(
            f"required names {len(frames)} frames, but num_keep keeps {num_keep} of {num_frames}; "
            "raise num_keep or require fewer"
        )
    return tuple(frames)


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
        required: Frames that must stay, whatever their saliency: ``"centre"`` (frame T // 2), ``"first"``,
            ``"last"``, or indices. They count towards ``num_keep``; the rest is chosen as without them.

    Raises:
        ConfigError: An option lies outside its range.
    """

    num_neighbors: int | float = 2 / 3
    num_keep: int | float = 2 / 9
    num_sft_layers: int = 3
    density_neighbors: int = 2
    recovery: Recovery = "cross_attention"
    spatial_gcn: bool = True
    # By this metadata a reader of JSON knows that files older than the field lack it.
    required: tuple[FrameName | int, ...] = field(default=(), metadata={"added later": True})

    def __post_init__(self) -> None:
        plain = {  # not NumPy's numbers, at which a compiler stops
            "num_neighbors": check_frames(self.num_neighbors, "num_neighbors"),
            "num_keep": check_frames(self.num_keep, "num_keep"),
            "num_sft_layers": check_count(self.num_sft_layers, "num_sft_layers", least=0),
            "density_neighbors": check_count(self.density_neighbors, "density_neighbors"),
            "required": check_required(self.required),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        if self.recovery not in _RECOVERIES:
            raise ConfigError(f"recovery expects one of {', '.join(_RECOVERIES)}, got {self.recovery!r}")
        if not isinstance(self.spatial_gcn, bool):
            raise ConfigError(f"spatial_gcn expects True or False, got {self.spatial_gcn!r}")

    def frames_kept(self, num_frames: int) -> int:
        """Frames kept, f, of a sequence of ``num_frames``: all of it if it is no longer."""
        return resolve_frames(self.num_keep, num_frames)

    def frames_required(self, num_frames: int) -> tuple[int, ...]:
        """Indices of the frames that must stay in a sequence of ``num_frames``, ascending and distinct.

        Raises:
            ConfigError: An index past the end, or more frames than are kept.
        """
        return resolve_required(self.required, num_frames, self.frames_kept(num_frames))

    def neighbors(self, num_frames: int) -> int:
        """Neighbours of a frame, k, in a sequence of ``num_frames``: at most all the others."""
        return min(resolve_frames(self.num_neighbors, num_frames), num_frames - 1)


def check_config(value: object) -> HTPConfig:
    """The value, if it is an HTPConfig.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(value, HTPConfig):
        raise ConfigError(f"config expects an HTPConfig, got {type(value).__name__}")
    return value
