"""FinePOSE's denoiser: D3DP's, told in words what the person does.

Source: Xu et al., "FinePOSE: Fine-Grained Prompt-Driven 3D Human Pose Estimation via Diffusion Models", CVPR
2024. Attribute names are those of the public code. The prompts do not depend on the noise: a sampler encodes
them once a clip.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, Integer, Real
from torch import Tensor, nn

from htp_diffusion.models.clip_text import Clip
from htp_diffusion.models.denoiser import D3DPDenoiser

PROMPTS = {"subject": 7, "verb": 12, "speed": 10, "head": 10, "body": 10, "arm": 14, "leg": 14}
"""Words of each prompt, learned ones first."""

_OWN = "verb"  # the prompt that is the clip's own text; the others are fixed sentences
_TEXT_LAYERS, _TEXT_HIDDEN = 4, 2048


class Prompts(NamedTuple):
    """What a clip's text says.

    Attributes:
        sentence: All of it, one a sample or one that all samples share.
        words: Word by word, likewise.
    """

    sentence: Float[Tensor, "texts dim"]
    words: Float[Tensor, "texts words dim"]


class Stylization(nn.Module):
    """A norm that an embedding scales and shifts, before the last layer, which starts at zero."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(dim, 2 * dim))
        self.norm = nn.LayerNorm(dim)
        self.out_layers = nn.Sequential(nn.SiLU(), nn.Identity(), nn.Linear(dim, dim))
        for parameter in self.out_layers.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, x: Float[Tensor, "tracks frames dim"], time: Float[Tensor, "tracks frames dim"]
    ) -> Float[Tensor, "tracks frames dim"]:
        """The tokens, styled by the time, which is the same for all frames of a track."""
        # Computed for every frame, as the public code does and the paper's count has it.
        scale, shift = self.emb_layers(time)[:, :1].chunk(2, dim=-1)
        return self.out_layers(self.norm(x) * (1 + scale) + shift)


class WordAttention(nn.Module):
    """Tokens of a track attend to the words of the prompts."""

    def __init__(self, dim: int, num_heads: int) -> None:
        super().__init__()
        self.num_head = num_heads
        self.norm = nn.LayerNorm(dim)
        self.text_norm = nn.LayerNorm(dim)
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.proj_out = Stylization(dim)

    def forward(
        self,
        x: Float[Tensor, "tracks frames dim"],
        words: Float[Tensor, "texts words dim"],
        time: Float[Tensor, "tracks frames dim"],
    ) -> Float[Tensor, "tracks frames dim"]:
        """The tokens; as in the public code, track i reads text number i mod texts."""
        text = self.text_norm(words)
        parts = (self.query(self.norm(x)), self.key(text), self.value(text))
        query, key, value = (rearrange(part, "n l (h d) -> n h l d", h=self.num_head) for part in parts)
        times = len(x) // len(words)
        mixed = nn.functional.scaled_dot_product_attention(
            query, key.repeat(times, 1, 1, 1), value.repeat(times, 1, 1, 1)
        )
        return x + self.proj_out(rearrange(mixed, "n h l d -> n l (h d)"), time)


