import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.npz import read_npz
from htp_diffusion.data.synthetic import forward_kinematics, synthetic_motions
from htp_diffusion.pose.layout import H36M_17

CMU = Path(__file__).parents[4] / "shared" / "data" / "cmu" / "data_3d_cmu.npz"


def bone_lengths(positions):
    return torch.stack([(positions[:, c] - positions[:, p]).norm(dim=-1) for p, c in H36M_17.bones], dim=1)


@pytest.fixture(scope="module")
def motions():
    return synthetic_motions(seed=1, count=9)


def test_bone_lengths_are_constant_and_the_same_on_both_sides(motions):
    for motion in motions:
        lengths = bone_lengths(motion.positions)
        torch.testing.assert_close(lengths, lengths[:1].expand_as(lengths), atol=2e-6, rtol=0)
        child = [c for _, c in H36M_17.bones]
        mirrored = [child.index(H36M_17.mirror[c]) for c in child]
        torch.testing.assert_close(lengths[0], lengths[0, mirrored], atol=2e-6, rtol=0)


def test_forward_kinematics_by_hand():
    # A thigh raised forward by 90 degrees, the body turned left by 90 degrees: the knee points along y.
    angles = torch.zeros(1, 17, 3)
    angles[0, 0, 2], angles[0, 4, 1], angles[0, 5, 1] = math.pi / 2, -math.pi / 2, math.pi / 2
    offsets = torch.zeros(17, 3)
    offsets[4], offsets[5], offsets[6] = (torch.tensor(v) for v in ([0, 0.1, 0], [0, 0, -0.4], [0, 0, -0.5]))
    joints = forward_kinematics(angles, offsets)[0]
    torch.testing.assert_close(joints[4], torch.tensor([-0.1, 0.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(joints[5], torch.tensor([-0.1, 0.4, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(joints[6], torch.tensor([-0.1, 0.4, -0.5]), atol=1e-6, rtol=0)


def test_feet_are_on_the_ground_and_motion_is_smooth(motions):
    for motion in motions:
        ankles = motion.positions[:, [3, 6]]
        lower = ankles[..., 2].amin(dim=1)
        assert float(lower.min()) > 0.05
        assert float(lower.max()) < 0.09
        assert float(motion.positions[..., 2].max()) < 2.6
        velocity = motion.positions.diff(dim=0).norm(dim=-1) * motion.fps
        assert float(velocity.max()) < 8.0  # a fast walk's swinging foot makes about 5 m/s
        speed = velocity.mean(dim=1)
        assert float(speed.quantile(0.95)) > 2 * float(speed.quantile(0.05))  # pauses and quick phases


def test_each_action_does_what_its_name_says(motions):
    for motion in motions:
        root, joints = motion.positions[:, 0], motion.positions
        left = joints[:, 4] - joints[:, 1]
        forward = torch.stack([left[:, 1], -left[:, 0]], dim=-1)
        if "walking" in motion.name:
            assert float((root.diff(dim=0)[:, :2] * forward[:-1]).sum()) > 0  # and not backward
            assert float((root.diff(dim=0)[:, :2]).norm(dim=-1).sum()) > 1.5
        if "sitting" in motion.name:
            assert float(root[:, 2].amax() - root[:, 2].amin()) > 0.25
        if "reaching" in motion.name:
            hands = joints[:, [13, 16]] - joints[:, [11, 14]]
            assert float(hands[..., 2].amax()) > -0.2  # at rest a hand hangs half a metre below its shoulder
            assert float((root - root.mean(dim=0)).norm(dim=-1).max()) < 0.6


def test_arms_and_knees_open_to_their_own_side(motions):
    """How far the ends of both sides are apart beyond where they begin, on average over a motion."""

    def apart(motion, name):
        left, right = (motion.positions[:, H36M_17.index(f"{side}_{name}")] for side in ("left", "right"))
        return left - right

    for motion in motions:
        limbs = {"walking": ["elbow"], "sitting": ["elbow", "knee"]}
        for far in limbs.get(motion.name.partition("/")[2].partition("_")[0], []):
            across = apart(motion, "hip" if far == "knee" else "shoulder")
            width = across.norm(dim=-1)
            reach = (apart(motion, far) * across).sum(dim=-1) / width
            assert float((reach - width).mean()) > 0.0


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_same_seed_same_motion_and_a_longer_draw_begins_alike(seed):
    first, again = synthetic_motions(seed, 2, 24), synthetic_motions(seed, 4, 24)
    assert [m.name for m in first] == ["synthetic/walking_000", "synthetic/sitting_001"]
    assert all(torch.equal(a.positions, b.positions) for a, b in zip(first, again, strict=False))
    assert not torch.equal(first[0].positions, synthetic_motions(seed + 1, 1, 24)[0].positions)


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_motions_are_finite(frames):
    for motion in synthetic_motions(0, 3, frames):
        assert motion.positions.shape == (frames, 17, 3)
        assert torch.isfinite(motion.positions).all()


@pytest.mark.parametrize("bad", [{"count": 0}, {"frames": 0}, {"fps": 0.0}])
def test_nothing_to_draw_is_refused(bad):
    with pytest.raises(BenchmarkError, match="positive count, frames and fps"):
        synthetic_motions(**bad)


@pytest.mark.skipif(not CMU.exists(), reason="the CMU data are not here")
def test_bodies_are_as_large_as_recorded_ones(motions):
    synthetic = torch.stack([bone_lengths(motion.positions)[0] for motion in motions]).mean(dim=0)
    recorded = torch.stack([bone_lengths(motion.positions)[0] for motion in read_npz(CMU)]).mean(dim=0)
    assert ((synthetic / recorded - 1).abs() < 0.2).all()
