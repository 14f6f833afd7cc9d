"""Bodies: the same motion by another person, in a recording's joints or in a detector's."""

from dataclasses import replace

import pytest
import torch

from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.pose.conversions import convert
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.pose.layouts import COCO_17
from htp_diffusion.training import bodies
from htp_diffusion.training.batches import step_generator
from htp_diffusion.training.bodies import another_body, body_axes
from htp_diffusion.training.draws import Draws
from htp_diffusion.training.variety import VARIETIES

FRAMES, WINDOWS = 9, 64
WIDE = VARIETIES["wide"]
SAME = replace(WIDE, limb=0.0, body=0.0, forearm=(1.0, 1.0), other_arms=0.0, bend=0.0, shoulder_bend=0.0)
LIMBS = {"hip": "knee", "knee": "ankle", "shoulder": "elbow", "elbow": "wrist"}


@pytest.fixture(scope="module")
def positions():
    motion = synthetic_motions(seed=4, count=1, frames=FRAMES)[0].positions
    return motion.expand(WINDOWS, -1, -1, -1)


def drawn(positions, variety, seed=0):
    return another_body(positions, variety, Draws(step_generator(seed, 0), WINDOWS))


def joint(poses, name):
    return poses[..., H36M_17.index(name), :]


def bone(poses, side, near):
    return joint(poses, f"{side}_{LIMBS[near]}") - joint(poses, f"{side}_{near}")


def test_a_body_like_the_recorded_one_keeps_its_limbs(positions):
    found = drawn(positions, SAME)
    limbs = [index for index, name in enumerate(H36M_17.joints) if "_" in name]
    torch.testing.assert_close(found[:, :, limbs], positions[:, :, limbs], atol=1e-5, rtol=0)


def test_bent_limbs_keep_their_lengths_and_their_turn(positions):
    found = drawn(positions, replace(SAME, bend=8.0, shoulder_bend=8.0))
    turned = []
    for side in ("left", "right"):
        for near in LIMBS:
            before, after = bone(positions, side, near), bone(found, side, near)
            torch.testing.assert_close(after.norm(dim=-1), before.norm(dim=-1), atol=1e-5, rtol=0)
            # In the axes of the trunk, one rotation takes all frames of a window to what they are now.
            before, after = (
                (part[..., None, :] @ body_axes(positions))[..., 0, :] for part in (before, after)
            )
            u, _, v = torch.linalg.svd(before.mT @ after)
            u[..., 2] *= torch.det(u @ v).sign()[:, None]
            torch.testing.assert_close(before @ u @ v, after, atol=1e-4, rtol=0)
            turned.append(torch.acos(torch.cosine_similarity(before, after, dim=-1).clamp(-1, 1)).rad2deg())
    assert 5.0 < float(torch.stack(turned).mean()) < 15.0
    assert not torch.allclose(turned[0], turned[4])  # left and right bend on their own


def test_upper_arms_bend_by_an_angle_of_their_own(positions):
    found = drawn(positions, replace(SAME, shoulder_bend=20.0))
    for side in ("left", "right"):
        for near in LIMBS:
            before, after = bone(positions, side, near), bone(found, side, near)
            turned = torch.acos(torch.cosine_similarity(before, after, dim=-1).clamp(-1, 1)).rad2deg()
            if near in ("hip", "knee"):
                assert float(turned.max()) < 0.2
            else:  # the forearm turns with the upper arm
                assert 15.0 < float(turned.mean()) < 40.0


