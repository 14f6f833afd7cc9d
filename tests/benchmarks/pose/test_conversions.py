"""Conversions between layouts: each rule by hand, and what every rule does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.formats.npz import read_npz
from htp_diffusion.pose.conversion import Conversion
from htp_diffusion.pose.conversions import CONVERSIONS, conversion, convert
from htp_diffusion.pose.layout import H36M_17, MPI_INF_3DHP_17
from htp_diffusion.pose.layouts import (
    BODY_25,
    COCO_17,
    COCO_18,
    HALPE_26,
    MEDIAPIPE_33,
)

COCO_RULES = ("motionbert", "gast", "gast-hrnet", "athletepose3d")


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def coco_by_hand(pose, rule):
    """COCO to Human3.6M, joint by joint and step by step, on one 2D pose."""
    named = dict(zip(COCO_17.joints, pose, strict=True))

    def mean(*names):
        return torch.stack([named[name] for name in names]).mean(dim=0)

    shoulders, hips = mean("left_shoulder", "right_shoulder"), mean("left_hip", "right_hip")
    eyes, nose = mean("left_eye", "right_eye"), named["nose"]
    made = {"pelvis": hips, "spine": (shoulders + hips) / 2, "thorax": shoulders.clone()}
    if rule == "motionbert":
        made |= {"neck": nose, "head": eyes}
    elif rule == "athletepose3d":
        made |= {"neck": (shoulders + nose) / 2, "head": nose}
    else:
        made["thorax"] += (nose - shoulders) / 3
        away = made["spine"][0] - (hips[0] + made["thorax"][0]) / 2
        made["spine"] = made["spine"] + torch.tensor([{"gast": 2.0, "gast-hrnet": 0.3}[rule] * away, 0.0])
        made["thorax"][1] -= (eyes[1] - nose[1]) * 2 / 3
        made["neck"] = nose - (nose - shoulders) / 4
        face = mean("left_eye", "right_eye", "left_ear", "right_ear")
        made["head"] = torch.stack([face[0], 2 * eyes[1] - nose[1]])
    return torch.stack([made.get(name, named.get(name)) for name in H36M_17.joints])


@pytest.mark.parametrize("rule", COCO_RULES)
def test_the_coco_rules_by_hand(rule):
    poses = seeded(2, 3, 17, 2)
    converted = convert(poses, COCO_17, H36M_17, rule)
    expected = torch.stack([coco_by_hand(pose, rule) for pose in poses.flatten(0, 1)]).view(2, 3, 17, 2)
    torch.testing.assert_close(converted, expected, rtol=0, atol=1e-12)


def test_the_coco_rules_differ_in_the_joints_that_coco_lacks():
    poses = [convert(seeded(17, 2), COCO_17, H36M_17, rule) for rule in COCO_RULES]
    made = [H36M_17.index(name) for name in ("spine", "thorax", "neck", "head")]
    seen = [joint for joint in range(17) if joint not in made]
    for first in range(4):
        for second in range(first):
            assert not torch.equal(poses[first], poses[second])
            torch.testing.assert_close(poses[first][seen], poses[second][seen])


@pytest.mark.parametrize(
    ("source", "target", "rule", "order"),
    [
        (HALPE_26, COCO_17, "same-joints", list(range(17))),
        (
            BODY_25,
            COCO_17,
            "same-joints",
            [0, 16, 15, 18, 17, 5, 2, 6, 3, 7, 4, 12, 9, 13, 10, 14, 11],
        ),
        (
            MPI_INF_3DHP_17,
            H36M_17,
            "by-place",
            [14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4],
        ),
    ],
)
def test_conversions_that_only_choose_joints(source, target, rule, order):
    pose = seeded(2, source.num_joints, 3)
    assert torch.equal(convert(pose, source, target, rule), pose[:, order])


def test_halpe_and_body_25_by_motionbert():
    halpe, body = seeded(26, 2), seeded(25, 2)
    got = convert(halpe, HALPE_26, H36M_17, "motionbert")
    order = [19, 12, 14, 16, 11, 13, 15, None, 18, 0, 17, 5, 7, 9, 6, 8, 10]
    expected = torch.stack([(halpe[18] + halpe[19]) / 2 if j is None else halpe[j] for j in order])
    torch.testing.assert_close(got, expected)
    got = convert(body, BODY_25, H36M_17, "motionbert")
    torch.testing.assert_close(got[[0, 8, 9, 3, 13]], body[[8, 1, 0, 11, 7]])
    torch.testing.assert_close(got[7], (body[1] + body[8]) / 2)
    torch.testing.assert_close(got[10], (body[15] + body[16]) / 2)


def test_coco_18_and_mediapipe_by_motionbert():
    coco, mediapipe = seeded(18, 2), seeded(33, 2)
    got = convert(coco, COCO_18, H36M_17, "motionbert")
    torch.testing.assert_close(got[[8, 9, 3, 6, 13]], coco[[1, 0, 10, 13, 7]])
    torch.testing.assert_close(got[0], (coco[8] + coco[11]) / 2)
    torch.testing.assert_close(got[7], (coco[1] + got[0]) / 2)
    torch.testing.assert_close(got[10], (coco[14] + coco[15]) / 2)
    same = convert(mediapipe[[0, 2, 5, 7, 8, *range(11, 17), *range(23, 29)]], COCO_17, H36M_17, "motionbert")
    torch.testing.assert_close(convert(mediapipe, MEDIAPIPE_33, H36M_17, "motionbert"), same)


@pytest.mark.parametrize("source", [COCO_17, COCO_18, HALPE_26, BODY_25, MEDIAPIPE_33])
def test_the_cmu_rule_is_one_rule_from_every_detector(source):
    place = {name: seeded(2, seed=index) for index, name in enumerate(COCO_17.joints)}
    pose = torch.stack([place.get(name, torch.full((2,), torch.nan).double()) for name in source.joints])
    used = conversion(source, H36M_17, "cmu").weights[0].any(dim=0)
    pose = torch.where(used[:, None], pose, 0.0)
    expected = convert(torch.stack([place[name] for name in COCO_17.joints]), COCO_17, H36M_17, "cmu")
    torch.testing.assert_close(convert(pose, source, H36M_17, "cmu"), expected)
    shoulders = (place["left_shoulder"] + place["right_shoulder"]) / 2
    ears = (place["left_ear"] + place["right_ear"]) / 2
    torch.testing.assert_close(expected[9], shoulders + 0.72 * (ears - shoulders))
    torch.testing.assert_close(expected[10], shoulders + 1.25 * (ears - shoulders))


def test_the_cmu_rule_puts_the_trunk_where_the_clips_have_it(cmu_path):
    clips = read_npz(cmu_path / "data_3d_cmu.npz")
    positions = torch.cat([clip.positions[::20] for clip in clips])
    detected = torch.zeros(len(positions), 17, 3)
    for name in ("left_hip", "right_hip", "left_shoulder", "right_shoulder"):
        detected[:, COCO_17.index(name)] = positions[:, H36M_17.index(name)]
    trunk = [H36M_17.index(name) for name in ("pelvis", "spine", "thorax")]

    def distance(rule):
        return (convert(detected, COCO_17, H36M_17, rule) - positions).norm(dim=-1)[:, trunk].mean(dim=0)

    assert (distance("cmu") < torch.tensor([0.06, 0.03, 0.02])).all()
    assert (distance("motionbert") > torch.tensor([0.09, 0.06, 0.06])).all()


def test_mpi_inf_3dhp_and_back_is_the_identity():
    pose = seeded(3, 17, 3)
    there = convert(pose, MPI_INF_3DHP_17, H36M_17, "by-place")
    assert torch.equal(convert(there, H36M_17, MPI_INF_3DHP_17, "by-place"), pose)


@given(st.sampled_from(CONVERSIONS), st.integers(0, 1000))
def test_conversions_follow_shifts_scales_and_the_flip(rule, seed):
    pose, shift = seeded(rule.source.num_joints, 2, seed=seed), seeded(2, seed=seed + 1)
    converted = rule.apply(pose)
    torch.testing.assert_close(rule.apply(pose * 1.7 + shift), converted * 1.7 + shift)

    def flip(values, layout):
        order = list(range(layout.num_joints))
        for left, right in zip(layout.left, layout.right, strict=True):
            order[left], order[right] = right, left
        return values[order] * torch.tensor([-1.0, 1.0])

    torch.testing.assert_close(rule.apply(flip(pose, rule.source)), flip(converted, rule.target))


def test_the_same_layout_needs_no_rule():
    pose = seeded(4, 17, 3)
    assert convert(pose, H36M_17, H36M_17) is pose


def test_a_conversion_without_its_rule_lists_the_rules():
    with pytest.raises(BenchmarkError) as caught:
        convert(seeded(17, 2), COCO_17, H36M_17)
    assert "coco-17 to h36m-17: no rule is named" in str(caught.value)
    assert all(f"{rule} (" in str(caught.value) for rule in COCO_RULES)
    with pytest.raises(BenchmarkError, match=r"no rule 'mine'. Choose one of: by-place"):
        convert(seeded(17, 3), MPI_INF_3DHP_17, H36M_17, "mine")
    with pytest.raises(BenchmarkError, match=r"No rule joins the two. There are: coco-17 to h36m-17: motion"):
        convert(seeded(17, 2), H36M_17, COCO_17)


def test_poses_that_a_rule_does_not_take_are_refused():
    with pytest.raises(BenchmarkError, match="takes 2D poses, got 3 coordinates"):
        convert(seeded(17, 3), COCO_17, H36M_17, "gast")
    with pytest.raises(BenchmarkError, match="has 16 joints, layout coco-17 has 17"):
        convert(seeded(16, 2), COCO_17, H36M_17, "motionbert")
    with pytest.raises(BenchmarkError, match="has 16 joints, layout h36m-17 has 17"):
        convert(seeded(16, 2), H36M_17, H36M_17)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "coco-17 has no joint pelvis"),
        ({"pelvis": {"left_hip": 0.5, "right_hip": 0.4}}, "weights of pelvis do not sum to 1"),
        ({"belly": {"nose": 1.0}}, "h36m-17 has no joint belly"),
    ],
)
def test_a_rule_with_a_hole_is_refused(rule, message):
    with pytest.raises(BenchmarkError, match=message):
        Conversion(name="x", source=COCO_17, target=H36M_17, rule=rule, used_by="nobody")
