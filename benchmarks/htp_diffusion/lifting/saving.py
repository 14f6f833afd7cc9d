"""What pruning saves: the work of one pass with and without it."""

from dataclasses import replace

import torch

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
