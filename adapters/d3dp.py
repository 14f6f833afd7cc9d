"""D3DP: MixSTE's trunk on a 2D pose beside a noisy 3D pose, told the diffusion timestep.

Source of the host's attribute names: Shan et al., "Diffusion-Based 3D Human Pose Estimation with
Multi-Hypothesis Aggregation", ICCV 2023, and its public code. The timestep enters where the host has it,
before spatial block 0, so that a fresh patch that prunes nothing computes what the host does.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Real
from torch import Tensor, nn

from adapters.adapter import Adapter, Facts, FrameState
from adapters.mixste import TRUNK_PARTS, add_position, probe_trunk, run_trunk
from adapters.probe import Probe

COORDINATES = 3  # of one joint in 3D


def probe_d3dp(host: nn.Module) -> Facts:
    """Sizes of a D3DP denoiser.

    Raises:
        UnrecognisedHostError: It is none; the error lists what it lacks.
    """
    probe = Probe(host, "D3DP denoiser")
    facts = probe_trunk(probe)
    probe.module("time_mlp")
    probe.nothing_but("", TRUNK_PARTS | {"time_mlp"})
    probe.finish()
    return replace(facts, noisy_channels=COORDINATES)


def run_d3dp(
    host: Any,
    pose_2d: Float[Tensor, "batch frames joints channels"],
    noisy: Float[Tensor, "*batch_hyps frames joints 3"],
    timestep: Real[Tensor, " batch"],
) -> Float[Tensor, "*batch_hyps frames joints 3"]:
    """The denoiser's forward pass, pruned; an axis of hypotheses may follow the batch."""
    return run_denoiser(host, pose_2d, noisy, host.time_mlp(timestep), _position_alone)


def _position_alone(host: Any, time: Tensor, x: Tensor) -> Tensor:
    return add_position(host, x)


def run_denoiser(
    host: Any,
    pose_2d: Float[Tensor, "batch frames joints channels"],
    noisy: Float[Tensor, "*batch_hyps frames joints 3"],
    time: Float[Tensor, "batch dim"],
    inject: Callable[[Any, Tensor, Tensor], Tensor],
) -> Float[Tensor, "*batch_hyps frames joints 3"]:
    """Both poses through the embedding, HTP and the host's blocks, told ``time`` before spatial block 0.

    Args:
        host: The model.
        pose_2d: One for all hypotheses of a sample.
        noisy: An axis of hypotheses may follow the batch.
        time: What a sample is told, as one vector.
        inject: Given the host, the vectors of all hypotheses (batch_hyps, 1, 1, dim) and the tokens after
            TCEP: the tokens with what the host adds before temporal block 0.
    """
    time = time[:, None, None]
    hyps = noisy.shape[1] if noisy.ndim == 5 else None
    if hyps is not None:
        pose_2d = pose_2d.repeat_interleave(hyps, dim=0)
        time = time.repeat_interleave(hyps, dim=0)
        noisy = noisy.flatten(0, 1)
    poses = torch.cat((pose_2d, noisy), dim=-1)
    clean = run_trunk(host, poses, time, lambda host, x: inject(host, time, x))
    return clean if hyps is None else clean.unflatten(0, (-1, hyps))


def d3dp_inputs(host: nn.Module, facts: Facts, frames: int) -> tuple[Tensor, Tensor, Tensor]:
    """One random clip, a noisy pose in the form that the host's mode takes, and a timestep."""
    joints = facts.num_joints
    pose_2d = torch.randn(1, frames, joints, facts.in_channels - COORDINATES)
    noisy = torch.randn(1, frames, joints, COORDINATES)
    return pose_2d, noisy if getattr(host, "is_train", True) else noisy[:, None], torch.tensor([500])


D3DP = Adapter(
    name="D3DP denoiser",
    probe=probe_d3dp,
    run=run_d3dp,
    inputs=d3dp_inputs,
    embedding="Spatial_patch_to_embedding",
    by_frame=(FrameState("Temporal_pos_embed"),),
)
