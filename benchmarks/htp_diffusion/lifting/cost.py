"""What lifting costs, in words, and what pruning saves of it."""

from dataclasses import replace

from htp_diffusion.lifting.lifted import Lifted
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.speed.counting import denoiser_on_meta, true_macs


def saved_by_pruning(config: DenoiserConfig) -> float | None:
    """Share of the multiply-accumulates of one pass that pruning saves; None for a model that does not prune.

    Args:
        config: The model as it computes.
    """
    if config.htp is None or config.htp.frames_kept(config.num_frames) == config.num_frames:
        return None
    whole = replace(config, htp=replace(config.htp, num_keep=config.num_frames))
    pruned, full = (true_macs(*denoiser_on_meta(made.build, made.num_frames)) for made in (config, whole))
    return 1 - pruned / full


def told_cost(name: str, config: DenoiserConfig, lifted: Lifted) -> str:
    """Time, what pruning saves, and how long a pose waits.

    Args:
        name: The model's.
        config: The model as it computes.
        lifted: What came out.
    """
    saved = saved_by_pruning(config)
    pruning = ""
    if saved is not None:  # of a tiny model, HTP's own modules take more than pruning saves
        verb = "saves" if saved >= 0 else "adds"
        pruning = f"; pruning {verb} {abs(saved):.0%} of the multiply-accumulates"
    return (
        f"{name}: {lifted.windows} windows of {lifted.window_frames} frames in {lifted.seconds:.1f} s, "
        f"{len(lifted.poses) / lifted.seconds:.1f} frames/s{pruning}; a pose waits for up to "
        f"{lifted.window_frames - 1} later frames: there is no causal mode"
    )