def test_an_arm_may_move_as_another_windows(positions):
    """An arm moves about its own trunk, as before or as that of the window before; both bones of it."""
    turns = torch.linalg.qr(torch.randn(WINDOWS, 3, 3, generator=torch.manual_seed(2))).Q
    turns = turns * torch.linalg.det(turns)[:, None, None]
    others = positions.clone()
    for side, sign in (("left", 1.0), ("right", -1.0)):  # every window carries its arms in another way
        for number, name in enumerate(("elbow", "wrist")):
            others[:, :, H36M_17.index(f"{side}_{name}")] += torch.linspace(0, 0.3, WINDOWS)[
                :, None, None
            ] * torch.tensor([sign, 0.5 * number, 0.2])
    others = others @ turns[:, None]
    found = drawn(others, replace(SAME, other_arms=0.5))

    def carried(poses):
        parts = [bone(poses, side, near) for side in ("left", "right") for near in ("shoulder", "elbow")]
        return torch.nn.functional.normalize(torch.stack(parts, dim=2), dim=-1) @ body_axes(others)

    own, now = carried(others), carried(found)
    kept = torch.isclose(now, own, atol=1e-4).all(dim=-1).all(dim=1)
    taken = torch.isclose(now, own.roll(1, dims=0), atol=1e-4).all(dim=-1).all(dim=1)
    assert (kept ^ taken).all()
    assert torch.equal(taken[:, 0], taken[:, 1])  # both bones of an arm, or neither
    assert torch.equal(taken[:, 2], taken[:, 3])
    assert not torch.equal(taken[:, 0], taken[:, 2])
    assert 0.3 < float(taken.float().mean()) < 0.7
    for side in ("left", "right"):
        for near in LIMBS:
            lengths = [bone(poses, side, near).norm(dim=-1) for poses in (others, found)]
            torch.testing.assert_close(*lengths, atol=1e-5, rtol=0)


def test_forearms_grow_within_their_range_and_alike(positions):
    found = drawn(positions, replace(SAME, forearm=(1.2, 1.5)))
    left, right = (
        bone(found, side, "elbow").norm(dim=-1) / bone(positions, side, "elbow").norm(dim=-1)
        for side in ("left", "right")
    )
    torch.testing.assert_close(left, right, atol=1e-4, rtol=0)
    assert 1.2 - 1e-4 <= float(left.min()) < 1.25
    assert 1.45 < float(left.max()) <= 1.5 + 1e-4
    torch.testing.assert_close(bone(found, "left", "shoulder"), bone(positions, "left", "shoulder"))


def test_the_trunk_is_where_the_rule_for_detections_puts_it(positions):
    found = drawn(positions, WIDE)
    detected = torch.zeros(WINDOWS, FRAMES, COCO_17.num_joints, 3)
    for name in COCO_17.joints:
        if name in H36M_17.joints:
            detected[:, :, COCO_17.index(name)] = joint(found, name)
    expected = convert(detected, COCO_17, H36M_17, "cmu")
    for name in ("pelvis", "spine", "thorax"):
        torch.testing.assert_close(joint(found, name), joint(expected, name), atol=1e-5, rtol=0)


def test_neck_and_head_lean_forward_about_the_shoulders(positions):
    found = drawn(positions, SAME)
    axes = body_axes(positions)
    shoulders = (joint(positions, "left_shoulder") + joint(positions, "right_shoulder")) / 2

    def seen(poses, name):
        return ((joint(poses, name) - shoulders)[..., None, :] @ axes)[..., 0, :]

    angles = []
    for name in ("neck", "head"):
        before, after = seen(positions, name), seen(found, name)
        angle = torch.atan2(after[..., 2], after[..., 1]) - torch.atan2(before[..., 2], before[..., 1])
        angles.append(angle.rad2deg())
        longer = after.norm(dim=-1) / before.norm(dim=-1)
        assert bodies._NECK_LENGTH[0] - 1e-3 <= float(longer.min())
        assert float(longer.max()) <= bodies._NECK_LENGTH[1] + 1e-3
    nod = angles[1] - angles[0]  # the head leans further than the neck
    assert -1e-2 <= float(nod.min()) < 2.0
    assert bodies._NOD - 2.0 < float(nod.max()) <= bodies._NOD + 1e-2
    assert -1e-2 <= float(angles[0].min()) < 3.0
    assert bodies._LEAN - 3.0 < float(angles[0].max()) <= bodies._LEAN + 1e-2


def test_recorded_joints_draw_what_they_drew(positions):
    """The joints of the recording need two draws alone, whatever else a variety says."""
    scored = VARIETIES["scored"]
    found = drawn(positions, replace(scored, bend=30.0, forearm=(1.5, 1.5)))
    assert torch.equal(found, drawn(positions, scored))
