import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.cameras import camera_at
from htp_diffusion.pose.flip import flip_pose

LEFT, RIGHT = [4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]


@given(st.integers(0, 10**6), st.sampled_from([(), (2,), (2, 3)]), st.sampled_from([2, 3]))
def test_flip_is_the_field_s_two_assignments_and_its_own_inverse(seed, leading, dim):
    pose = torch.randn(*leading, 17, dim, generator=torch.Generator().manual_seed(seed))
    expected = pose.clone()
    expected[..., 0] *= -1
    expected[..., LEFT + RIGHT, :] = expected[..., RIGHT + LEFT, :].clone()
    flipped = flip_pose(pose)
    assert torch.equal(flipped, expected)
    assert torch.equal(flip_pose(flipped), pose)


def test_flipping_commutes_with_projection():
    camera = camera_at(torch.zeros(3), 0.0)
    generator = torch.Generator().manual_seed(0)
    pose = torch.randn(5, 17, 3, generator=generator) * 0.5
    root = torch.tensor([0.4, -0.1, 4.5]).expand(5, 3)

    def screen(pose, root):
        return camera.normalise_screen(camera.project(pose + root[:, None]))

    flipped = screen(flip_pose(pose), root * torch.tensor([-1.0, 1.0, 1.0]))
    torch.testing.assert_close(flipped, flip_pose(screen(pose, root)), atol=1e-5, rtol=1e-5)


def test_another_number_of_joints_is_refused():
    with pytest.raises(BenchmarkError, match="16 joints with a layout of 17"):
        flip_pose(torch.zeros(2, 16, 3))