class FinePOSEDenoiser(D3DPDenoiser):
    """Predicts the clean 3D poses from noisy ones, the 2D poses, the timestep and the prompts.

    Args:
        num_frames: Longest clip.
        num_joints: Joints of the skeleton.
        in_channels: Channels of a 2D joint.
        dim: Channels of a token, and of the encoder.
        depth: Pairs of a spatial and a temporal block.
        num_heads: Attention heads of every block.
        mlp_ratio: Hidden width of the blocks' MLPs over ``dim``.
        drop_path: Stochastic depth rate of the last pair.
        clip: The text encoder; None for one of ViT-B/32's shapes with random weights.
        prompts: Words of each prompt; they fill the encoder's text.
        kept: Words of each prompt that are the text's, at its end.
    """

    def __init__(
        self,
        num_frames: int = 243,
        num_joints: int = 17,
        in_channels: int = 2,
        dim: int = 512,
        depth: int = 8,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
        drop_path: float = 0.0,
        clip: Clip | None = None,
        prompts: Mapping[str, int] = PROMPTS,
        kept: int = 4,
    ) -> None:
        super().__init__(num_frames, num_joints, in_channels, dim, depth, num_heads, mlp_ratio, drop_path)
        self.temporal_cross_attn = WordAttention(dim, num_heads)
        layer = nn.TransformerEncoderLayer(dim, num_heads, _TEXT_HIDDEN, 0.0, "gelu")
        self.textTransEncoder = nn.TransformerEncoder(layer, _TEXT_LAYERS, enable_nested_tensor=False)
        self.text_ln = nn.LayerNorm(dim)
        self.text_proj = nn.Sequential(nn.Linear(dim, dim))
        self.clip_text = Clip(dim=dim) if clip is None else clip
        self.remain_len = kept
        self.prompts = tuple(prompts)
        for name, words in prompts.items():
            self.register_parameter(f"ctx_{name}", nn.Parameter(0.02 * torch.randn(words - kept, dim)))

    def encode_text(
        self,
        text: Integer[Tensor, "texts words"] | Float[Tensor, "texts dim"],
        sentences: Integer[Tensor, "texts sentences words"] | Float[Tensor, "texts words dim"],
    ) -> Prompts:
        """What the prompts say.

        Args:
            text: The clip's own, as numbers of the encoder's vocabulary; or ``Prompts.sentence``.
            sentences: Those of the other prompts, in their order; or ``Prompts.words``. Prompts that are
                encoded already are what is returned.
        """
        if text.is_floating_point():
            return Prompts(text, sentences)
        own = self.clip_text.token_embedding(text)
        fixed = iter(self.clip_text.token_embedding(sentences).unbind(dim=1))
        parts = []
        for name in self.prompts:
            words = own if name == _OWN else next(fixed)
            learned = self.get_parameter(f"ctx_{name}").expand(len(text), -1, -1)
            parts += [learned, words[:, : self.remain_len]]
        with torch.no_grad():  # as in the public code: the learned words get no gradient
            x = torch.cat(parts, dim=1) + self.clip_text.positional_embedding
            x = self.clip_text.ln_final(self.clip_text.transformer(x.transpose(0, 1)))
        words = self.text_ln(self.textTransEncoder(x)).transpose(0, 1)
        last = text.argmax(dim=-1)
        return Prompts(self.text_proj(words[torch.arange(len(text), device=text.device), last]), words)

    def denoise(
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
        prompts: Prompts,
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The clean 3D poses, with prompts that are encoded already."""
        time = (self.time_mlp(timestep) + prompts.sentence)[:, None, None]
        frames, joints = pose_2d.shape[1:3]
        first, *rest = self.pairs()
        x = rearrange(first.spatial(self.embed(pose_2d, noisy) + time), "b t j d -> (b j) t d")
        time = time[:, 0].repeat_interleave(joints, dim=0).expand(-1, frames, -1)
        x = self.temporal_cross_attn(x, prompts.words, time)
        x = rearrange(x, "(b j) t d -> b t j d", j=joints)
        x = first.temporal(x + self.temporal_position(x.shape[1]), None)
        for pair in rest:
            x = pair.temporal(pair.spatial(x), None)
        return self.head(x)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]  (prompts beside what D3DP is told)
        self,
        pose_2d: Float[Tensor, "batch frames joints channels"],
        noisy: Float[Tensor, "batch frames joints 3"],
        timestep: Real[Tensor, " batch"],
        text: Integer[Tensor, "texts words"] | Float[Tensor, "texts dim"],
        sentences: Integer[Tensor, "texts sentences words"] | Float[Tensor, "texts words dim"],
    ) -> Float[Tensor, "batch frames joints 3"]:
        """The clean 3D poses, the prompts as ``encode_text`` takes them.

        Raises:
            ShapeError: The clips differ in batch, frames or joints, or do not fit the model.
        """
        return self.denoise(pose_2d, noisy, timestep, self.encode_text(text, sentences))
