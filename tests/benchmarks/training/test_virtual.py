"""Virtual windows: drawn all at once, they are what a single camera sees of a motion."""

from dataclasses import replace

import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.motion import Motion, view
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.pose.cameras import camera_at
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training.batches import step_generator
from htp_diffusion.training.draws import Draws
from htp_diffusion.training.variety import VARIETIES
from htp_diffusion.training.virtual import VirtualBatches

EXACT = replace(
    VARIETIES["scored"], speed=(1.0, 1.0), limb=0.0, body=0.0, distance=(4.0, 4.0), height=(1.2, 1.2)
)
FRAMES = 12


@pytest.fixture(scope="module")
def motion():
    return synthetic_motions(seed=4, count=1, frames=FRAMES)[0]


def batches(motions, variety, size=64, frames=FRAMES):
    return VirtualBatches(motions, frames, size, variety)


def test_a_window_is_what_one_camera_sees(motion, monkeypatch):
    """Against ``view``, one camera at a time; the azimuth is found by trying."""
    silent = torch.zeros(8, FRAMES, 17, 2)
    monkeypatch.setattr("htp_diffusion.training.virtual.synthetic_noise", lambda *_: silent)
    batch = batches([motion], EXACT, size=8).draw(step_generator(0, 0))
    centre = motion.positions[:, 0].mean(dim=0)

    def seen(azimuth, mirrored):
        clip = view(motion, camera_at(centre, azimuth, 4.0, 1.2))
        poses = clip.pose_2d, clip.pose_3d
        return tuple(flip_pose(pose) for pose in poses) if mirrored else poses

    for pose_2d, pose_3d in zip(batch.pose_2d, batch.pose_3d, strict=True):

        def error(azimuth, mirrored, pose_3d=pose_3d):
            return float((seen(azimuth, mirrored)[1] - pose_3d).abs().max())

        tried = [(float(azimuth), mirrored) for azimuth in range(0, 360, 2) for mirrored in (False, True)]
        azimuth, mirrored = min(tried, key=lambda one: error(*one))
        for step in (0.2, 0.02, 0.002, 0.0002):
            around = [azimuth + step * turn for turn in range(-10, 11)]
            azimuth = min(around, key=lambda one, mirrored=mirrored: error(one, mirrored))
        expected = seen(azimuth, mirrored)
        torch.testing.assert_close(pose_3d, expected[1], atol=2e-5, rtol=0)
        torch.testing.assert_close(pose_2d, expected[0], atol=2e-5, rtol=0)


def test_the_mirror_turns_2d_and_3d_alike(motion):
    """Which hip is on which side of the image agrees between the two."""
    batch = batches([motion], EXACT, size=512).draw(step_generator(0, 1))
    across_2d = batch.pose_2d[:, :, 1, 0] - batch.pose_2d[:, :, 4, 0]
    across_3d = batch.pose_3d[:, :, 1, 0] - batch.pose_3d[:, :, 4, 0]
    clear = across_3d.abs() > 0.1
    assert bool((across_2d.sign() == across_3d.sign())[clear].float().mean() > 0.98)


@pytest.mark.parametrize("name", list(VARIETIES))
def test_bodies_stay_within_their_ranges_left_as_right(motion, name):
    variety = VARIETIES[name]
    batch = batches([motion], variety, size=512).draw(step_generator(3, 0))
    assert torch.isfinite(batch.pose_2d).all()
    assert torch.equal(batch.pose_3d[:, :, 0], torch.zeros(512, FRAMES, 3))
    right, left = (
        (batch.pose_3d[:, :, knee] - batch.pose_3d[:, :, hip]).norm(dim=-1) for hip, knee in ((1, 2), (4, 5))
    )
    original = (motion.positions[0, 2] - motion.positions[0, 1]).norm()
    assert float((right / original).max()) <= (1 + variety.limb) * (1 + variety.body) + 1e-3
    assert float((right / original).min()) >= (1 - variety.limb) * (1 - variety.body) - 1e-2
    torch.testing.assert_close(right, left, rtol=1e-2, atol=0)


