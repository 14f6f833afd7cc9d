"""The loss curve of a run as a picture."""

from pathlib import Path

from matplotlib.figure import Figure

from htp_diffusion.base.picture import save_png
from htp_diffusion.models.checkpoint import Checkpoint


def draw_loss_curve(checkpoint: Checkpoint, path: str | Path) -> None:
    """Draw the training loss over the steps done so far, and the error on clips held out if there were any.

    Args:
        checkpoint: The run.
        path: The PNG file.

    Raises:
        BenchmarkError: The file cannot be written.
    """
    every = checkpoint.loss_every
    steps = [every * (stretch + 1) for stretch in range(len(checkpoint.losses))]
    figure = Figure(figsize=(7.0, 4.0), dpi=120, layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, checkpoint.losses, linewidth=1.5, label="training")
    if checkpoint.evaluations:
        at = [evaluation.step for evaluation in checkpoint.evaluations]
        errors = [evaluation.mpjpe for evaluation in checkpoint.evaluations]
        axes.plot(at, errors, linewidth=1.5, marker="o", markersize=3, label="held out, H=1, K=1")
        axes.legend()
    axes.set_xlim(0, checkpoint.steps)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("step")
    axes.set_ylabel(f"MPJPE ({checkpoint.pose_space.error_unit}); training: mean of {every} steps")
    axes.set_title(f"{checkpoint.denoiser.kind.upper()}: {checkpoint.step} of {checkpoint.steps} steps")
    axes.grid(alpha=0.3)
    save_png(figure, path)
