"""The loss curve of a run as a picture."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # a picture in a file, also where there is no screen
from matplotlib import pyplot

from htp_diffusion.training.checkpoint import Checkpoint


def draw_loss_curve(checkpoint: Checkpoint, path: str | Path) -> None:
    """Draw the training loss over the steps done so far.

    Args:
        checkpoint: The run.
        path: The PNG file.
    """
    every = checkpoint.loss_every
    steps = [every * (stretch + 1) for stretch in range(len(checkpoint.losses))]
    figure, axes = pyplot.subplots(figsize=(7.0, 4.0), layout="constrained")
    axes.plot(steps, checkpoint.losses, linewidth=1.5)
    axes.set_xlim(0, checkpoint.steps)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step")
    axes.set_ylabel(f"training MPJPE (mm), mean of {every} steps")
    axes.set_title(f"{checkpoint.denoiser.kind.upper()}: {checkpoint.step} of {checkpoint.steps} steps")
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
