"""Models of the field that temporal pruning does not apply to, and why; recognised by structure.

Source of the attribute names: the public code of each.
"""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Refusal:
    """A kind of model that cannot be patched.

    Attributes:
        name: Its name, for messages.
        parts: Attributes that it has and no host does, all of them; dotted where they lie deeper.
        why: What stands in the way, as the end of a sentence.
    """

    name: str
    parts: tuple[str, ...]
    why: str

    def fits(self, model: nn.Module) -> bool:
        """Whether ``model`` is of this kind."""
        return all(_has(model, part) for part in self.parts)


def _has(model: object, path: str) -> bool:
    for part in path.split("."):
        if not hasattr(model, part):
            return False
        model = getattr(model, part)
    return True


REFUSALS = (
    Refusal(
        "a model that HoT has pruned",
        ("pool", "token_num", "layer_index"),
        "it keeps token_num of its frames by clustering already; patch the model that HoT started from",
    ),
    Refusal(
        "MHFormer",
        ("Transformer_encoder_1", "Transformer_encoder_2", "Transformer_hypothesis", "regression"),
        "its frames are the channels of its first tokens, and no frame can be left out of a channel axis",
    ),
    Refusal(
        "PoseFormerV2",
        ("Freq_embedding", "Spatial_blocks", "blocks"),
        "its tokens are frequencies of the clip beside few frames, and it gives the middle frame alone",
    ),
    Refusal(
        "PoseFormer",
        ("Spatial_blocks", "blocks", "weighted_mean"),
        "a token is a frame's whole pose, and it gives the middle frame alone: there is nothing to recover",
    ),
    Refusal(
        "P-STMO",
        ("encoder", "Transformer", "Transformer_reduce", "fcn"),
        "a token is a frame's whole pose, and strided layers shorten the clip to its middle frame already",
    ),
    Refusal(
        "PoseMamba",
        ("STEblocks.0.op.A_logs", "TTEblocks.0.op.A_logs"),
        "its blocks scan the frames where others attend, and a scan takes no mask over pairs of frames",
    ),
)


def refusal_of(model: nn.Module) -> tuple[str, Refusal] | None:
    """Where in ``model`` one of these is, empty for the model itself, and which; None if it holds none."""
    for path, module in model.named_modules():
        for refusal in REFUSALS:
            if refusal.fits(module):
                return path, refusal
    return None
