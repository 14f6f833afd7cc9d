import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.cameras import (
    FILTER_LENGTH,
    MIN_DEPTH,
    Camera,
    camera_at,
    detector_like,
    detector_noise,
    look_at,
    virtual_cameras,
)

AXIS = Camera(
    rotation=torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),  # looks along the world's y, level
    translation=torch.tensor([0.0, -5.0, 1.0]),
    focal=torch.tensor([1000.0, 1100.0]),
    centre=torch.tensor([500.0, 501.0]),
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_projection_by_hand():
    # 5 m ahead, 1 m to the right, 0.5 m above the camera: x = 1 / 5 f + c, y = -0.5 / 5 f + c.
    camera_point = AXIS.to_camera(torch.tensor([1.0, 0.0, 1.5]))
    torch.testing.assert_close(camera_point, torch.tensor([1.0, -0.5, 5.0]))
    pixel = AXIS.project(camera_point)
    torch.testing.assert_close(pixel, torch.tensor([700.0, 391.0]))
    # x / w * 2 - 1 and y / w * 2 - h / w.
    torch.testing.assert_close(AXIS.normalise_screen(pixel), torch.tensor([0.4, 391 / 500 - 1.002]))


@given(st.integers(0, 10**6))
def test_conversions_invert(seed):
    points = torch.randn(3, 4, 3, generator=seeded(seed), dtype=torch.float64)
    camera = camera_at(torch.randn(3, generator=seeded(seed)), float(seed % 360), 3.0, 1.0)
    torch.testing.assert_close(camera.to_world(camera.to_camera(points)), points, atol=1e-6, rtol=1e-6)
    pixels = points[..., :2] * 300
    torch.testing.assert_close(camera.denormalise_screen(camera.normalise_screen(pixels)), pixels)


@given(st.floats(0, 360), st.floats(1.0, 6.0), st.floats(0.3, 3.0))
def test_a_camera_sees_its_target_in_the_middle_and_upright(azimuth, distance, height):
    target = torch.tensor([0.3, -1.2, 0.9])
    camera = camera_at(target, azimuth, distance, height)
    eye = torch.linalg.vector_norm(camera.translation[:2] - target[:2])
    assert float(eye) == pytest.approx(distance, rel=1e-4)
    assert float(camera.translation[2]) == pytest.approx(height, rel=1e-5)
    eye_rotation = camera.rotation.double()
    torch.testing.assert_close(
        eye_rotation @ eye_rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-5, rtol=0
    )
    assert float(torch.linalg.det(eye_rotation)) == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(camera.project(camera.to_camera(target)), camera.centre, atol=0.05, rtol=0)
    above = camera.project(camera.to_camera(target + torch.tensor([0.0, 0.0, 0.2])))
    assert float(above[1]) < float(camera.centre[1])
    assert float(above[0]) == pytest.approx(500.0, abs=0.05)


def test_virtual_cameras_stand_where_they_are_said_to():
    positions = torch.randn(20, 17, 3, generator=seeded())
    cameras = virtual_cameras(positions)
    root = positions[:, 0].mean(dim=0)
    assert [camera.name for camera in cameras] == ["az045", "az135", "az225", "az315"]
    for camera, azimuth in zip(cameras, (45, 135, 225, 315), strict=True):
        offset = camera.translation - root
        assert math.degrees(math.atan2(offset[1], offset[0])) % 360 == pytest.approx(azimuth, abs=1e-3)
        assert float(offset[:2].norm()) == pytest.approx(4.5, rel=1e-5)
        assert float(camera.translation[2]) == pytest.approx(1.5)
        assert camera.image_size == (1000, 1002)
        assert camera.focal.tolist() == [1145.0, 1145.0]


def test_a_point_behind_the_camera_is_projected_from_the_least_depth():
    behind = torch.tensor([[0.2, 0.1, -3.0], [0.2, 0.1, 0.0]])
    clamped = torch.tensor([0.2, 0.1, MIN_DEPTH])
    torch.testing.assert_close(AXIS.project(behind), AXIS.project(clamped).expand(2, 2))


def test_looking_straight_down_is_refused():
    with pytest.raises(BenchmarkError, match="straight up or down"):
        look_at(torch.tensor([0.0, 0.0, 3.0]), torch.zeros(3))


def test_detector_noise_has_the_statistics_it_promises():
    noise = detector_noise(seeded(3), 4000)
    error = noise.norm(dim=-1).mean(dim=0)
    assert noise.shape == (4000, 17, 2)
    assert float(error.mean()) == pytest.approx(5.0, abs=0.3)
    wrists, torso = error[[13, 16]].mean(), error[[0, 7, 8]].mean()
    assert float(wrists) > 1.5 * float(torso)
    # Away from outliers 80 % of the variance follows 0.9 ** lag; ranks do not see the outliers' size.
    for lag in (1, 5, 20):
        first, second = noise[:-lag].flatten(1), noise[lag:].flatten(1)
        concordant = (first.sign() * second.sign()).mean()
        expected = 2 / math.pi * math.asin(0.8 * 0.9**lag)  # of the signs of two normals
        assert float(concordant) == pytest.approx(expected, abs=0.03)
    assert float(noise.abs().max()) > 40  # the tail is there


@pytest.mark.parametrize(("chance", "times"), [(0.009, 5.0), (0.011, 0.0)])
def test_an_outlier_in_a_hundred_is_five_times_the_joints_scale(chance, times):
    normal = torch.zeros(4, 17, 2, 6)
    normal[2:] = 1.0
    past = torch.zeros(17, 2, FILTER_LENGTH - 1)
    noise = detector_like(normal, past, torch.full((17, 1, 6), chance))
    assert float(noise.mean()) == pytest.approx(times * 3.75)  # px of an average joint
    assert float(noise[0, 13, 0] - noise[0, 0, 0] * 1.5 / 0.8) == pytest.approx(0.0, abs=1e-4)


def test_detector_noise_is_seeded_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    first, again, other = (detector_noise(seeded(seed), 7) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


def test_detector_noise_of_another_skeleton_is_refused():
    with pytest.raises(BenchmarkError, match="17 joints, not for 14"):
        detector_noise(seeded(), 5, 14)
