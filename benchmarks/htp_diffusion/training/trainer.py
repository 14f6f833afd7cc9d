"""The training loop: predict the clean pose from a noisy one, at a random diffusion time (Section III-E)."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from htp_diffusion.data.motion import Motion
from htp_diffusion.diffusion.ddim import POSE_LIMIT
from htp_diffusion.diffusion.schedule import CosineSchedule, cosine_schedule
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.pose.metrics import MILLIMETRES
from htp_diffusion.report.provenance import provenance
from htp_diffusion.training.batches import Batch, Batches, step_generator
from htp_diffusion.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from htp_diffusion.training.preset import Preset


def diffusion_loss(
    denoiser: nn.Module, batch: Batch, schedule: CosineSchedule, generator: torch.Generator
) -> Float[Tensor, ""]:
    """MPJPE in metres of the predicted clean poses, one random diffusion time a window."""
    pose = batch.pose_3d
    noise = torch.randn(pose.shape, generator=generator).to(pose)
    timestep = torch.randint(schedule.num_timesteps, (pose.shape[0],), generator=generator).to(pose.device)
    noisy = schedule.add_noise(pose, timestep, noise).clamp(-POSE_LIMIT, POSE_LIMIT)
    return (denoiser(batch.pose_2d, noisy, timestep) - pose).norm(dim=-1).mean()


def falling_rate(highest: float, step: int, *, warmup: int, factor: float, period: int) -> float:
    """Linear warm-up over ``warmup`` steps, times a constant factor per ``period``, a step at a time."""
    return highest * (min(1.0, (step + 1) / warmup) if warmup else 1.0) * factor ** (step / period)


def learning_rate(preset: Preset, step: int, steps_per_epoch: int) -> float:
    """Of a preset: its warm-up, and its factor per epoch."""
    return falling_rate(
        preset.learning_rate,
        step,
        warmup=preset.warmup_steps,
        factor=preset.decay,
        period=steps_per_epoch,
    )


class Trainer:
    """A run in a folder: ``last.json`` and its tensors there are all that a later process needs to go on.

    Args:
        folder: Where the run lives; a run that is there already is taken up where it was.
        denoiser: What to train.
        preset: How.
        motions: On what.
        seed: Seed of the initial weights and of every draw.
        epochs: In place of the preset's.
        precision: ``"no"`` (float32), ``"bf16"`` or ``"fp16"``.
        cpu: Stay on the CPU though there is an accelerator.

    Raises:
        BenchmarkError: The folder holds another run, or motion that cannot be cut into windows.
    """

    def __init__(
        self,
        folder: str | Path,
        denoiser: DenoiserConfig,
        preset: Preset,
        motions: Sequence[Motion],
        *,
        seed: int = 0,
        epochs: int | None = None,
        precision: str = "no",
        cpu: bool = False,
    ) -> None:
        self.path = Path(folder) / "last.json"
        self.batches = Batches(motions, preset.num_frames, preset.batch_size)
        steps = (preset.epochs if epochs is None else epochs) * self.batches.steps_per_epoch
        self.accelerator = Accelerator(mixed_precision=precision, cpu=cpu)
        self.schedule = cosine_schedule()
        torch.manual_seed(seed)
        model = denoiser.build().to(self.accelerator.device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay, fused=True
        )
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(preset.ema), use_buffers=True)
        self.model = model
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.checkpoint = Checkpoint(
            denoiser=denoiser,
            preset=preset,
            motions=[motion.name for motion in motions],
            seed=seed,
            step=0,
            steps=steps,
            losses=[],
            loss_every=max(1, min(50, steps // 20)),
            commit=provenance().commit,
        )
        self._stretch: list[float] = []
        if self.path.exists():
            self._resume()

    def run(self, save_every: int = 100) -> Iterator[tuple[int, float]]:
        """Train to the end, saving every ``save_every`` steps and at the last.

        Yields:
            The step just done, counted from 1, and its loss in mm.

        Raises:
            BenchmarkError: The loss is no longer finite, or a checkpoint cannot be written; the last good
                checkpoint stays as it is.
        """
        preset, steps = self.checkpoint.preset, self.checkpoint.steps
        self.wrapped.train()
        for step in range(self.checkpoint.step, steps):
            loss = self._step(step)
            if not math.isfinite(loss):
                raise BenchmarkError(
                    f"the loss is {loss} at step {step + 1}; the last good checkpoint is step "
                    f"{self.checkpoint.step} in {self.path.parent}; try a lower learning rate than "
                    f"{preset.learning_rate:g}"
                )
            self._stretch.append(loss)
            done = step + 1
            if done % save_every == 0 or done == steps:
                self.save(done)
            yield done, loss

    def save(self, step: int) -> None:
        """Write the checkpoint of ``step`` steps."""
        every = self.checkpoint.loss_every
        losses = list(self.checkpoint.losses)
        while len(self._stretch) >= every:
            losses.append(sum(self._stretch[:every]) / every)
            del self._stretch[:every]
        progress = dataclasses.replace(self.checkpoint, step=step, losses=losses)
        tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
        tensors |= {f"ema.{key}": value for key, value in self.average.module.state_dict().items()}
        tensors["ema_steps"] = self.average.n_averaged
        tensors["stretch"] = torch.tensor(self._stretch, dtype=torch.float64)
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
        self.checkpoint = save_checkpoint(self.path, progress, tensors)

    def _step(self, step: int) -> float:
        checkpoint = self.checkpoint
        generator = step_generator(checkpoint.seed, step)
        torch.manual_seed(
            int(torch.randint(2**31, (), generator=generator))
        )  # stochastic depth draws globally
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(checkpoint.preset, step, self.batches.steps_per_epoch)
        drawn, device = self.batches.draw(generator), self.accelerator.device
        batch = Batch(drawn.pose_2d.to(device), drawn.pose_3d.to(device))
        with self.accelerator.autocast():
            loss = diffusion_loss(self.wrapped, batch, self.schedule, generator)
        value = float(loss.detach()) * MILLIMETRES
        if math.isfinite(value):
            self.optimizer.zero_grad()
            self.accelerator.backward(loss)
            self.accelerator.clip_grad_norm_(self.wrapped.parameters(), checkpoint.preset.clip_norm)
            self.optimizer.step()
            self.average.update_parameters(self.model)
        return value

    def _resume(self) -> None:
        found, tensors = load_checkpoint(self.path)
        for name in ("denoiser", "preset", "motions", "seed", "steps"):
            ours, theirs = getattr(self.checkpoint, name), getattr(found, name)
            if ours != theirs:
                raise BenchmarkError(
                    f"{self.path.parent} holds a run with another {name}: {theirs!r}, asked for {ours!r}; "
                    "name another folder or ask for the same run"
                )
        self.checkpoint = found
        self._stretch = tensors["stretch"].tolist()
        self.model.load_state_dict(_under(tensors, "model."))
        self.average.module.load_state_dict(_under(tensors, "ema."))
        self.average.n_averaged.copy_(tensors["ema_steps"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, "optimizer.").items():
            index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
