"""Recovery: from the kept frames back to the full length (paper, Section III-D).

Notation:
    queries   T learnable tokens, one a frame   (T, D)
    x_kept    the tokens of the kept frames     (B, f, J, D)
    query     W_q queries
    key       W_k x_kept + W_q queries at the kept frames
    value     W_v x_kept

The paper takes the pruned tokens alone as keys. They tell where in time they come from only through what the
layers before have left of the temporal position, and the attention takes long to find the frames around each
query. Here a key also carries the query of its own frame, queries start as positions, W_k at zero, W_v and
W_out at the identity: a fresh recovery blends the kept tokens around each frame, and learns from there.
Parameters and multiply-accumulates are the paper's.
"""

import math
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from htp_modules.attention import attend
from htp_modules.checks import check_tokens, check_type
from htp_modules.config import check_count, check_heads
from htp_modules.errors import ShapeError
from htp_modules.kept import KeptFrames, take_frames

_QUERY_AMPLITUDE = 0.5  # "initialised small" beside tokens of unit variance
_INITIAL_LOGIT = 8.0  # of a query with the key of its own frame, before the tokens say anything


def frame_positions(num_frames: int, dim: int) -> Float[Tensor, "frames dim"]:
    """Sines and cosines of the frame number, at periods from 2 pi to about 2 pi num_frames frames."""
    waves = (dim + 1) // 2
    frequency = torch.exp(torch.arange(waves) * (-math.log(max(num_frames, 2)) / waves))
    angle = torch.arange(num_frames)[:, None] * frequency
    return torch.cat((angle.sin(), angle.cos()), dim=-1)[:, :dim]


class CrossMHSA(nn.Module):
    """Cross MHSA: one learnable query per frame attends to the kept frames of each joint.

    Args:
        dim: D, channels of the tokens.
        num_frames: T, the longest sequence to restore.
        num_heads: Attention heads.

    Attributes:
        fused: Run the fused kernel where it is the faster path (default), or always the explicit product.
    """

    def __init__(self, dim: int, num_frames: int, num_heads: int = 8) -> None:
        super().__init__()
        self.num_heads = check_heads(dim, num_heads)
        self.fused = True
        self.queries = nn.Parameter(torch.empty(check_count(num_frames, "num_frames"), dim))
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)
        self._start_at_positions()

    def forward(
        self, x_kept: Float[Tensor, "batch kept joints dim"], kept: KeptFrames
    ) -> Float[Tensor, "batch frames joints dim"]:
        """Restore every frame.

        Args:
            x_kept: Tokens of the kept frames.
            kept: Which frames they are, and of how many.

        Raises:
            ShapeError: Tokens that ``kept`` was not made for, other channels, or more frames than built for.
            DtypeError: Tokens that are not floating.
            MaskError: Tokens on another device than ``kept``.
        """
        longest, dim = self.queries.shape
        check_tokens(x_kept, name="CrossMHSA", dim=dim)
        check_type(kept, KeptFrames, name="CrossMHSA")
        kept.check_tokens(x_kept, name="CrossMHSA")
        if kept.num_frames > longest:
            raise ShapeError(
                f"CrossMHSA was built for up to num_frames={longest}, got kept frames of {kept.num_frames}; "
                f"build it with num_frames={kept.num_frames} or cut the sequence into shorter clips"
            )
        batch, _, joints, _ = x_kept.shape
        queries = self.queries[: kept.num_frames]
        # The queries do not depend on the input: project them once, not once a joint and sample.
        projected = self.q(queries)
        query = projected.unflatten(-1, (self.num_heads, -1)).transpose(0, 1)
        query = query.expand(batch * joints, -1, -1, -1)
        keys = self.k(x_kept) + projected[kept.index].unsqueeze(2)
        key = self._heads(keys)
        value = self._heads(self.v(x_kept))
        attended = attend(query, key, value, fused=self.fused)
        # Joint by joint, as the attention leaves them: turned before the projection, they would be copied.
        restored = self.out(attended.transpose(1, 2).flatten(2)) + queries
        return restored.unflatten(0, (batch, joints)).transpose(1, 2)

    def _heads(
        self, tokens: Float[Tensor, "batch kept joints dim"]
    ) -> Float[Tensor, "batch_joints heads kept head_dim"]:
        return tokens.unflatten(-1, (self.num_heads, -1)).permute(0, 2, 3, 1, 4).flatten(0, 1)

    if TYPE_CHECKING:  # else a call of a module has no type

        def __call__(self, x_kept: Tensor, kept: KeptFrames) -> Tensor: ...

    @torch.no_grad()
    def _start_at_positions(self) -> None:
        num_frames, dim = self.queries.shape
        self.queries.copy_(_QUERY_AMPLITUDE * frame_positions(num_frames, dim))
        # A query's squared norm in one head is amplitude² width / 2; scores are divided by sqrt(width).
        gain = math.sqrt(2.0 * _INITIAL_LOGIT / math.sqrt(dim // self.num_heads)) / _QUERY_AMPLITUDE
        nn.init.orthogonal_(self.q.weight, gain=gain)
        nn.init.zeros_(self.k.weight)
        nn.init.eye_(self.v.weight)
        nn.init.eye_(self.out.weight)
        for projection in (self.q, self.k, self.v, self.out):
            nn.init.zeros_(projection.bias)


def interpolate_frames(
    x_kept: Float[Tensor, "batch kept joints dim"], kept: KeptFrames
) -> Float[Tensor, "batch frames joints dim"]:
    """Each frame as the linear mix of the kept frames around it; the outermost are held beyond them."""
    frame = torch.arange(kept.num_frames, device=x_kept.device)
    after = (kept.index.unsqueeze(1) < frame[:, None]).sum(dim=-1)
    before = (after - 1).clamp(min=0)
    after = after.clamp(max=kept.num_kept - 1)
    start, end = kept.index.gather(1, before), kept.index.gather(1, after)
    wide = torch.promote_types(x_kept.dtype, torch.float32)
    share = (frame - start).clamp(min=0).to(wide) / (end - start).clamp(min=1)
    left, right = take_frames(x_kept, before), take_frames(x_kept, after)
    return torch.lerp(left, right, share.to(x_kept.dtype)[:, :, None, None])


class Interpolation(nn.Module):
    """Linear interpolation between the kept frames: a recovery without parameters or training."""

    def forward(
        self, x_kept: Float[Tensor, "batch kept joints dim"], kept: KeptFrames
    ) -> Float[Tensor, "batch frames joints dim"]:
        """Restore every frame.

        Raises:
            ShapeError: Tokens that ``kept`` was not made for.
            DtypeError: Tokens that are not floating.
            MaskError: Tokens on another device than ``kept``.
        """
        check_tokens(x_kept, name="Interpolation")
        check_type(kept, KeptFrames, name="Interpolation")
        kept.check_tokens(x_kept, name="Interpolation")
        return interpolate_frames(x_kept, kept)

    if TYPE_CHECKING:  # else a call of a module has no type

        def __call__(self, x_kept: Tensor, kept: KeptFrames) -> Tensor: ...
