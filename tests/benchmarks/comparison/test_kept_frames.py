from dataclasses import replace

import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.picture import save_png
from htp_diffusion.comparison import kept_frames
from htp_diffusion.comparison.kept_frames import Retention, draw_frames, motion_speed, observe_retention
from htp_diffusion.data.motion import Motion, view, windows
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.pose.cameras import virtual_cameras
from htp_diffusion.pose.flip import flip_pose
from htp_modules import HTPConfig, record

FPS = 50.0


def moving_clip(frames: int, velocity: torch.Tensor):
    """A random pose that glides with a velocity (m/s), one for every joint or one each."""
    pose = torch.rand(17, 3, generator=torch.Generator().manual_seed(0)) + torch.tensor([0.0, 0.0, 1.0])
    positions = pose + torch.arange(frames)[:, None, None] / FPS * velocity
    motion = Motion(name="S/glide", positions=positions, fps=FPS)
    return view(motion, virtual_cameras(positions)[0])


def test_motion_speed_includes_the_travel_of_the_root():
    speed = motion_speed(moving_clip(9, torch.tensor([3.0, 4.0, 0.0])))
    torch.testing.assert_close(speed, torch.full((9,), 5.0), rtol=1e-3, atol=0)


def test_motion_speed_is_the_mean_over_joints():
    velocity = torch.zeros(17, 3)
    velocity[[3, 8], 2] = torch.tensor([8.5, 17.0])
    speed = motion_speed(moving_clip(5, velocity))
    torch.testing.assert_close(speed, torch.full((5,), 1.5), rtol=1e-3, atol=0)


def test_motion_speed_of_one_frame_is_zero():
    assert motion_speed(moving_clip(1, torch.ones(3))).tolist() == [0.0]


def test_the_picture_is_a_png_of_its_size(tmp_path):
    retention = Retention(kept=torch.tensor([[0, 2, 5], [1, 2, 3]]), start=torch.tensor([0, 6]), num_frames=6)
    assert retention.share == "3 of 6 frames"
    path = tmp_path / "kept.png"
    draw_frames(path, moving_clip(20, torch.ones(3)), retention, "HTP")
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert [int.from_bytes(head[i : i + 4], "big") for i in (16, 20)] == [1500, 540]
    draw_frames(
        path,
        moving_clip(6, torch.zeros(3)),
        retention=Retention(kept=torch.arange(6)[None], start=torch.tensor([0]), num_frames=6),
        source="a person who stands still",
    )
    with pytest.raises(BenchmarkError, match=r"cannot write .*missing.*No such file"):
        draw_frames(tmp_path / "missing" / "kept.png", moving_clip(20, torch.ones(3)), retention, "HTP")


def test_names_are_no_mathematics(tmp_path, monkeypatch):
    """Not read as TeX, a formula that is wrong is no error, and a right one stays as it is."""
    figures = []
    monkeypatch.setattr(kept_frames, "save_png", lambda figure, path: figures.append(figure))
    clip = replace(moving_clip(20, torch.ones(3)), name=r"S$\frac$ $x$")
    retention = Retention(kept=torch.tensor([[0, 2]]), start=torch.tensor([0]), num_frames=6)
    draw_frames(tmp_path / "kept.png", clip, retention, r"run$\x$")
    [axes] = figures[0].axes
    assert axes.get_title() == r"run$\x$ keeps 2 of 6 frames: S$\frac$ $x$"
    save_png(figures[0], tmp_path / "kept.png")


@pytest.mark.parametrize("max_batch", [1, 2, 4])
def test_retention_is_what_the_plain_half_keeps(max_batch):
    config = DenoiserConfig(
        kind="htp", num_frames=9, dim=16, depth=2, num_heads=2, htp=HTPConfig(num_sft_layers=1, num_keep=3)
    )
    denoiser = config.build().eval()
    clip = windows(moving_clip(15, torch.ones(3)), 9)
    sampling = Sampling(hypotheses=4, steps=1, eta=1.0, flip=True, seed=3, batch_size=8, max_batch=max_batch)
    found = observe_retention(denoiser, clip, sampling)
    # One step, by hand: the noise of windows 0 and 1, clamped; the plain windows, then the mirrored ones.
    sources = [torch.Generator().manual_seed(3 * 2**20 + window) for window in range(2)]
    noise = torch.cat([torch.randn(1, 9, 17, 3, generator=source) for source in sources]).clamp(-1.1, 1.1)
    with record(denoiser) as seen, torch.no_grad():
        denoiser(
            torch.cat([clip.pose_2d, flip_pose(clip.pose_2d)]),
            torch.cat([noise, flip_pose(noise)]),
            torch.full((4,), 999),
        )
    assert torch.equal(found.kept, seen.kept[0].index[:2])
    assert (found.start.tolist(), found.num_frames) == ([0, 6], 9)


def test_retention_of_several_steps_is_that_of_the_last():
    config = DenoiserConfig(
        kind="htp", num_frames=9, dim=16, depth=2, num_heads=2, htp=HTPConfig(num_sft_layers=1, num_keep=3)
    )
    denoiser = config.build().eval()
    clip = windows(moving_clip(15, torch.ones(3)), 9)
    clip = replace(clip, pose_2d=torch.randn(clip.pose_2d.shape, generator=torch.Generator().manual_seed(1)))
    calls = []
    handle = denoiser.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    sampling = Sampling(hypotheses=1, steps=2, eta=1.0, flip=True, seed=3, batch_size=8)
    found = observe_retention(denoiser, clip, sampling)
    handle.remove()
    assert [timestep.unique().tolist() for _, _, timestep in calls] == [[999], [499]]
    kept = []
    for inputs in calls:
        with record(denoiser) as seen, torch.no_grad():
            denoiser(*inputs)
        kept.append(seen.kept[0].index[:2])
    assert not torch.equal(*kept)
    assert torch.equal(found.kept, kept[-1])
