"""What is written is read again by our own reader, to the joint."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.data.formats.npz import read_npz
from htp_diffusion.data.mocap.bvh import forward_kinematics, read_bvh
from htp_diffusion.data.mocap.bvh_writing import BVH_JOINTS, bvh_text
from htp_diffusion.data.mocap.h36m_joints import to_motion
from htp_diffusion.pose.layout import H36M_17


def read_back(path, poses, fps=60.0):
    """The poses of a written file, in the camera's axes, and the motion it holds."""
    path.write_text(bvh_text(np.asarray(poses), fps))
    motion = read_bvh(path)
    points = forward_kinematics(motion, 0.01)
    read = to_motion("clip", points, BVH_JOINTS, motion.fps)  # (x, -z, y): z up
    x, y, z = read.positions.unbind(dim=-1)
    return torch.stack([x, -z, y], dim=-1), motion


@given(seed=st.integers(0, 1000), frames=st.integers(1, 6), size=st.sampled_from([0.01, 0.3, 2.0]))
def test_any_joints_come_back_within_a_tenth_of_a_millimetre(tmp_path, seed, frames, size):
    poses = size * np.random.default_rng(seed).standard_normal((frames, 17, 3))
    got, _ = read_back(tmp_path / "a.bvh", poses)
    assert np.abs(got.numpy() - poses).max() < 1e-4


def test_real_motion_comes_back(tmp_path, cmu_path):
    clip = read_npz(cmu_path / "data_3d_cmu.npz")[0]
    x, y, z = clip.positions[:200].unbind(dim=-1)
    poses = torch.stack([x, -z, y], dim=-1)
    got, motion = read_back(tmp_path / "a.bvh", poses, clip.fps)
    assert (got - poses).norm(dim=-1).max() < 1e-4
    assert motion.fps == 60.0
    lengths = {joint.name: np.linalg.norm(joint.offset) for joint in motion.joints}
    thigh = (clip.positions[:, 5] - clip.positions[:, 4]).norm(dim=-1).mean()
    assert lengths["LeftLeg"] == pytest.approx(100 * float(thigh), abs=1)


def test_the_rest_pose_turned_by_nothing_is_the_rest_pose(tmp_path):
    joints = {
        "pelvis": (0, 0, 0), "spine": (0, 25, 0), "thorax": (0, 50, 0),
        "neck": (0, 65, 0), "head": (0, 80, 0),
        "left_hip": (10, 0, 0), "left_knee": (10, -40, 0), "left_ankle": (10, -80, 0),
        "left_shoulder": (15, 45, 0), "left_elbow": (45, 45, 0), "left_wrist": (70, 45, 0),
    }  # fmt: skip
    left = {name: place for name, place in joints.items() if "left" in name}
    joints |= {name.replace("left", "right"): (-x, y, z) for name, (x, y, z) in left.items()}
    rest = np.array([joints[name] for name in H36M_17.joints]) * [1, -1, -1] / 100  # camera axes, metres
    _, motion = read_back(tmp_path / "a.bvh", rest[None])
    first = 0
    for joint in motion.joints:
        values = motion.values[0, first : first + len(joint.channels)]
        first += len(joint.channels)
        if joint.channels:
            assert joint.channels == ("px", "py", "pz", "rz", "rx", "ry")
            np.testing.assert_allclose(values[:3], joint.offset, atol=1e-4)
            np.testing.assert_allclose(values[3:], 0, atol=1e-4)


@pytest.mark.parametrize("shape", ["point", "line"])
def test_poses_without_extent_are_written_all_the_same(tmp_path, shape):
    poses = np.zeros((2, 17, 3))
    if shape == "line":
        poses[..., 1] = -np.arange(17) / 10  # all joints above each other, limbs turned around
    got, _ = read_back(tmp_path / "a.bvh", poses)
    assert np.abs(got.numpy() - poses).max() < 1e-4
