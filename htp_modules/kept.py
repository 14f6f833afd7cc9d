"""KeptFrames: which frames stay when the rest are pruned.

Notation (paper, Section III-D):
    index        the f kept frames of each sample, ascending   (B, f)
    num_frames   T, the full length
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_modules.errors import DtypeError, MaskError, ShapeError
from htp_modules.pytree import register_result


def take_frames(
    x: Float[Tensor, "batch frames joints dim"], index: Int64[Tensor, "batch taken"]
) -> Float[Tensor, "batch taken joints dim"]:
    """The tokens at each sample's own frames, taken as whole rows."""
    sample = torch.arange(x.shape[0], device=index.device)
    return x[sample[:, None], index]


@dataclass(frozen=True, eq=False)
class KeptFrames:
    """The frames that stay, the same for every joint of a sample.

    Attributes:
        index: Frame numbers in [0, num_frames), ascending and distinct within a sample.
        num_frames: Length of the sequence that they were taken from.

    Raises:
        DtypeError: ``index`` is not an int64 tensor.
        ShapeError: ``index`` is not (batch, kept), or keeps none or more than ``num_frames``.
    """

    index: Int64[Tensor, "batch kept"]
    num_frames: int

    def __post_init__(self) -> None:
        if not isinstance(self.index, Tensor) or self.index.dtype != torch.int64:
            got = self.index.dtype if isinstance(self.index, Tensor) else type(self.index).__name__
            raise DtypeError(f"KeptFrames expects an int64 tensor, got {got}")
        if self.index.ndim != 2 or not 1 <= self.index.shape[1] <= self.num_frames:
            raise ShapeError(
                f"KeptFrames expects (batch, kept) with 1 to {self.num_frames} frames, "
                f"got shape {tuple(self.index.shape)}"
            )

    @classmethod
    def all(cls, batch: int, num_frames: int, *, device: torch.device | str | None = None) -> "KeptFrames":
        """Every frame of every sample."""
        return cls(torch.arange(num_frames, device=device).expand(batch, -1), num_frames)

    @property
    def num_kept(self) -> int:
        """f, the number of frames that stay."""
        return self.index.shape[1]

    @property
    def is_all(self) -> bool:
        """Whether nothing was pruned."""
        return self.num_kept == self.num_frames

    def gather(self, x: Float[Tensor, "batch frames joints dim"]) -> Float[Tensor, "batch kept joints dim"]:
        """The tokens at the kept frames.

        Raises:
            ShapeError: Tokens of another batch or length.
            MaskError: Tokens on another device.
        """
        if x.shape[:2] != (self.index.shape[0], self.num_frames):
            raise ShapeError(
                f"gather expects tokens of batch {self.index.shape[0]}, length {self.num_frames}, "
                f"got shape {tuple(x.shape)}"
            )
        self._check_device(x, name="gather")
        return take_frames(x, self.index)

    def spread(
        self, x_kept: Float[Tensor, "batch kept joints dim"]
    ) -> Float[Tensor, "batch frames joints dim"]:
        """The kept tokens back at their frames, zeros between them; ``gather`` undoes it.

        Raises:
            ShapeError: Tokens of another batch or number of kept frames.
            MaskError: Tokens on another device.
        """
        self.check_tokens(x_kept, name="spread")
        batch, _, joints, dim = x_kept.shape
        empty = x_kept.new_zeros(batch, self.num_frames, joints, dim)
        return empty.scatter(1, self.index[:, :, None, None].expand_as(x_kept), x_kept)

    def gaps(self) -> Int64[Tensor, "batch gaps"]:
        """Frames from each kept frame to the next; 1 where none was pruned between them."""
        return self.index[:, 1:] - self.index[:, :-1]

    def check_tokens(self, x_kept: Float[Tensor, "batch kept joints dim"], *, name: str) -> None:
        """Check that tokens are of this batch and number of kept frames.

        Raises:
            ShapeError: They are of others.
            MaskError: They lie on another device.
        """
        if x_kept.ndim != 4 or x_kept.shape[:2] != self.index.shape:
            raise ShapeError(
                f"{name} expects kept tokens (batch, kept, joints, dim) with (batch, kept) = "
                f"{tuple(self.index.shape)}, got shape {tuple(x_kept.shape)}"
            )
        self._check_device(x_kept, name=name)

    def _check_device(self, x: Tensor, *, name: str) -> None:
        if self.index.device != x.device:
            raise MaskError(f"{name} expects the kept frames on {x.device}, got them on {self.index.device}")

    def validate(self) -> "KeptFrames":
        """Check the invariants by value (this reads the frames, so it waits for the device).

        Returns:
            The kept frames themselves.

        Raises:
            MaskError: A frame is out of range, or a sample's frames are not ascending and distinct.
        """
        if bool((self.index < 0).any()) or bool((self.index >= self.num_frames).any()):
            raise MaskError(f"kept frames lie in [0, {self.num_frames}), got others")
        if bool((self.gaps() < 1).any()):
            raise MaskError("kept frames are ascending and distinct within a sample, got others")
        return self


register_result(KeptFrames, tensor="index", constant="num_frames")
