"""The trained hosts that the study of adapters makes faster: the shipped MixSTE and D3DP."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor, nn

from htp_diffusion.data.motion import Motion, Windows
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.checkpoint import SHIPPED, Checkpoint, load_denoiser
from htp_diffusion.models.contender import NAMES
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.scoring.action_scores import mean_scores
from htp_diffusion.scoring.clip_scores import Errors, score_clip
from htp_diffusion.scoring.draw_and_score import score_clips
from htp_diffusion.speed.lineup import random_inputs
from htp_diffusion.training.batches import Batch, step_generator
from htp_diffusion.training.fit import fit
from htp_diffusion.training.trainer import diffusion_loss
from htp_diffusion.training.virtual import VirtualBatches

console = Console(stderr=True, markup=False)

_MIXSTE, _D3DP = SHIPPED / "mixste-tiny.json", SHIPPED / "d3dp-base.json"
_TRAINING_FRAMES = 324  # in a batch, as in the small preset
_SCORED_AT_ONCE = 12  # windows


@dataclass(frozen=True, kw_only=True, eq=False)
class Host:
    """A trained model that somebody wants faster.

    Attributes:
        name: What it is.
        story: How it came about and how it is scored.
        model: The model.
        num_frames: T.
        loss: Its training loss on a batch, metres.
        predict: Poses of windows (batch, frames, joints, 2), the second argument telling batches apart.
        inputs: What one pass takes for this many windows.
    """

    name: str
    story: str
    model: nn.Module
    num_frames: int
    loss: Callable[[nn.Module, Batch, torch.Generator], Float[Tensor, ""]]
    predict: Callable[[nn.Module, Tensor, int], Float[Tensor, "batch hyps frames joints 3"]]
    inputs: Callable[[int], tuple[Tensor, ...]]

    def tune(
        self, model: nn.Module, motions: Sequence[Motion], steps: int, rate: float, seed: int
    ) -> list[float]:
        """Train a model of this kind on; returns each step's loss, mm."""
        drawn = VirtualBatches(motions, self.num_frames, _TRAINING_FRAMES // self.num_frames)

        def loss(step: int) -> Float[Tensor, ""]:
            generator = step_generator(seed, step)
            return self.loss(model, drawn.draw(generator), generator)

        losses = []
        for step, value in enumerate(fit(model, loss, steps, rate), start=1):
            losses.append(value)
            if step % 50 == 0:
                console.print(f"{self.name}: step {step} of {steps}, {value:.1f} mm")
        return losses

    def score(self, model: nn.Module, clips: list[Windows]) -> Errors:
        """Mean errors over all frames of the clips."""
        with torch.inference_mode():
            scores = score_clips(
                clips,
                _SCORED_AT_ONCE,
                partial(self.predict, model.eval()),
                score_clip,
                device=torch.device("cpu"),
            )
        return mean_scores(scores).over_frames["mean"]


def lift(model: nn.Module, pose_2d: Tensor, _: int) -> Float[Tensor, "batch 1 frames joints 3"]:
    """One pass of a lifter, root-relative."""
    pose = model(pose_2d)
    return (pose - pose[:, :, :1]).unsqueeze(1)


def mixste_host() -> Host:
    """The shipped MixSTE, as its authors' class is: called with the 2D poses alone."""
    checkpoint, lifter = load_denoiser(_MIXSTE)
    sizes = checkpoint.denoiser
    model = MixSTE(sizes.num_frames, dim=sizes.dim, depth=sizes.depth, num_heads=sizes.num_heads)
    model.load_state_dict(lifter.state_dict())
    return Host(
        name="MixSTE",
        story=_story(checkpoint, "one pass"),
        model=model,
        num_frames=sizes.num_frames,
        loss=lambda model, batch, _: (model(batch.pose_2d) - batch.pose_3d).norm(dim=-1).mean(),
        predict=lift,
        inputs=lambda count: random_inputs("mixste", count, sizes.num_frames),
    )


def d3dp_host() -> Host:
    """The shipped D3DP."""
    checkpoint, model = load_denoiser(_D3DP)
    frames = checkpoint.denoiser.num_frames
    schedule = cosine_schedule()
    sampling = Sampling(
        hypotheses=1,
        steps=5,
        eta=1.0,
        flip=False,
        seed=0,
        batch_size=_SCORED_AT_ONCE,
        max_batch=_SCORED_AT_ONCE,
    )
    return Host(
        name="D3DP",
        story=_story(checkpoint, "H=1, K=5, no flip"),
        model=model,
        num_frames=frames,
        loss=lambda model, batch, generator: diffusion_loss(model, batch, schedule, generator),
        predict=sampling.draw,
        inputs=lambda count: random_inputs("d3dp", count, frames),
    )


def _story(checkpoint: Checkpoint, scored: str) -> str:
    sizes = checkpoint.denoiser
    return (
        f"{NAMES[sizes.kind]}: shipped, T={sizes.num_frames}, D={sizes.dim}, depth {sizes.depth}, "
        f"{checkpoint.step:,} training steps; {scored}."
    )
