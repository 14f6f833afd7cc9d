"""The trained hosts that the study of adapters makes faster: a small MixSTE, and the shipped D3DP."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from rich.console import Console
from torch import Tensor, nn

from htp_diffusion.base.parts import Parts
from htp_diffusion.data.motion import Motion, Windows
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.checkpoint import SHIPPED, load_denoiser
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.scoring.action_scores import mean_scores
from htp_diffusion.scoring.clip_scores import Errors, score_clip
from htp_diffusion.scoring.draw_and_score import score_clips
from htp_diffusion.speed.lineup import random_inputs
from htp_diffusion.studies.sweep import Trained
from htp_diffusion.training.batches import Batch, step_generator
from htp_diffusion.training.fit import fit
from htp_diffusion.training.trainer import diffusion_loss
from htp_diffusion.training.virtual import VirtualBatches

console = Console(stderr=True)

NUM_FRAMES = 27
"""T of the MixSTE, and of the motion that is scored where no file is given."""

_D3DP = SHIPPED / "d3dp-small.json"
_DIM, _HEADS = 64, 4  # of the MixSTE
_TRAINING_FRAMES = 324  # in a batch, as in the small preset
_SCORED_AT_ONCE = 12  # windows
_HOST_RATE = 2e-3


@dataclass(frozen=True, kw_only=True)
class HostTraining:
    """What the trained host depends on."""

    motions: list[str]
    steps: int


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


def mixste_host(motions: Sequence[Motion], steps: int, parts: Parts) -> Host:
    """A small MixSTE, trained here unless the folder holds it already."""
    torch.manual_seed(0)
    host = Host(
        name="MixSTE",
        story=f"MixSTE: T={NUM_FRAMES}, D={_DIM}, depth 8, {steps} training steps; one pass.",
        model=MixSTE(num_frames=NUM_FRAMES, dim=_DIM, num_heads=_HEADS),
        num_frames=NUM_FRAMES,
        loss=lambda model, batch, _: (model(batch.pose_2d) - batch.pose_3d).norm(dim=-1).mean(),
        predict=lift,
        inputs=lambda count: random_inputs("mixste", count, NUM_FRAMES),
    )
    asked = HostTraining(motions=[one.name for one in motions], steps=steps)
    if parts.find(host.name, asked, Trained) is None:
        losses = host.tune(host.model, motions, steps, _HOST_RATE, seed=0)
        parts.store(host.name, asked, Trained(losses=losses[-1:]), host.model.state_dict())
    else:
        host.model.load_state_dict(parts.tensors(host.name))
    return host


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
        story=f"D3DP: the shipped checkpoint, T={frames}, D={checkpoint.denoiser.dim}, "
        f"{checkpoint.step:,} training steps; H=1, K=5, no flip.",
        model=model,
        num_frames=frames,
        loss=lambda model, batch, generator: diffusion_loss(model, batch, schedule, generator),
        predict=sampling.draw,
        inputs=lambda count: random_inputs("d3dp", count, frames),
    )
