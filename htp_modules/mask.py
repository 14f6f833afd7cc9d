"""TemporalMask: which frames may attend to which, the contract between the modules.

Notation (paper, Sections III-B and III-C):
    keep   M    (B, J, T, T), True where frame i may attend to frame i'
    bias   M⁺   (B, J, T, T), 0 where it may, -inf elsewhere
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from htp_modules.attention import additive_mask
from htp_modules.errors import DtypeError, MaskError, ShapeError
from htp_modules.kept import KeptFrames
from htp_modules.pytree import register_result


@dataclass(frozen=True, eq=False)
class TemporalMask:
    """A symmetric frame-to-frame mask per joint.

    Dtype, rank and squareness are checked when it is made; :meth:`validate` checks the rest.

    Attributes:
        keep: True where the pair of frames may attend to each other; symmetric, with every self-loop.
        bias: The same as M⁺, so that the layers that attend under it need not make it; None if nobody has
            made it. It is dropped where a mask enters or leaves an exported program.

    Raises:
        DtypeError: ``keep`` is not a bool tensor, or ``bias`` not a floating one.
        ShapeError: ``keep`` is not (batch, joints, frames, frames), or ``bias`` has another shape.
    """

    keep: Bool[Tensor, "batch joints frames frames"]
    bias: Float[Tensor, "batch joints frames frames"] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.keep, Tensor) or self.keep.dtype != torch.bool:
            got = self.keep.dtype if isinstance(self.keep, Tensor) else type(self.keep).__name__
            raise DtypeError(f"TemporalMask expects a bool tensor, got {got}")
        if self.keep.ndim != 4 or self.keep.shape[-1] != self.keep.shape[-2]:
            raise ShapeError(
                f"TemporalMask expects (batch, joints, frames, frames), got shape {tuple(self.keep.shape)}"
            )
        if self.bias is None:
            return
        if not isinstance(self.bias, Tensor) or not self.bias.is_floating_point():
            got = self.bias.dtype if isinstance(self.bias, Tensor) else type(self.bias).__name__
            raise DtypeError(f"TemporalMask expects a floating bias, got {got}")
        if self.bias.shape != self.keep.shape:
            raise ShapeError(
                f"TemporalMask expects a bias of the shape of keep, {tuple(self.keep.shape)}, "
                f"got {tuple(self.bias.shape)}"
            )

    @classmethod
    def dense(
        cls, batch: int, joints: int, frames: int, *, device: torch.device | str | None = None
    ) -> "TemporalMask":
        """The mask under which every frame attends to every frame."""
        return cls(torch.ones(batch, joints, frames, frames, dtype=torch.bool, device=device))

    @property
    def num_frames(self) -> int:
        """T, the length of the sequence that the mask is for."""
        return self.keep.shape[-1]

    @property
    def density(self) -> Float[Tensor, ""]:
        """Share of pairs that are kept, in (0, 1]."""
        return self.keep.float().mean()

    def additive(self, dtype: torch.dtype | None = None) -> Float[Tensor, "batch joints frames frames"]:
        """M⁺ of Section III-C: 0 where kept, -inf elsewhere.

        Args:
            dtype: Of the result; as ``bias`` has it if None, float32 without one.
        """
        if self.bias is None:
            return additive_mask(self.keep, dtype or torch.float32)
        return self.bias if dtype is None else self.bias.to(dtype)

    def frame_weights(
        self, mean: Callable[[Tensor], Tensor] | None = None
    ) -> Float[Tensor, "batch frames frames"]:
        """M̄ of Section III-D: the share of joints for which a pair is kept, in [0, 1].

        Args:
            mean: Takes the mean over the last axis of (batch, pairs, joints) and keeps the axis; by default
                PyTorch's. A module can be counted.
        """
        marks = self.keep.float().flatten(2).transpose(1, 2)
        shares = marks.mean(dim=-1, keepdim=True) if mean is None else mean(marks)
        return shares.squeeze(-1).unflatten(1, (self.num_frames, -1))

    def folded(self) -> Bool[Tensor, "batch_joints frames frames"]:
        """``keep`` with joints folded into the batch, as temporal attention takes it."""
        return self.keep.flatten(0, 1)

    def restrict(self, kept: KeptFrames) -> "TemporalMask":
        """The mask among the kept frames alone."""
        if kept.num_frames != self.num_frames or kept.index.shape[0] != self.keep.shape[0]:
            raise ShapeError(
                f"restrict expects kept frames of batch {self.keep.shape[0]}, length {self.num_frames}, "
                f"got batch {kept.index.shape[0]}, length {kept.num_frames}"
            )
        rows = kept.index[:, None, :, None].expand(-1, self.keep.shape[1], -1, self.num_frames)
        columns = kept.index[:, None, None, :].expand(-1, self.keep.shape[1], kept.num_kept, -1)
        return TemporalMask(self.keep.gather(2, rows).gather(3, columns))

    def to(self, device: torch.device | str) -> "TemporalMask":
        """The mask on another device."""
        return TemporalMask(self.keep.to(device), None if self.bias is None else self.bias.to(device))

    def check_tokens(self, x: Float[Tensor, "batch frames joints dim"], *, name: str) -> None:
        """Check that the mask was made for tokens of this batch, length and number of joints.

        Raises:
            ShapeError: It was made for others.
            MaskError: It lies on another device.
        """
        batch, frames, joints, _ = x.shape
        made_for = (self.keep.shape[0], self.num_frames, self.keep.shape[1])
        if made_for != (batch, frames, joints):
            raise ShapeError(
                f"{name} expects a mask for (batch, frames, joints) = {(batch, frames, joints)}, "
                f"got one for {made_for}"
            )
        if self.keep.device != x.device:
            raise MaskError(
                f"{name} expects the mask on {x.device}, got it on {self.keep.device}; use mask.to(device)"
            )

    def validate(self, num_neighbors: int = 0) -> "TemporalMask":
        """Check the invariants by value (this reads the mask, so it waits for the device).

        Args:
            num_neighbors: k; every row must keep at least min(k, T - 1) + 1 frames.

        Returns:
            The mask itself.

        Raises:
            MaskError: The mask is not symmetric, lacks a self-loop, or has a row that keeps too few frames,
                or its bias is another mask's.
        """
        if not bool((self.keep == self.keep.transpose(-2, -1)).all()):
            raise MaskError("a temporal mask is symmetric, got one that is not")
        if not bool(self.keep.diagonal(dim1=-2, dim2=-1).all()):
            raise MaskError("a temporal mask keeps every self-loop, got one that lacks some")
        least = min(num_neighbors, self.num_frames - 1) + 1
        smallest = int(self.keep.sum(dim=-1).min())
        if smallest < least:
            raise MaskError(f"every row of the mask keeps at least {least} frames, got a row of {smallest}")
        if self.bias is not None and not torch.equal(self.bias, additive_mask(self.keep, self.bias.dtype)):
            raise MaskError("the bias of a mask is 0 where it keeps and -inf elsewhere, got another")
        return self


register_result(TemporalMask, tensor="keep")
