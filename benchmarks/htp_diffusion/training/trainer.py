"""The training loop: predict the clean pose from a noisy one, at a random diffusion time (Section III-E)."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.execution import CompiledParts
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.folder_lock import locked
from htp_diffusion.base.interruption import held_interrupts
from htp_diffusion.base.provenance import provenance
from htp_diffusion.diffusion.schedule import CosineSchedule, cosine_schedule
from htp_diffusion.models.checkpoint import Checkpoint, Evaluation, load_checkpoint, save_checkpoint
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.preset import Preset
from htp_diffusion.scoring.metrics import MILLIMETRES
from htp_diffusion.training.batches import Batch, BatchSource, step_generator
from htp_diffusion.training.fit import learning_rate
from htp_diffusion.training.noising import NoisyBatch, add_noise, denoising_loss
from htp_diffusion.training.pace import Pace, drawn_ahead
from htp_diffusion.training.processes import parts_of_a_step, start_accelerator
from htp_diffusion.training.scalars import AddScalar
from htp_diffusion.training.shared_norm import share_batch_norms
from htp_diffusion.training.state import restore_run, run_state


def diffusion_loss(
    denoiser: nn.Module, batch: Batch, schedule: CosineSchedule, generator: torch.Generator
) -> Float[Tensor, ""]:
    """MPJPE of the predicted clean poses, in their unit, one random diffusion time a window."""
    return denoising_loss(denoiser, add_noise(batch, schedule, generator))


class _Drawn(NamedTuple):
    """Everything random in a step: of the stochastic depth, a seed alone."""

    depth_seed: int
    batch: NoisyBatch


class Trainer:
    """A run in a folder: ``last.json`` and its tensors there are all that a later process needs to go on.

    Started by ``torchrun`` or ``accelerate launch``, every process draws the same batch and computes its own
    share; the first one alone writes and evaluates. All of them must see the folder.

    A step's result does not depend on how many processes or micro-batches share it, up to rounding, with two
    exceptions: stochastic depth draws per process, and the batch norms of HTP see one micro-batch (of all
    processes) at a time.

    Args:
        folder: Where the run lives; a run that is there already is taken up where it was, and a finished one
            trained on if more epochs are asked for.
        denoiser: What to train.
        preset: How; its batch is that of all processes and micro-batches together.
        source: On what.
        seed: Seed of the initial weights and of every draw.
        epochs: In place of the preset's.
        precision: ``"no"`` (float32), ``"bf16"`` or ``"fp16"``.
        accumulate: Micro-batches whose gradients make a step.
        evaluate: Error (mm, or as the source's space has it) of the averaged weights on clips held out; the
            best are kept as ``best.json``.
        evaluate_every: Steps between evaluations; the last step has one too. 0 for none.
        cpu: Stay on the CPU though there is an accelerator.
        compiled: Compile the denoiser, part by part; the first steps then take long.

    Raises:
        BenchmarkError: The folder holds another run or a longer one, or options that do not go together.
    """

    def __init__(
        self,
        folder: str | Path,
        denoiser: DenoiserConfig,
        preset: Preset,
        source: BatchSource,
        *,
        seed: int = 0,
        epochs: int | None = None,
        precision: str = "no",
        accumulate: int = 1,
        evaluate: Callable[[nn.Module], float] | None = None,
        evaluate_every: int = 0,
        cpu: bool = False,
        compiled: bool = False,
    ) -> None:
        if (source.num_frames, source.batch_size) != (preset.num_frames, preset.batch_size):
            raise BenchmarkError(
                f"the preset expects batches of {preset.batch_size} windows of {preset.num_frames} frames, "
                f"got {source.batch_size} of {source.num_frames}"
            )
        if evaluate_every < 0 or (evaluate_every and evaluate is None):
            raise BenchmarkError(
                f"evaluating every {evaluate_every} steps expects a count and clips to do so"
            )
        self.path = Path(folder) / "last.json"
        self.source = source
        self.accelerator = start_accelerator(denoiser, precision, cpu)
        self.parts = parts_of_a_step(preset.batch_size, self.accelerator.num_processes, accumulate)
        self.schedule = cosine_schedule()
        self.pace = Pace()
        self.evaluate, self.evaluate_every = evaluate, evaluate_every
        torch.manual_seed(seed)
        model = denoiser.build().to(self.accelerator.device)
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=preset.learning_rate, weight_decay=preset.weight_decay, fused=True
        )
        self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(preset.ema), use_buffers=True)
        if self.accelerator.num_processes > 1:
            share_batch_norms(model)
        self.model = model
        self._compiled = CompiledParts(model, model.compiled_parts()) if compiled else None
        self.wrapped, self.optimizer = self.accelerator.prepare(model, optimizer)
        steps = (preset.epochs if epochs is None else epochs) * source.steps_per_epoch
        self.checkpoint = Checkpoint(
            denoiser=denoiser,
            preset=preset,
            motions=list(source.names),
            seed=seed,
            step=0,
            steps=steps,
            losses=[],
            loss_every=max(1, min(50, steps // 20)),
            space=source.space.to_json(),
            view=source.view,
            commit=provenance().commit,
        )
        self._stretch: list[float] = []
        self._scalars: AddScalar | None = None
        if self.path.exists():
            self._resume()

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes, evaluates and talks."""
        return self.accelerator.is_main_process

    def run(self, save_every: int = 100, scalars: AddScalar | None = None) -> Iterator[tuple[int, float]]:
        """Train to the end, saving every ``save_every`` steps, after each evaluation and at the last step.

        Ctrl-C (in any of the processes) ends the run after the step that is being computed, and saves it.

        Args:
            save_every: Steps between checkpoints.
            scalars: Told each step's loss, learning rate, gradient norm and pace, and errors held out.

        Yields:
            The step just done, counted from 1, and its loss in mm, or as the source's space has it.

        Raises:
            BenchmarkError: The loss is no longer finite, or a checkpoint cannot be written; the last good
                checkpoint stays as it is. Or another process is training in the folder.
            KeyboardInterrupt: After Ctrl-C, once the checkpoint is written.
        """
        self._scalars = scalars
        compiled = nullcontext() if self._compiled is None else self._compiled.in_place()
        # One process writes; those that share the steps with it are not refused.
        alone = locked(make_folder(self.path.parent)) if self.is_main else nullcontext()
        with alone, compiled, held_interrupts() as interrupted:
            yield from self._run(save_every, interrupted)

    def _run(self, save_every: int, interrupted: Callable[[], bool]) -> Iterator[tuple[int, float]]:
        steps = self.checkpoint.steps
        self.wrapped.train()
        started = time.perf_counter()
        for step, drawn, drawing in drawn_ahead(self._draw, range(self.checkpoint.step, steps)):
            waited = time.perf_counter()
            loss, stop = self._step(step, drawn, interrupted)
            ended, done = time.perf_counter(), step + 1
            windows, seconds = self.source.batch_size, ended - started
            self.pace.count(windows, seconds=seconds, drawing=drawing, waiting=waited - started)
            self._note("windows per second", windows / seconds, done)
            self._stretch.append(loss)
            due = self.evaluate_every and (done % self.evaluate_every == 0 or done == steps)
            if due or stop or done % save_every == 0 or done == steps:
                self.save(done, evaluate=bool(due))
            yield done, loss
            if stop and done < steps:
                raise KeyboardInterrupt(f"saved at step {done}; the same command goes on from there")
            started = time.perf_counter()

    def save(self, step: int, *, evaluate: bool = False) -> None:
        """Write the checkpoint of ``step`` steps, after an evaluation if asked for."""
        every, losses = self.checkpoint.loss_every, list(self.checkpoint.losses)
        while len(self._stretch) >= every:
            losses.append(sum(self._stretch[:every]) / every)
            del self._stretch[:every]
        progress = dataclasses.replace(self.checkpoint, step=step, losses=losses)
        if self.is_main:
            if evaluate:
                progress = self._evaluated(progress)
            tensors = run_state(self.model, self.average, self.optimizer, self.accelerator.scaler)
            tensors["stretch"] = torch.tensor(self._stretch, dtype=torch.float64)
            progress = save_checkpoint(self.path, progress, tensors)
        self.checkpoint = progress

    def _evaluated(self, progress: Checkpoint) -> Checkpoint:
        if self.evaluate is None:
            return progress
        with torch.no_grad():
            error = self.evaluate(self.average.module.eval())
        before = progress.evaluations
        self._note(f"evaluation error, {self.source.space.error_unit}", error, progress.step)
        progress = dataclasses.replace(
            progress, evaluations=[*before, Evaluation(step=progress.step, mpjpe=error)]
        )
        if all(error < earlier.mpjpe for earlier in before):
            # Before last.json, which says that this was done: a run killed between the two does it again.
            save_checkpoint(self.path.with_name("best.json"), progress, self.average.module.state_dict())
        return progress

    def _draw(self, step: int) -> _Drawn:
        generator = step_generator(self.checkpoint.seed, step)
        depth_seed = int(torch.randint(2**31, (), generator=generator))
        batch, tilt = self.source.draw(generator), self.checkpoint.preset.tilt
        return _Drawn(depth_seed, add_noise(batch, self.schedule, generator, tilt))

    def _step(self, step: int, drawn: _Drawn, interrupted: Callable[[], bool]) -> tuple[float, bool]:
        """One step: its loss, and whether a process was interrupted, of which all learn in the same step."""
        preset, accelerator = self.checkpoint.preset, self.accelerator
        torch.manual_seed(drawn.depth_seed + accelerator.process_index)  # stochastic depth draws globally
        rate = learning_rate(preset, step, self.source.steps_per_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad()
        accumulate = self.parts // accelerator.num_processes
        total = torch.zeros((), device=accelerator.device)
        for index in range(accumulate):
            part = drawn.batch.part(accelerator.process_index * accumulate + index, self.parts)
            # The processes exchange gradients once a step.
            with nullcontext() if index == accumulate - 1 else accelerator.no_sync(self.wrapped):
                with accelerator.autocast():
                    loss = denoising_loss(self.wrapped, part.to(accelerator.device)) / accumulate
                accelerator.backward(loss)
            total += loss.detach()
        asked = total.new_tensor(float(interrupted()))
        mean, stop = cast(Tensor, accelerator.reduce(torch.stack((total, asked)), "mean")).tolist()
        value = mean * MILLIMETRES
        if not math.isfinite(value):
            raise BenchmarkError(
                f"the loss is {value} at step {step + 1}; the last good checkpoint is step "
                f"{self.checkpoint.step} in {self.path.parent}; try a lower learning rate than "
                f"{preset.learning_rate:g}"
            )
        norm = accelerator.clip_grad_norm_(self.wrapped.parameters(), preset.clip_norm)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self._note(f"loss, {self.source.space.error_unit}", value, step + 1)
        self._note("learning rate", rate, step + 1)
        if self._scalars is not None:
            self._note("gradient norm", float(cast(Tensor, norm)), step + 1)
        return value, stop > 0

    def _note(self, name: str, value: float, step: int) -> None:
        if self._scalars is not None and self.is_main:
            self._scalars(name, value, step)

    def _resume(self) -> None:
        found, tensors = load_checkpoint(self.path)
        if "stretch" not in tensors:
            raise BenchmarkError(f"{self.path} is a published checkpoint, which no run can go on from")
        for name in ("denoiser", "preset", "motions", "seed", "space", "view"):
            ours, theirs = getattr(self.checkpoint, name), getattr(found, name)
            if ours != theirs and not (name == "view" and not found.view):  # an older file does not tell
                raise BenchmarkError(
                    f"{self.path.parent} holds a run with another {name}: {theirs!r}, asked for {ours!r}; "
                    "name another folder or ask for the same run"
                )
        if self.checkpoint.steps < found.steps:
            raise BenchmarkError(
                f"{self.path.parent} holds a run of {found.steps} steps, asked for {self.checkpoint.steps}: "
                "a run can be made longer, not shorter; name more epochs or another folder"
            )
        # A step depends on its own number, not on how many there will be.
        self.checkpoint = dataclasses.replace(found, steps=self.checkpoint.steps)
        self._stretch = tensors["stretch"].tolist()
        restore_run(tensors, self.model, self.average, self.optimizer, self.accelerator.scaler)
