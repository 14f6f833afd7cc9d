"""Virtual windows: motion seen by drawn cameras, a whole batch at once, on the device where it is trained on.

Notation:
    positions   joints in the world, metres, z up      (B, T, J, 3)
    right, down, forward    a camera's axes in it      (B, 3) each
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Motion
from htp_diffusion.pose.cameras import MIN_DEPTH
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.training.batches import Batch, check_windows, steps_that_cover
from htp_diffusion.training.bodies import another_body, skeleton
from htp_diffusion.training.detector import measured_noise, synthetic_noise
from htp_diffusion.training.draws import Draws
from htp_diffusion.training.variety import VARIETIES, Variety, name_of

# Bones whose sum is the height of a standing person, ankle to nose: shank, thigh, hip, spine to neck.
_STANDING = (6, 5, 7, 8, 9)


class VirtualBatches:
    """Draws training batches from motions, seen by virtual cameras with a detector's errors.

    Every frame of every motion is drawn about equally often; half of the windows are mirrored. All motions
    lie in one tensor, so that a batch takes the same few operations whatever its size.

    Args:
        motions: Training motion in the 17 joints of Human3.6M; those shorter than a window are refused.
        num_frames: T, frames of a window.
        batch_size: Windows in a batch.
        variety: How windows differ.
        device: Where batches are drawn; a generator must be there too.

    Raises:
        BenchmarkError: No motion, two of one name, or one that is shorter than a window.
    """

    def __init__(
        self,
        motions: Sequence[Motion],
        num_frames: int,
        batch_size: int,
        variety: Variety = VARIETIES["scored"],
        device: torch.device | str = "cpu",
    ) -> None:
        lengths = {motion.name: len(motion.positions) for motion in motions}
        if len(lengths) != len(motions):
            names = [motion.name for motion in motions]
            twice = next(name for name in lengths if names.count(name) > 1)
            raise BenchmarkError(f"training motions need names of their own, got two called {twice}")
        check_windows("motions", lengths, num_frames, batch_size)
        self.names = list(lengths)
        self.num_frames, self.batch_size = num_frames, batch_size
        self.space = CAMERA_METRES
        self.variety = variety
        self.view = f"virtual cameras, {name_of(variety)}"
        self.device = torch.device(device)
        self.steps_per_epoch = steps_that_cover(lengths, num_frames, batch_size)
        length = torch.tensor([len(motion.positions) for motion in motions])
        self._length = length.to(self.device)
        self._first = (length.cumsum(0) - length).to(self.device)
        self._weight = length.double().cumsum(0).div(length.sum()).float().to(self.device)
        self._centre = torch.stack([motion.positions[:, 0].mean(dim=0) for motion in motions]).to(self.device)
        self._frames = torch.cat([motion.positions for motion in motions]).float().to(self.device)

    def draw(self, generator: torch.Generator, batches: int = 1) -> Batch:
        """One batch, or several in one, a function of the generator's state."""
        draws = Draws(generator, batches * self.batch_size)
        motion = torch.searchsorted(self._weight, draws.uniform()).clamp(max=len(self._length) - 1)
        positions = another_body(self._cut(motion, draws), self.variety, draws)
        return self._seen(positions, self._centre[motion], draws)

    def _cut(self, motion: Int64[Tensor, " batch"], draws: Draws) -> Float[Tensor, "batch frames joints 3"]:
        """Windows of the motions, each at a speed of its own: linear between the recorded frames."""
        length = self._length[motion].float()
        frames = self.num_frames
        fastest = (length - 1) / max(1, frames - 1)
        speed = torch.minimum(draws.ratio(self.variety.speed), fastest)
        start = draws.uniform() * (length - 1 - speed * (frames - 1))
        moment = start[:, None] + speed[:, None] * torch.arange(frames, device=self.device)
        before = moment.floor().clamp(max=length[:, None] - 1)
        after = (before + 1).minimum(length[:, None] - 1)
        first = self._first[motion][:, None]
        left, right = (self._frames[first + frame.long()] for frame in (before, after))
        return left.lerp(right, (moment - before)[..., None, None])

    def _seen(
        self,
        positions: Float[Tensor, "batch frames joints 3"],
        centre: Float[Tensor, "batch 3"],
        draws: Draws,
    ) -> Batch:
        variety = self.variety
        parents, mirror, _ = skeleton(self.device)
        target = positions[:, :, 0].mean(dim=1) if variety.follows else centre
        height = (positions - positions[:, :, parents]).norm(dim=-1).mean(dim=1)[:, _STANDING].sum(-1)
        aspects = torch.tensor(variety.aspects, device=self.device)
        aspect = aspects[(draws.uniform() * len(aspects)).long()]
        focal = draws.ratio(variety.focal) * aspect.clamp(
            min=1.0
        )  # of the longer side; now of half the width
        distance = draws.ratio(variety.distance)
        if variety.person is not None:
            smallest, largest = (height * focal / size for size in reversed(variety.person))
            distance = distance.clamp(smallest, largest)
        right, down, forward, eye = self._cameras(target, distance, draws)
        axes = torch.stack((right, down, forward), dim=-1)
        pose = (positions - eye[:, None, None]) @ axes[:, None]
        depth = pose[..., 2:].clamp(min=MIN_DEPTH)
        pose_2d = pose[..., :2] / depth * focal[:, None, None, None]
        if variety.detector == "synthetic":
            pose_2d = pose_2d + synthetic_noise(draws, self.num_frames)
        else:
            size = height * focal / pose[:, :, 0, 2].mean(dim=1).clamp(min=MIN_DEPTH)
            pose_2d = measured_noise(pose_2d, size, draws, mirror)
        pose_3d = pose - pose[:, :, :1]
        mirrored = (draws.uniform() < 0.5)[:, None, None, None]
        return Batch(*(torch.where(mirrored, flip_pose(seen), seen) for seen in (pose_2d, pose_3d)))

    def _cameras(
        self, target: Float[Tensor, "batch 3"], distance: Float[Tensor, " batch"], draws: Draws
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Right, down, forward and place of cameras around targets."""
        variety = self.variety
        azimuth = draws.uniform(high=2 * math.pi)
        level = torch.stack((azimuth.cos(), azimuth.sin(), torch.zeros_like(azimuth)), dim=-1)
        up = torch.tensor([0.0, 0.0, 1.0], device=self.device).expand_as(level)
        low, high = variety.height
        eye = target * torch.tensor([1.0, 1.0, 0.0], device=self.device) + level * distance[:, None]
        eye = eye + up * draws.uniform(low=low, high=high)[:, None]
        off = variety.aim * draws.normal(2)
        aim = target + off[:, :1] * up + off[:, 1:] * torch.linalg.cross(up, level)
        forward = torch.nn.functional.normalize(aim - eye, dim=-1)
        right = torch.nn.functional.normalize(torch.linalg.cross(forward, up), dim=-1)
        down = torch.linalg.cross(forward, right)
        roll = (math.radians(variety.roll) * draws.normal().clamp(-3, 3))[:, None]
        right, down = roll.cos() * right + roll.sin() * down, roll.cos() * down - roll.sin() * right
        return right, down, forward, eye
