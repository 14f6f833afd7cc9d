"""The horizontal flip of poses, for test-time augmentation and for training."""

import torch
from jaxtyping import Float
from torch import Tensor

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.pose.layout import H36M_17, Layout


def flip_pose(
    pose: Float[Tensor, "*batch joints dim"], layout: Layout = H36M_17
) -> Float[Tensor, "*batch joints dim"]:
    """Mirror a pose: x changes sign, left and right joints change places. Twice is the identity.

    Right for 3D poses in a camera frame, and for screen-normalised 2D poses, whose x = 0 is the middle of
    the image; not for pixels.

    Raises:
        BenchmarkError: The pose has another number of joints than the layout.
    """
    if pose.shape[-2] != layout.num_joints:
        raise BenchmarkError(
            f"cannot flip a pose of {pose.shape[-2]} joints with a layout of {layout.num_joints}"
        )
    # By views: an index would be copied to the device in every call, which waits for it.
    mirrored = torch.stack([pose.select(-2, joint) for joint in layout.mirror], dim=-2)
    return torch.cat([-mirrored[..., :1], mirrored[..., 1:]], dim=-1)
