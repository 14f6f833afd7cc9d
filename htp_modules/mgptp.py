"""MGPTP: Mask-Guided Pose Token Pruner (paper, Section III-D; density peaks after DPC-KNN and HoT).

Notation:
    frame_tokens    X̄, mean over joints            (B, T, D)
    frame_weights   M̄, mean over joints            (B, T, T)
    distance        d(i, j)                         (B, T, T)
    density         rho'_i, as its logarithm        (B, T)
    separation      delta_i                         (B, T)

Saliency rho' * delta is ranked by its logarithm: rho is exp(-d²), which underflows for distant tokens where
its logarithm does not, and the ranking is the same.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from htp_modules.checks import check_tokens, check_type
from htp_modules.config import (
    FrameName,
    check_count,
    check_frames,
    check_required,
    resolve_frames,
    resolve_required,
)
from htp_modules.kept import KeptFrames
from htp_modules.mask import TemporalMask
from htp_modules.selection import scale_tokens, select_highest

_MASKED_MARGIN = 1e-3  # share of the largest distance by which a masked pair is farther than every other


def pairwise_distance(x: Float[Tensor, "batch frames dim"]) -> Float[Tensor, "batch frames frames"]:
    """||x_i - x_j||, exactly 0 for equal frames, NaN from and to a frame with NaN.

    Of float32 tokens ||x_i||² + ||x_j||² - 2 x_i · x_j in float64, far faster on a CPU than differences.
    What its sums may round is cut off: at D=512, frames nearer than 5e-7 of their norm, a few units in the
    last place of float32, are at distance 0.
    """
    if x.dtype == torch.float64 or x.device.type == "mps":  # products round as well; MPS has no float64
        return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    wide = x.double()
    products = wide @ wide.transpose(-2, -1)
    energy = products.diagonal(dim1=-2, dim2=-1)
    both = energy.unsqueeze(-1) + energy.unsqueeze(-2)
    squared = both - 2.0 * products
    rounding = both * (x.shape[-1] * torch.finfo(wide.dtype).eps)
    return torch.where(squared <= rounding, 0.0, squared).sqrt().to(x.dtype)


def guided_distance(
    frame_tokens: Float[Tensor, "batch frames dim"],
    valid: Bool[Tensor, "batch frames frames"],
) -> Float[Tensor, "batch frames frames"]:
    """d(i, j) = ||X̄_i - X̄_j|| / sqrt(D) for valid pairs; beyond the sample's largest distance for others.

    A pair with a frame of NaN is not valid, and does not count for the sample's largest distance.
    """
    distance = pairwise_distance(frame_tokens) * frame_tokens.shape[-1] ** -0.5
    known = distance >= 0.0  # not so for NaN
    largest = torch.where(known, distance, 0.0).amax(dim=(-2, -1), keepdim=True)
    beyond = largest * (1.0 + _MASKED_MARGIN) + torch.finfo(distance.dtype).tiny
    return torch.where(valid & known, distance, beyond)


def log_density(
    distance: Float[Tensor, "batch frames frames"], num_neighbors: int
) -> Float[Tensor, "batch frames"]:
    """Log rho_i = -mean of d(i, n)² over the ``num_neighbors`` nearest other frames; 0 for a lone frame."""
    frames = distance.shape[-1]
    neighbors = min(num_neighbors, frames - 1)
    if neighbors == 0:
        return torch.zeros_like(distance[..., 0])
    itself = torch.eye(frames, dtype=torch.bool, device=distance.device)
    nearest = distance.masked_fill(itself, torch.inf).topk(neighbors, largest=False).values
    return -nearest.square().mean(dim=-1)


def log_support(
    frame_weights: Float[Tensor, "batch frames frames"], num_joints: int
) -> Float[Tensor, "batch frames"]:
    """Log softmax_i(log(1 + m_i)), m_i = sum_j M̄(i, j): how well the mask connects each frame.

    The sum is over whole numbers of joints: frames that are connected equally well tie exactly.
    """
    joints = (frame_weights * num_joints).round().sum(dim=-1)
    return (joints / num_joints).log1p().log_softmax(dim=-1)


def separation(
    distance: Float[Tensor, "batch frames frames"], density: Float[Tensor, "batch frames"]
) -> Float[Tensor, "batch frames"]:
    """delta_i: the distance to the nearest denser frame; for the densest frame, its largest distance.

    Of equally dense frames the earlier one counts as denser, so that exactly one is the densest and a pause
    is kept once. ``density`` may be any increasing function of the density.
    """
    mine, other = density.unsqueeze(-1), density.unsqueeze(-2)
    earlier = torch.ones_like(distance, dtype=torch.bool).tril(diagonal=-1)
    denser = (other > mine) | ((other == mine) & earlier)
    nearest = distance.masked_fill(~denser, torch.inf).amin(dim=-1)
    return torch.where(denser.any(dim=-1), nearest, distance.amax(dim=-1))


def salient_frames(
    frame_tokens: Float[Tensor, "batch frames dim"],
    frame_weights: Float[Tensor, "batch frames frames"],
    num_joints: int,
    num_keep: int,
    num_neighbors: int,
    required: Sequence[int] = (),
) -> KeptFrames:
    """The ``required`` frames and those of highest saliency, ``num_keep`` in all, ties broken by frame order.

    A frame with NaN or infinity ranks below every other, and those are ranked as if it were not there.
    """
    frames = frame_tokens.shape[1]
    lost = ~frame_tokens.isfinite().all(dim=-1)
    frame_tokens = frame_tokens.masked_fill(lost.unsqueeze(-1), torch.nan)
    frame_weights = frame_weights.masked_fill(lost.unsqueeze(-2), 0.0)  # they connect no other frame
    distance = guided_distance(frame_tokens, frame_weights > 0)
    density = log_density(distance, num_neighbors) + log_support(frame_weights, num_joints)
    saliency = density + separation(distance, density).log()
    # A frame that comes twice has a saliency of -inf: still above one that is lost.
    saliency = saliency.clamp(min=torch.finfo(saliency.dtype).min).masked_fill(lost, -torch.inf)
    for must_stay in required:  # one by one: an index tensor from the host would wait in a CUDA graph
        saliency[:, must_stay] = torch.inf
    chosen = select_highest(saliency, num_keep) > 0
    frame = torch.arange(frames, device=chosen.device)
    # A pruned frame gets a number past the end, so that sorting leaves the kept ones first, in order.
    return KeptFrames(torch.where(chosen, frame, frames).sort(dim=-1).values[:, :num_keep], frames)


class MGPTP(nn.Module):
    """Keeps the few frames that matter, the same for every joint.

    Args:
        num_keep: f, an int (frames) or a float (share of T); T <= f prunes nothing.
        num_neighbors: k', neighbours in the local density.
        required: Frames that must stay: ``"centre"``, ``"first"``, ``"last"``, or indices.
    """

    def __init__(
        self, num_keep: int | float, num_neighbors: int = 2, required: tuple[FrameName | int, ...] = ()
    ) -> None:
        super().__init__()
        self.num_keep = num_keep
        self.required = required
        self.num_neighbors = num_neighbors
        # A module for THOP's sake, by which the paper counts: it charges this mean and sees no bare one.
        self.joint_pool = nn.AdaptiveAvgPool1d(1)

    @property
    def num_keep(self) -> int | float:
        """f, which may be changed at any time (of an HTP by its ``config``); there are no weights."""
        return self._num_keep

    @num_keep.setter
    def num_keep(self, value: int | float) -> None:
        self._num_keep = check_frames(value, "num_keep")

    @property
    def num_neighbors(self) -> int:
        """k', which may be changed likewise."""
        return self._num_neighbors

    @num_neighbors.setter
    def num_neighbors(self, value: int) -> None:
        self._num_neighbors = check_count(value, "num_neighbors")

    @property
    def required(self) -> tuple[FrameName | int, ...]:
        """Frames that must stay, which may be changed likewise; they count towards ``num_keep``."""
        return self._required

    @required.setter
    def required(self, value: tuple[FrameName | int, ...]) -> None:
        self._required = check_required(value)

    def forward(
        self, x: Float[Tensor, "batch frames joints dim"], mask: TemporalMask
    ) -> tuple[Float[Tensor, "batch kept joints dim"], KeptFrames]:
        """Prune frames.

        Args:
            x: Tokens of the last layer that sees every frame.
            mask: TCEP's mask for them.

        Returns:
            The tokens of the kept frames, and which frames they are.

        Raises:
            ShapeError: Another rank, or a mask of another batch, length or number of joints.
            DtypeError: Tokens that are not floating, or no TemporalMask.
            MaskError: A mask on another device.
            ConfigError: A required frame past the end of the tokens, or more of them than are kept.
            NonFiniteError: Tokens with NaN or infinity, on a CPU and outside of compiled and traced graphs.
                Elsewhere frames that hold them are kept only where too few others are left.
        """
        check_tokens(x, name="MGPTP")
        check_type(mask, TemporalMask, name="MGPTP")
        mask.check_tokens(x, name="MGPTP")
        num_keep = resolve_frames(self.num_keep, x.shape[1])
        required = resolve_required(self.required, x.shape[1], num_keep)
        if num_keep == x.shape[1]:
            return x, KeptFrames.all(x.shape[0], num_keep, device=x.device)
        frame_weights = mask.frame_weights(self.joint_pool)
        tokens = self._frame_tokens(x)
        kept = salient_frames(tokens, frame_weights, x.shape[2], num_keep, self.num_neighbors, required)
        return kept.gather(x), kept

    if TYPE_CHECKING:  # else a call of a module has no type

        def __call__(self, x: Tensor, mask: TemporalMask) -> tuple[Tensor, KeptFrames]: ...

    @torch.no_grad()
    def _frame_tokens(self, x: Float[Tensor, "batch frames joints dim"]) -> Float[Tensor, "batch frames dim"]:
        tokens = scale_tokens(x, (1, 2, 3), name="MGPTP").tokens
        pooled = self.joint_pool(tokens.flatten(0, 1).transpose(1, 2))
        return pooled.squeeze(-1).unflatten(0, x.shape[:2])

    def extra_repr(self) -> str:
        required = f", required={self.required}" if self.required else ""
        return f"num_keep={self.num_keep}, num_neighbors={self.num_neighbors}{required}"
