"""FinePOSE's prompts in a sampling: they do not depend on the noise, so ours are encoded once."""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from htp_diffusion.speed.counting import Count, count
from htp_diffusion.speed.lineup import Entrant
from htp_diffusion.speed.traffic import moved_elements


class _Encoder(nn.Module):
    """The part of a FinePOSE that reads the prompts."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network: Any = network

    def forward(self, text: Tensor, sentences: Tensor) -> Tensor:
        return self.network.encode_text(text, sentences).sentence


def told(entrant: Entrant, words: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What each pass of a sampling is given beside the poses and the timestep, on behalf of all clips.

    Args:
        entrant: A denoiser; all but FinePOSE are told nothing.
        words: The texts of its clips. As an action's clips share one, the first is every clip's.

    Returns:
        Of ours the encoded prompts; of public code, which encodes them in every call, the words.
    """
    first = tuple(part[:1] for part in words)
    if not first or not entrant.own:
        return first
    network: Any = entrant.model
    return tuple(network.encode_text(*first))


def encoding_cost(entrant: Entrant, words: tuple[Tensor, ...]) -> tuple[Count, int]:
    """What encoding one text costs, and the numbers that its operations move: paid once in a sampling.

    Args:
        entrant: A denoiser.
        words: As of ``told``.
    """
    if not words or not entrant.own:
        return Count(thop_macs=0, true_macs=0, params=0), 0
    encoder = _Encoder(copy.deepcopy(entrant.model).to("meta"))
    first = tuple(torch.empty_like(part[:1], device="meta") for part in words)
    return count(encoder, first), moved_elements(encoder, first)
