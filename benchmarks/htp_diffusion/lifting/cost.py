"""What lifting costs, in words, and what pruning saves of it."""

from dataclasses import replace

import torch

from htp_diffusion.lifting.lifted import Lifted
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.speed.counting import true_macs


def saved_by_pruning(config: DenoiserConfig) -> float | None:
    """Share of the multiply-accumulates of one pass that pruning saves; None for a model that does not prune.

    Args:
        config: The model as it computes.
    """
    if config.htp is None or config.htp.frames_kept(config.num_frames) == config.num_frames:
        return None
    whole = replace(config, htp=replace(config.htp, num_keep=config.num_frames))
    return 1 - _macs(config) / _macs(whole)


def _macs(config: DenoiserConfig) -> int:
    shape = (1, config.num_frames, H36M_17.num_joints)
    with torch.device("meta"):
        model = config.build().eval()
        inputs = (torch.empty(*shape, 2), torch.empty(*shape, 3), torch.zeros(1, dtype=torch.int64))
        return true_macs(model, inputs)


def told_cost(name: str, config: DenoiserConfig, lifted: Lifted) -> str:
    """Time, what pruning saves, and how long a pose waits.

    Args:
        name: The model's.
        config: The model as it computes.
        lifted: What came out.
    """
    saved = saved_by_pruning(config)
    pruning = "" if saved is None else f"; pruning saves {saved:.0%} of the multiply-accumulates"
    return (
        f"{name}: {lifted.windows} windows of {lifted.window_frames} frames in {lifted.seconds:.1f} s, "
        f"{len(lifted.poses) / lifted.seconds:.1f} frames/s{pruning}; a pose waits for up to "
        f"{lifted.window_frames - 1} later frames: there is no causal mode"
    )
