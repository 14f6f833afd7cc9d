"""How a skeleton is looked at."""

import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.view import LEFT, RIGHT, draw_bones, seen_from


def test_a_viewer_at_the_side_sees_depth_across():
    pose = torch.tensor([[1.0, 2.0, 3.0]])
    assert seen_from(pose, 0.0).tolist() == [[1.0, -2.0]]
    torch.testing.assert_close(seen_from(pose, 90.0), torch.tensor([[-3.0, -2.0]]))


def test_bones_have_the_colours_of_their_sides():
    axes = Figure().add_subplot()
    draw_bones(axes, torch.rand(17, 2))
    [collection] = axes.collections
    colours = [to_hex(colour) for colour in collection.get_colors()]
    for (_, child), colour in zip(H36M_17.bones, colours, strict=True):
        assert (colour == LEFT) == H36M_17.joints[child].startswith("left")
        assert (colour == RIGHT) == H36M_17.joints[child].startswith("right")
