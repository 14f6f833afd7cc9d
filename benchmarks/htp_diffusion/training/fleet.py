"""Fleet: several models trained side by side, those of one seed on the same batches.

What differs between two members of a seed is then the model alone; and a GPU, which a small model leaves idle
between its kernels, is busy with the others meanwhile.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import compress
from pathlib import Path

import torch
from torch import Tensor

from htp_diffusion.base.device import Precision
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.interruption import held_interrupts
from htp_diffusion.base.provenance import provenance
from htp_diffusion.data.motion import Motion
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from htp_diffusion.models.preset import Preset
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.scoring.metrics import MILLIMETRES
from htp_diffusion.training.batches import Batch, step_generator
from htp_diffusion.training.fit import cosine_rate
from htp_diffusion.training.learner import Learner, blank_batch, fill
from htp_diffusion.training.member import Member
from htp_diffusion.training.noising import NoisyBatch, add_noise
from htp_diffusion.training.side_by_side import SideBySide
from htp_diffusion.training.variety import VARIETIES, VarietyName
from htp_diffusion.training.virtual import VirtualBatches

_DRAWN_AT_ONCE = 8  # steps whose batches are drawn together
_TIMED_STEPS = 10
_DEPTH_SEEDS = 2**48  # far from those of batches: the first seed of stochastic depth
_STRETCHES = 20  # of a run, over each of which the loss is averaged


class _Lane:
    """The batches that some members share, at one place on the device."""

    def __init__(self, source: VirtualBatches, seed: int, tilt: float) -> None:
        self._source, self._seed, self._tilt = source, seed, tilt
        self._schedule = cosine_schedule()
        self._block, self._drawn = -1, blank_batch(0, source.num_frames, H36M_17.num_joints, source.device)
        self.room = blank_batch(source.batch_size, source.num_frames, H36M_17.num_joints, source.device)

    def advance(self, step: int) -> None:
        """Put the batch of a step there."""
        block, index = divmod(step, _DRAWN_AT_ONCE)
        if block != self._block:
            generator = step_generator(self._seed, block, self._source.device)
            batch: Batch = self._source.draw(generator, _DRAWN_AT_ONCE)
            self._drawn: NoisyBatch = add_noise(batch, self._schedule, generator, self._tilt)
            self._block = block
        fill(self.room, self._drawn.part(index, _DRAWN_AT_ONCE))


class Fleet:
    """Members, their batches and their folder; a fleet that is there is taken up where it was.

    Args:
        folder: Each member's checkpoints go into a folder of its own there.
        members: What to train.
        preset: How; the rate falls by half a cosine, whatever the preset's decay.
        motions: On what.
        device: Where. On a GPU, each member's step is a CUDA graph.
        precision: Of the models' arithmetic.

    Raises:
        BenchmarkError: No member, two of one name, or checkpoints of another fleet in the folder.
    """

    def __init__(
        self,
        folder: Path,
        members: Sequence[Member],
        preset: Preset,
        motions: Sequence[Motion],
        *,
        device: torch.device,
        precision: Precision = "fp32",
    ) -> None:
        if not members or len({member.name for member in members}) < len(members):
            raise BenchmarkError(f"a fleet needs members of different names, got {[m.name for m in members]}")
        self.folder, self.members, self.preset, self.device = folder, list(members), preset, device
        self.motions = [motion.name for motion in motions]
        self._rate = torch.zeros((), device=device)
        sources: dict[tuple[VarietyName, int], VirtualBatches] = {}
        self._lanes: dict[tuple[VarietyName, int, int, float], _Lane] = {}
        self.learners: list[Learner] = []
        for member in members:
            frames = member.frames
            if (kind := (member.variety, frames)) not in sources:
                sources[kind] = VirtualBatches(
                    motions, frames, preset.batch_size, VARIETIES[member.variety], device
                )
            key = (*kind, member.seed, member.tilt)
            if key not in self._lanes:
                self._lanes[key] = _Lane(sources[kind], member.seed, member.tilt)
            room = self._lanes[key].room
            self.learners.append(Learner(member.build().to(device), preset, room, self._rate, precision))
        self._beside = SideBySide(device, len(members))
        self.step = 0
        self._done = [0] * len(members)  # steps of each when it was taken up
        self._planned: int | None = None  # steps of the run in which some got further than others
        self.losses: Tensor = torch.zeros(len(members), 0)
        self._resume()
        self._advance(self.step)
        if device.type == "cuda":
            for learner in self.learners:
                learner.capture()

    def seconds_per_step(self) -> float:
        """Time of a step of all members together; they are left as they are."""
        before = [{key: value.clone() for key, value in learner.state().items()} for learner in self.learners]
        self._wait()
        start = time.perf_counter()
        for step in range(_TIMED_STEPS):
            self._take(step, 0.0, self.learners)
        self._wait()
        seconds = (time.perf_counter() - start) / _TIMED_STEPS
        for learner, state in zip(self.learners, before, strict=True):
            learner.restore(state)
        return seconds

    def run(
        self,
        steps: int,
        *,
        save_every: float = 60.0,
        deadline: float | None = None,
        progress: Callable[[int, float], None] = lambda step, loss: None,
    ) -> bool:
        """Train up to ``steps`` steps in all, saving now and then and at the end.

        Args:
            steps: Of the whole run; the learning rate reaches 0 there.
            save_every: Seconds between checkpoints.
            deadline: Stop and save at this time (``time.monotonic``).
            progress: Told the steps done and the mean loss of all members, mm, about once a second.

        Returns:
            Whether the run is at its end.

        Raises:
            BenchmarkError: A kill has left some members behind the others, and this is not the run to end.
            KeyboardInterrupt: After Ctrl-C, once the checkpoints are written.
        """
        if self._planned not in (None, steps):
            raise BenchmarkError(
                f"{self.folder} holds members at different steps of a run of {self._planned}, as a kill "
                "while they were saved leaves them: finish that run first (in a study, --steps "
                f"{self._planned})"
            )
        with held_interrupts() as interrupted:
            self._run(steps, save_every, deadline, progress, interrupted)
            if interrupted() and self.step < steps:
                raise KeyboardInterrupt(f"saved at step {self.step}; the same command goes on from there")
        return self.step >= steps

    def _run(
        self,
        steps: int,
        save_every: float,
        deadline: float | None,
        progress: Callable[[int, float], None],
        interrupted: Callable[[], bool],
    ) -> None:
        losses = torch.zeros(len(self.members), max(steps, *self._done), device=self.device)
        losses[:, : self.losses.shape[1]] = self.losses.to(self.device)
        self.losses = losses
        saved = told = time.monotonic()
        while self.step < steps:
            rate = cosine_rate(
                self.preset.learning_rate, self.step, warmup=self.preset.warmup_steps, steps=steps
            )
            behind = [done <= self.step for done in self._done]
            self._take(self.step, rate, list(compress(self.learners, behind)))
            for losses, learner in compress(zip(self.losses, self.learners, strict=True), behind):
                losses[self.step] = learner.loss
            self.step += 1
            now = time.monotonic()
            if now - told > 1.0:
                progress(self.step, float(self.losses[:, self.step - 1].mean()) * MILLIMETRES)
                told = now
            if interrupted() or (deadline is not None and time.monotonic() > deadline):
                break
            if now - saved > save_every:
                self.save(steps)
                saved = time.monotonic()
        self.save(steps)

    def save(self, steps: int) -> None:
        """Write every member's checkpoint.

        Raises:
            BenchmarkError: A loss is not finite, or a file cannot be written.
        """
        self._wait()
        losses = self.losses.cpu() * MILLIMETRES
        every = max(1, steps // _STRETCHES)
        for member, learner, done, line in zip(self.members, self.learners, self._done, losses, strict=True):
            step = max(done, self.step)
            history = line[:step]
            if not bool(torch.isfinite(history).all()):
                raise BenchmarkError(f"the loss of {member.name} is not finite; try a lower learning rate")
            whole = len(history) // every
            checkpoint = Checkpoint(
                denoiser=member.denoiser,
                preset=self.preset,
                motions=self.motions,
                seed=member.seed,
                step=step,
                steps=steps,
                losses=history[: whole * every].view(whole, every).mean(dim=1).tolist(),
                loss_every=every,
                variant=member.variant,
                commit=provenance().commit,
            )
            tensors = learner.state() | {"stretch": history.double()}
            save_checkpoint(self.folder / member.name / "last.json", checkpoint, tensors)

    def _take(self, step: int, rate: float, learners: Sequence[Learner]) -> None:
        self._rate.fill_(rate)
        self._advance(step)
        pairs = zip(self.members, self.learners, strict=True)
        self._beside.run(
            [
                partial(self._learn, member, learner, step) if learner in learners else lambda: None
                for member, learner in pairs
            ]
        )

    def _learn(self, member: Member, learner: Learner, step: int) -> None:
        if self.device.type == "cpu":  # on a GPU, stochastic depth goes on from draw to draw
            torch.manual_seed(_DEPTH_SEEDS + member.seed * 2**20 + step)
        learner.step()

    def _advance(self, step: int) -> None:
        for lane in self._lanes.values():
            lane.advance(step)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _resume(self) -> None:
        found: dict[str, tuple[Checkpoint, Mapping[str, Tensor]]] = {}
        for member in self.members:
            path = self.folder / member.name / "last.json"
            if path.exists():
                found[member.name] = load_checkpoint(path)
        if not found:
            return
        done = [found[name][0].step if name in found else 0 for name in (m.name for m in self.members)]
        ahead = max((checkpoint for checkpoint, _ in found.values()), key=lambda one: one.step)
        if len(found) < len(self.members) and ahead.step == ahead.steps:
            raise BenchmarkError(
                f"{self.folder} holds a finished run of {', '.join(found)} alone; name another folder"
            )
        self.losses = torch.zeros(len(self.members), ahead.step)
        for member, learner, losses in zip(self.members, self.learners, self.losses, strict=True):
            if member.name not in found:
                continue
            checkpoint, tensors = found[member.name]
            asked = replace(
                checkpoint, denoiser=member.denoiser, variant=member.variant, seed=member.seed,
                preset=self.preset, motions=self.motions,
            )  # fmt: skip
            if asked != checkpoint:
                raise BenchmarkError(
                    f"{self.folder / member.name} was trained otherwise; name another folder"
                )
            learner.restore({key: value for key, value in tensors.items() if key != "stretch"})
            losses[: checkpoint.step] = tensors["stretch"].float() / MILLIMETRES
        self.step, self._done = min(done), done
        if self.step < ahead.step:  # a kill while they were saved
            self._planned = ahead.steps