def test_windows_cover_their_clip_at_their_speeds():
    moments = torch.arange(90.0)[:, None, None].expand(90, 17, 3)
    clock = Motion(name="clock", positions=moments.clone(), fps=60.0)
    source = batches([clock], replace(EXACT, speed=(0.5, 2.0)), frames=9)
    cut = [
        source._cut(torch.zeros(64, dtype=torch.int64), Draws(step_generator(seed, 0), 64))
        for seed in range(4)
    ]
    drawn = torch.cat(cut)
    assert 0.0 <= float(drawn.min()) < 3.0
    assert 86.0 < float(drawn.max()) <= 89.0
    pace = drawn[:, 1:, 0, 0] - drawn[:, :-1, 0, 0]
    torch.testing.assert_close(pace, pace[:, :1].expand_as(pace), atol=1e-3, rtol=0)
    assert 0.5 - 1e-4 <= float(pace.min()) < 0.55
    assert 1.9 < float(pace.max()) <= 2.0 + 1e-4
    assert float(drawn.mean()) == pytest.approx(44.5, abs=4.0)


def test_several_batches_at_once_are_a_function_of_the_generator(motion):
    source = batches([motion], VARIETIES["wide"], size=4)
    first, again = (source.draw(step_generator(1, 2), 3) for _ in range(2))
    assert first.pose_2d.shape[0] == 12
    assert torch.equal(first.pose_2d, again.pose_2d)
    assert not torch.equal(first.pose_2d, source.draw(step_generator(1, 3), 3).pose_2d)


def test_two_motions_of_one_name_are_refused(motion):
    with pytest.raises(BenchmarkError, match="names of their own, got two called"):
        batches([motion, motion], EXACT)


@pytest.mark.parametrize(("speed", "span"), [(2.0, 9.0), (0.5, 4.0)])
def test_windows_stay_in_clips_that_are_hardly_longer_than_they_are(speed, span):
    """Clocks of 10 frames for windows of 9: at twice the pace there is room for 9/8 of it alone."""
    moments = torch.arange(10.0)[:, None, None].expand(10, 17, 3)
    clocks = [Motion(name=str(hour), positions=moments + 100.0 * hour, fps=60.0) for hour in range(2)]
    source = batches(clocks, replace(EXACT, speed=(speed, speed)), frames=9)
    for hour in range(2):
        which = torch.full((64,), hour)
        found = source._cut(which, Draws(step_generator(hour, 0), 64))[:, :, 0, 0] - 100.0 * hour
        assert 0.0 <= float(found.min()) <= float(found.max()) <= 9.0
        steps = torch.arange(9.0) * span / 8
        torch.testing.assert_close(found - found[:, :1], steps.expand(64, 9), atol=1e-4, rtol=0)
        assert float(found[:, 0].max() - found[:, 0].min()) == pytest.approx(9.0 - span, abs=0.5)


def test_a_focal_length_is_of_the_longer_side_of_the_image(motion, monkeypatch):
    """In half widths: an upright image is narrower than its longer side, a wide one as wide as it."""
    silent = torch.zeros(8, FRAMES, 17, 2)
    monkeypatch.setattr("htp_diffusion.training.virtual.synthetic_noise", lambda *_: silent)
    square, upright, wide = (
        batches([motion], replace(EXACT, aspects=(aspect,)), size=8).draw(step_generator(0, 0)).pose_2d
        for aspect in (1.0, 16 / 9, 9 / 16)
    )
    torch.testing.assert_close(upright, 16 / 9 * square)
    torch.testing.assert_close(wide, square)


def test_a_detector_errs_by_the_height_of_the_person_in_the_image(monkeypatch):
    """Somebody who stands upright, seen level from afar: the height is that from the ankles to the nose."""
    standing = torch.zeros(FRAMES, 17, 3)
    heights = {"knee": 0.5, "hip": 0.9, "spine": 1.1, "thorax": 1.4, "neck": 1.5, "pelvis": 0.9, "head": 1.6}
    for joint, name in enumerate(H36M_17.joints):
        standing[:, joint, 2] = 0.1 + heights.get(name.rpartition("_")[2], 0.0)
    given = []

    def errs(pose_2d, size, *_):
        given.append((pose_2d, size))
        return pose_2d

    monkeypatch.setattr("htp_diffusion.training.virtual.measured_noise", errs)
    variety = replace(EXACT, detector="measured", distance=(9.0, 9.0), height=(1.0, 1.0))
    batches([Motion(name="standing", positions=standing, fps=60.0)], variety).draw(step_generator(0, 0))
    [(pose_2d, size)] = given
    ankle, neck = (pose_2d[..., H36M_17.index(name), 1].mean(dim=1) for name in ("left_ankle", "neck"))
    torch.testing.assert_close(size, ankle - neck, rtol=0.03, atol=0)  # y points down
