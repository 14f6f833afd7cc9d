"""Lane: the batches that some models share, one after the other at one place on the device."""

from collections.abc import Sequence

import torch

from htp_diffusion.data.motion import Motion
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.preset import Preset
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training.batches import Batch, step_generator
from htp_diffusion.training.member import Member
from htp_diffusion.training.noising import NoisyBatch, add_noise
from htp_diffusion.training.variety import VARIETIES, VarietyName
from htp_diffusion.training.virtual import VirtualBatches

_DRAWN_AT_ONCE = 8  # steps whose batches are drawn together


class Lane:
    """The batches that some members share, at one place on the device."""

    def __init__(self, source: VirtualBatches, seed: int, tilt: float) -> None:
        self._source, self._seed, self._tilt = source, seed, tilt
        self._schedule = cosine_schedule()
        self._block, self._drawn = -1, _blank_batch(0, source.num_frames, H36M_17.num_joints, source.device)
        self.room = _blank_batch(source.batch_size, source.num_frames, H36M_17.num_joints, source.device)

    def advance(self, step: int) -> None:
        """Put the batch of a step there."""
        block, index = divmod(step, _DRAWN_AT_ONCE)
        if block != self._block:
            generator = step_generator(self._seed, block, self._source.device)
            batch: Batch = self._source.draw(generator, _DRAWN_AT_ONCE)
            self._drawn: NoisyBatch = add_noise(batch, self._schedule, generator, self._tilt)
            self._block = block
        _fill(self.room, self._drawn.part(index, _DRAWN_AT_ONCE))


def _blank_batch(batch_size: int, num_frames: int, joints: int, device: torch.device) -> NoisyBatch:
    """Room for a batch."""
    shape = (batch_size, num_frames, joints)
    return NoisyBatch(
        torch.zeros(*shape, 2, device=device),
        torch.zeros(*shape, 3, device=device),
        torch.zeros(batch_size, dtype=torch.int64, device=device),
        torch.zeros(*shape, 3, device=device),
    )


def _fill(room: NoisyBatch, batch: NoisyBatch) -> None:
    """Put a batch where models look for it."""
    for place, part in zip(room.tensors(), batch.tensors(), strict=True):
        place.copy_(part)


def shared_lanes(
    members: Sequence[Member], motions: Sequence[Motion], preset: Preset, device: torch.device
) -> tuple[list[Lane], list[NoisyBatch]]:
    """The lanes of members, one for all that see the same, and where each member's batches lie.

    Args:
        members: Who sees them.
        motions: What they are drawn from.
        preset: Of how many windows.
        device: Where.
    """
    sources: dict[tuple[VarietyName, int], VirtualBatches] = {}
    lanes: dict[tuple[VarietyName, int, int, float], Lane] = {}
    rooms = []
    for member in members:
        kind = (member.variety, member.frames)
        if kind not in sources:
            sources[kind] = VirtualBatches(
                motions, member.frames, preset.batch_size, VARIETIES[member.variety], device
            )
        key = (*kind, member.seed, member.tilt)
        if key not in lanes:
            lanes[key] = Lane(sources[kind], member.seed, member.tilt)
        rooms.append(lanes[key].room)
    return list(lanes.values()), rooms
