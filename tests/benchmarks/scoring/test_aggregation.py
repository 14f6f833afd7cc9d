import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.pose.cameras import camera_at
from htp_diffusion.scoring.aggregation import AGGREGATIONS, Evidence, j_best, jpma, mean, p_best
from htp_diffusion.scoring.metrics import mpjpe

CAMERA = camera_at(torch.zeros(3), 30.0)


def case(seed, batch=2, hyps=3, frames=3, joints=4):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(batch, frames, joints, 3, generator=generator) * 0.3
    noise = torch.randn(batch, hyps, frames, joints, 3, generator=generator) * 0.1
    root = torch.tensor([0.2, -0.1, 4.5]) + torch.randn(batch, frames, 3, generator=generator) * 0.2
    pose_2d = CAMERA.normalise_screen(CAMERA.project(target + root[:, :, None]))
    evidence = Evidence(pose_2d=pose_2d, root=root, camera=CAMERA, target=target)
    return target[:, None] + noise, evidence


def reprojection(hypothesis, evidence, batch, frame, joint):
    """The distance of one reprojected joint to the 2D input, in plain floats."""
    x, y, z = (hypothesis[joint] + evidence.root[batch, frame]).tolist()
    u, v = 1145 * x / z + 500, 1145 * y / z + 501
    return math.dist((u / 500 - 1, v / 500 - 1.002), evidence.pose_2d[batch, frame, joint].tolist())


@given(st.integers(0, 10**6))
def test_every_aggregation_by_loops(seed):
    hypotheses, known = case(seed)
    results = {way.name: way.combine(hypotheses, known) for way in AGGREGATIONS}
    batch, hyps, frames, joints, _ = hypotheses.shape
    for b in range(batch):
        for t in range(frames):
            poses = [hypotheses[b, h, t] for h in range(hyps)]
            errors = [
                [math.dist(p[j].tolist(), known.target[b, t, j].tolist()) for j in range(joints)]
                for p in poses
            ]
            best = min(range(hyps), key=lambda h: sum(errors[h]))
            assert torch.equal(results["P-Best"][b, t], poses[best])
            torch.testing.assert_close(results["mean"][b, t], sum(poses) / hyps)
            for j in range(joints):
                nearest = min(range(hyps), key=lambda h: errors[h][j])
                assert torch.equal(results["J-Best"][b, t, j], poses[nearest][j])
                seen = min(range(hyps), key=lambda h: reprojection(poses[h], known, b, t, j))
                assert torch.equal(results["JPMA"][b, t, j], poses[seen][j])


@given(st.integers(0, 10**6))
def test_oracles_bound_what_they_choose_from(seed):
    hypotheses, known = case(seed, hyps=5, joints=17)
    each = torch.stack([mpjpe(hypothesis, known.target) for hypothesis in hypotheses.unbind(1)])
    pose, joint = (mpjpe(pick(hypotheses, known.target), known.target) for pick in (p_best, j_best))
    chosen = jpma(hypotheses, known.pose_2d, known.root, known.camera)
    torch.testing.assert_close(pose, each.amin(dim=0))
    assert (joint <= pose + 1e-4).all()
    assert (joint <= mpjpe(chosen, known.target) + 1e-4).all()


def test_one_hypothesis_is_its_own_aggregate():
    hypotheses, known = case(0, hyps=1)
    for way in AGGREGATIONS:
        assert torch.equal(way.combine(hypotheses, known), hypotheses[:, 0])


def test_jpma_finds_the_true_joints_among_wrong_ones():
    hypotheses, known = case(1, hyps=4, joints=17)
    truth = torch.randint(4, known.target.shape[:-1], generator=torch.Generator().manual_seed(2))
    index = truth[:, None, :, :, None].expand(-1, -1, -1, -1, 3)
    hidden = hypotheses.scatter(1, index, known.target[:, None])
    torch.testing.assert_close(jpma(hidden, known.pose_2d, known.root, known.camera), known.target)


def test_equal_hypotheses_leave_the_mean_unchanged():
    hypotheses, _ = case(3, hyps=1)
    torch.testing.assert_close(mean(hypotheses.expand(-1, 4, -1, -1, -1)), hypotheses[:, 0])


@pytest.mark.parametrize("way", AGGREGATIONS, ids=lambda way: way.name)
def test_what_an_aggregation_says_it_does_not_need_does_not_matter(way):
    hypotheses, known = case(4)
    junk = torch.full_like(known.target, 7.0)
    needs_target = not torch.equal(
        way.combine(hypotheses, known),
        way.combine(hypotheses, Evidence(pose_2d=known.pose_2d, root=known.root, camera=CAMERA, target=junk)),
    )
    needs_camera = not torch.equal(
        way.combine(hypotheses, known),
        way.combine(
            hypotheses,
            Evidence(pose_2d=known.pose_2d, root=-known.root, camera=CAMERA, target=known.target),
        ),
    )
    assert needs_target is way.oracle
    assert needs_camera is ("camera" in way.needs)
    assert (way.needs == "nothing") is not (needs_target or needs_camera)
