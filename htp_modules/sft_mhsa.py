"""SFT MHSA: Sparse-Focused Temporal multi-head self-attention (paper, Section III-C).

Notation:
    y = x + proj(softmax(Q Kᵀ / sqrt(d) + M⁺) V)
    z = y + MLP(LN(y))
"""

from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from htp_modules.block import TransformerBlock
from htp_modules.checks import check_tokens, check_type
from htp_modules.mask import TemporalMask


class SFTMHSA(TransformerBlock):
    """A transformer block along time, each joint's frames attending under the joint's own mask.

    It carries the parameter names of the temporal blocks of MixSTE and D3DP, so their weights load by name.
    """

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  (tokens and a mask, not one sequence)
        self, x: Float[Tensor, "batch frames joints dim"], mask: TemporalMask | None = None
    ) -> Float[Tensor, "batch frames joints dim"]:
        """Attend along time.

        Args:
            x: Tokens.
            mask: Which frames may attend to which; None lets every frame attend to every frame.

        Raises:
            ShapeError: Another rank or other channels, or a mask of another batch, length or joints.
            DtypeError: Tokens that are not floating, or no TemporalMask.
            MaskError: A mask on another device.
        """
        check_tokens(x, name="SFTMHSA", dim=self.norm1.normalized_shape[0])
        if mask is not None:
            check_type(mask, TemporalMask, name="SFTMHSA")
            mask.check_tokens(x, name="SFTMHSA")
        joints = x.shape[2]
        additive = None if mask is None else mask.additive().flatten(0, 1)
        # The sequences, a copy, have no name here: the block lets go of them as soon as it can.
        attended = super().forward(x.transpose(1, 2).flatten(0, 1), additive)
        return attended.unflatten(0, (-1, joints)).transpose(1, 2)

    if TYPE_CHECKING:  # else a call of a module has no type

        def __call__(self, x: Tensor, mask: TemporalMask | None = None) -> Tensor: ...
