"""Fleet: several models trained side by side, those of one seed on the same batches.

What differs between two members of a seed is then the model alone; and a GPU, which a small model leaves idle
between its kernels, computes members of one architecture in the same kernels and the others meanwhile.
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
from htp_diffusion.base.files import make_folder
from htp_diffusion.base.folder_lock import locked
from htp_diffusion.base.interruption import held_interrupts
from htp_diffusion.base.provenance import provenance
from htp_diffusion.data.motion import Motion
from htp_diffusion.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from htp_diffusion.models.preset import Preset
from htp_diffusion.scoring.metrics import MILLIMETRES
from htp_diffusion.training.fit import cosine_rate
from htp_diffusion.training.lane import shared_lanes
from htp_diffusion.training.learner import Learner
from htp_diffusion.training.member import Member
from htp_diffusion.training.side_by_side import SideBySide
from htp_diffusion.training.stack import STACKED, Stack

_TIMED_STEPS = 10
_DEPTH_SEEDS = 2**48  # far from those of batches: the first seed of stochastic depth
_STRETCHES = 20  # of a run, over each of which the loss is averaged
Saved = tuple[Checkpoint, Mapping[str, Tensor]]


class Fleet:
    """Members, their batches and their folder; a fleet that is there is taken up where it was.

    Args:
        folder: Each member's checkpoints go into a folder of its own there.
        members: What to train.
        preset: How; the rate falls by half a cosine, whatever the preset's decay. The tilt is each member's.
        motions: On what.
        device: Where. On a GPU, steps are CUDA graphs.
        precision: Of the models' arithmetic.
        stacked: Compute members of one architecture in the same kernels; None: on a GPU, without autocast.

    Attributes:
        step: Steps that every member has done.
        planned: Steps of the whole run that the folder holds; None if it holds none.
        losses: Of each member and step, metres.

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
        stacked: bool | None = None,
    ) -> None:
        if not members or len({member.name for member in members}) < len(members):
            raise BenchmarkError(f"a fleet needs members of different names, got {[m.name for m in members]}")
        self.folder, self.members, self.preset, self.device = folder, list(members), preset, device
        self.motions = [motion.name for motion in motions]
        self._rate = torch.zeros((), device=device)
        self._lanes, rooms = shared_lanes(self.members, motions, preset, device)
        self.step = 0
        self.losses: Tensor = torch.zeros(len(members), 0)
        self._begun = [member.begun for member in self.members]
        found = self._find()
        self._done = [found[m.name][0].step if m.name in found else 0 for m in members]  # when taken up
        self.planned = next((checkpoint.steps for checkpoint, _ in found.values()), None)
        if stacked is None:
            stacked = device.type == "cuda" and precision in STACKED
        self._groups = self._alike() if stacked else [[number] for number in range(len(members))]
        self._stacks = [
            Stack(
                [members[number].build().to(device) for number in group],
                preset,
                [rooms[number] for number in group],
                self._rate,
                precision,
            )
            for group in self._groups
        ]
        learners = {
            number: Learner(stack, index)
            for group, stack in zip(self._groups, self._stacks, strict=True)
            for index, number in enumerate(group)
        }
        self.learners = [learners[number] for number in range(len(members))]
        self._beside = SideBySide(device, len(self._stacks))
        if found:
            self._resume(found)
        self._advance(self.step)
        if device.type == "cuda":
            for stack in self._stacks:
                stack.capture()

    def _alike(self) -> list[list[int]]:
        """Numbers of members of one architecture that are at the same step."""
        groups: dict[object, list[int]] = {}
        for number, (member, done) in enumerate(zip(self.members, self._done, strict=True)):
            groups.setdefault((member.denoiser, member.variant, member.frames, done), []).append(number)
        return list(groups.values())

    def seconds_per_step(self) -> float:
        """Time of a step of all members together; they are left as they are."""
        before = [learner.state() for learner in self.learners]
        self._wait()
        start = time.perf_counter()
        for step in range(_TIMED_STEPS):
            self._take(step, 0.0, self._stacks)
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
            steps: Of the whole run, as planned; the learning rate reaches 0 there.
            save_every: Seconds between checkpoints.
            deadline: Stop and save at this time (``time.monotonic``).
            progress: Told the steps done and the mean loss of all members, mm, about once a second.

        Returns:
            Whether the run is at its end.

        Raises:
            BenchmarkError: The folder holds a run of another number of steps, or another process is training
                in it.
            KeyboardInterrupt: After Ctrl-C, once the checkpoints are written.
        """
        if self.planned not in (None, steps):
            raise BenchmarkError(
                f"{self.folder} holds a run of {self.planned} steps, over which its learning rate falls, "
                f"asked for {steps}: ask for {self.planned} (in a study, --training-steps) or name another "
                "folder"
            )
        self.planned = steps
        with locked(make_folder(self.folder)), held_interrupts() as interrupted:
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
            self._take(
                self.step, rate, [s for s, g in zip(self._stacks, self._groups, strict=True) if behind[g[0]]]
            )
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

    @property
    def steps_done(self) -> list[int]:
        """Of each member; after a kill, some are ahead of the others."""
        return [max(done, self.step) for done in self._done]

    def save(self, steps: int) -> None:
        """Write every member's checkpoint.

        Raises:
            BenchmarkError: A loss is not finite, or a file cannot be written.
        """
        self._wait()
        losses = self.losses.cpu().double() * MILLIMETRES  # exact, and so is the way back
        every = max(1, steps // _STRETCHES)
        for member, begun, learner, step, line in zip(
            self.members, self._begun, self.learners, self.steps_done, losses, strict=True
        ):
            history = line[:step]
            if not bool(torch.isfinite(history).all()):
                raise BenchmarkError(f"the loss of {member.name} is not finite; try a lower learning rate")
            whole = len(history) // every
            checkpoint = Checkpoint(
                denoiser=member.denoiser,
                preset=member.preset(self.preset),
                motions=self.motions,
                seed=member.seed,
                step=step,
                steps=steps,
                losses=history[: whole * every].view(whole, every).mean(dim=1).tolist(),
                loss_every=every,
                variant=member.variant,
                view=member.view,
                start=begun,
                commit=provenance().commit,
            )
            tensors = learner.state() | {"stretch": history}
            save_checkpoint(self.folder / member.name / "last.json", checkpoint, tensors)

    def _take(self, step: int, rate: float, stacks: Sequence[Stack]) -> None:
        self._rate.fill_(rate)
        self._advance(step)
        pairs = zip(self._groups, self._stacks, strict=True)
        self._beside.run(
            [
                partial(self._learn, self.members[group[0]].seed, stack, step)
                if stack in stacks
                else lambda: None
                for group, stack in pairs
            ]
        )

    def _learn(self, seed: int, stack: Stack, step: int) -> None:
        if self.device.type == "cpu":  # on a GPU, stochastic depth goes on from draw to draw
            torch.manual_seed(_DEPTH_SEEDS + seed * 2**20 + step)
        stack.step()

    def _advance(self, step: int) -> None:
        for lane in self._lanes:
            lane.advance(step)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _find(self) -> dict[str, Saved]:
        """The members' checkpoints, by name."""
        paths = {member.name: self.folder / member.name / "last.json" for member in self.members}
        return {name: load_checkpoint(path) for name, path in paths.items() if path.exists()}

    def _resume(self, found: Mapping[str, Saved]) -> None:
        ahead = max((checkpoint for checkpoint, _ in found.values()), key=lambda one: one.step)
        if len(found) < len(self.members) and ahead.step == ahead.steps:
            raise BenchmarkError(
                f"{self.folder} holds a finished run of {', '.join(found)} alone; name another folder"
            )
        self.losses = torch.zeros(len(self.members), ahead.step)
        every = zip(self.members, self._begun, self.learners, self.losses, strict=True)
        for member, begun, learner, losses in every:
            if member.name not in found:
                continue
            checkpoint, tensors = found[member.name]
            asked = replace(
                checkpoint, denoiser=member.denoiser, variant=member.variant, seed=member.seed,
                preset=member.preset(self.preset), motions=self.motions,
                view=member.view if checkpoint.view else "",
                start=begun if checkpoint.view else checkpoint.start,
            )  # fmt: skip
            if asked != checkpoint:
                raise BenchmarkError(
                    f"{self.folder / member.name} was trained otherwise; name another folder"
                )
            learner.restore({key: value for key, value in tensors.items() if key != "stretch"})
            losses[: checkpoint.step] = tensors["stretch"] / MILLIMETRES
        self.step = min(self._done)
