"""FinePOSE told one action, and called as a denoiser is.

FinePOSE's authors tell it the name of the clip's action in Human3.6M, and six fixed texts. CLIP's vocabulary
is not in this project: the numbers that its tokenizer gives these names are.
"""

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int64, Real
from torch import Tensor, nn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.finepose import FinePOSEDenoiser

# By CLIP's own tokenizer (github.com/openai/CLIP, clip.tokenize), between the numbers of start and end.
_START, _END = 49406, 49407
ACTIONS: dict[str, tuple[int, ...]] = {
    "Directions": (16440,),
    "Discussion": (5060,),
    "Eating": (4371,),
    "Greeting": (17754,),
    "Phoning": (745, 5197),
    "Photo": (1125,),
    "Posing": (10518,),
    "Purchases": (21887,),
    "Sitting": (4919,),
    "SittingDown": (42988, 653, 1136),
    "Smoking": (9038,),
    "Waiting": (2680,),
    "WalkDog": (8588, 1929),
    "Walking": (3941,),
    "WalkTogether": (8588, 1952),
}
_FIXED = ((320, 2533), (4163,), (1375,), (1774,), (4793,), (4924,))  # A person, speed, head, body, arm, leg


class ToldDenoiser(nn.Module):
    """A FinePOSE that is told the same action in every call.

    Args:
        network: FinePOSE, patched or not.
        action: One of ``ACTIONS``.

    Raises:
        BenchmarkError: No such action.
    """

    text: Tensor
    sentences: Tensor

    def __init__(self, network: FinePOSEDenoiser, action: str) -> None:
        super().__init__()
        if action not in ACTIONS:
            raise BenchmarkError(f"FinePOSE knows no action {action!r}; there are {', '.join(ACTIONS)}")
        self.network = network
        words = network.clip_text.positional_embedding.shape[0]
        self.register_buffer("text", _tokens([ACTIONS[action]], words), persistent=False)
        self.register_buffer("sentences", _tokens(_FIXED, words)[None], persistent=False)

    def forward(
        self,
        pose_2d: Float[Tensor, "batch frames joints 2"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The clean 3D poses. All samples share one text, which is encoded once a call."""
        return self.network(pose_2d, noisy, timestep, self.text, self.sentences)


def _tokens(texts: Iterable[tuple[int, ...]], words: int) -> Int64[Tensor, "texts words"]:
    """Numbers of texts, one a row, filled up with zeros."""
    rows = [(_START, *text, _END) for text in texts]
    return torch.tensor([row + (0,) * (words - len(row)) for row in rows])
