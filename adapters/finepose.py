"""FinePOSE: D3DP's denoiser, told in words what the person does.

Source of the host's attribute names: Xu et al., "FinePOSE", CVPR 2024, and its public code. The prompts are
encoded by the host; their sentence joins the timestep before spatial block 0, and the tokens attend to their
words where the host lets them, between TCEP and the temporal position.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Real, Shaped
from torch import Tensor, nn

from adapters.adapter import Adapter, Facts, FrameState
from adapters.blocks import from_tracks, to_tracks
from adapters.d3dp import COORDINATES, d3dp_inputs, run_denoiser
from adapters.mixste import TRUNK_PARTS, add_position, probe_trunk
from adapters.probe import Probe

PROMPTS = ("subject", "verb", "speed", "head", "body", "arm", "leg")
SENTENCES = 6  # fixed ones beside the action's own
TEXT_PARTS = {"time_mlp", "temporal_cross_attn", "clip_text", "text_pre_proj", "textTransEncoder"}
TEXT_PARTS |= {"text_ln", "text_proj", *(f"ctx_{prompt}" for prompt in PROMPTS)}


def probe_finepose(host: nn.Module) -> Facts:
    """Sizes of a FinePOSE denoiser.

    Raises:
        UnrecognisedHostError: It is none; the error lists what it lacks.
    """
    probe = Probe(host, "FinePOSE denoiser")
    facts = probe_trunk(probe)
    for part in ("time_mlp", "temporal_cross_attn", "textTransEncoder", "clip_text.token_embedding"):
        probe.module(part)
    probe.number("clip_text.token_embedding.num_embeddings")
    probe.require(callable(getattr(host, "encode_text", None)), "encode_text, a function of the prompts")
    probe.nothing_but("", TRUNK_PARTS | TEXT_PARTS)
    probe.finish()
    return replace(facts, noisy_channels=COORDINATES)


def attend_to_words(
    words: Float[Tensor, "batch words dim"],
    host: Any,
    time: Float[Tensor, "batch_hyps 1 1 dim"],
    x: Float[Tensor, "batch_hyps frames joints dim"],
) -> Float[Tensor, "batch_hyps frames joints dim"]:
    """Tokens that have read the prompts, with the temporal position."""
    frames, joints = x.shape[1:3]
    tracks = to_tracks(x)
    time = time[:, 0].repeat_interleave(joints, dim=0).expand(-1, frames, -1)
    tracks = host.temporal_cross_attn(tracks, words, time)
    return add_position(host, from_tracks(tracks, joints))


def run_finepose(
    host: Any,
    pose_2d: Float[Tensor, "batch frames joints channels"],
    noisy: Float[Tensor, "*batch_hyps frames joints 3"],
    timestep: Real[Tensor, " batch"],
    text: Shaped[Tensor, "texts _"],
    sentences: Shaped[Tensor, "texts _ _"],
) -> Float[Tensor, "*batch_hyps frames joints 3"]:
    """The denoiser's forward pass, pruned; an axis of hypotheses may follow the batch.

    The texts are as many as the samples, or one that all of them share, in the form that the host's
    ``encode_text`` takes.
    """
    sentence, words = host.encode_text(text, sentences)
    told = host.time_mlp(timestep) + sentence
    return run_denoiser(host, pose_2d, noisy, told, partial(attend_to_words, words))


def finepose_inputs(host: nn.Module, facts: Facts, frames: int) -> tuple[Tensor, ...]:
    """D3DP's, and the tokens of an action's name and of the fixed sentences."""
    encoder: Any = host.get_submodule("clip_text")
    vocabulary, words = encoder.token_embedding.num_embeddings, encoder.positional_embedding.shape[0]
    text = torch.randint(vocabulary, (1, words))
    return *d3dp_inputs(host, facts, frames), text, torch.randint(vocabulary, (1, SENTENCES, words))


FINEPOSE = Adapter(
    name="FinePOSE denoiser",
    probe=probe_finepose,
    run=run_finepose,
    inputs=finepose_inputs,
    embedding="Spatial_patch_to_embedding",
    by_frame=(FrameState("Temporal_pos_embed"),),
    injected="words of the prompts and temporal position",
)
