"""Lens cameras: OpenCV's model of a calibrated camera, and its inverse."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.pose.lens import LensCamera

FOCAL, CENTRE = (1680.0, 1690.0), (545.0, 955.0)


def camera(distortion=(-0.046, 0.14, 0.0006, 0.0007, 0.01)):
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(3), dtype=torch.float64)).Q
    intrinsics = torch.tensor([[FOCAL[0], 0, CENTRE[0]], [0, FOCAL[1], CENTRE[1]], [0, 0, 1]])
    return LensCamera(
        rotation=turn * torch.linalg.det(turn),
        translation=torch.tensor([0.3, -0.2, 4.0], dtype=torch.float64),
        intrinsics=intrinsics.double(),
        distortion=torch.tensor(distortion, dtype=torch.float64),
        image_size=(1080, 1920),
    )


def by_hand(x, y, z, k1, k2, p1, p2, k3):
    """The formula of OpenCV's documentation, number by number."""
    a, b = x / z, y / z
    r2 = a * a + b * b
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    u = a * radial + 2 * p1 * a * b + p2 * (r2 + 2 * a * a)
    v = b * radial + p1 * (r2 + 2 * b * b) + 2 * p2 * a * b
    return [FOCAL[0] * u + CENTRE[0], FOCAL[1] * v + CENTRE[1]]


def test_points_fall_where_opencvs_formula_puts_them():
    points = torch.tensor([[0.4, -0.9, 3.0], [-1.0, 1.1, 5.0], [0.0, 0.0, 2.0]], dtype=torch.float64)
    lens = (-0.3, 0.15, 0.004, -0.002, 0.05)
    expected = torch.tensor([by_hand(*point, *lens) for point in points.tolist()], dtype=torch.float64)
    torch.testing.assert_close(camera(lens).project(points), expected)


def test_the_world_is_turned_and_then_moved():
    one = camera()
    points = torch.randn(5, 3, generator=torch.manual_seed(0), dtype=torch.float64)
    expected = torch.stack([one.rotation @ point + one.translation for point in points])
    torch.testing.assert_close(one.to_camera(points), expected)


@given(
    pixel=st.tuples(st.floats(0, 1080), st.floats(0, 1920)),
    lens=st.tuples(*[st.floats(-0.15, 0.15)] * 2, *[st.floats(-0.003, 0.003)] * 2, st.floats(-0.05, 0.05)),
)
def test_a_pixels_ray_is_projected_to_the_pixel(pixel, lens):
    one = camera(lens)
    seen = torch.tensor(pixel, dtype=torch.float64)
    plane = one.to_plane(seen)
    ray = torch.cat([plane, torch.ones(1, dtype=torch.float64)]) * 3.7
    torch.testing.assert_close(one.project(ray), seen, atol=1e-4, rtol=0)
