import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.scoring.metrics import auc, joint_error, mpjpe, mpjve, p_mpjpe, pck, procrustes

seeds = st.integers(0, 10**6)


def poses(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 0.3


def random_rotation(seed):
    q, r = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))
    q = q * np.sign(np.diag(r))
    return torch.from_numpy(q if np.linalg.det(q) > 0 else -q)


def kabsch(predicted, target):
    """Alignment of one pose in numpy, by Kabsch's rotation and then the least-squares scale."""
    p, t = predicted - predicted.mean(0), target - target.mean(0)
    u, _, vh = np.linalg.svd(t.T @ p)
    turn = u @ np.diag([1, 1, np.sign(np.linalg.det(u @ vh))]) @ vh
    turned = p @ turn.T
    return (turned * t).sum() / (turned**2).sum() * turned + target.mean(0)


@given(seeds)
def test_mpjpe_by_loops(seed):
    predicted, target = poses(seed, 3, 5), poses(seed + 1, 3, 5)
    for frame in range(3):
        distances = [math.dist(predicted[frame, j].tolist(), target[frame, j].tolist()) for j in range(5)]
        assert float(mpjpe(predicted, target)[frame]) == pytest.approx(1000 * sum(distances) / 5)


@given(seeds)
def test_p_mpjpe_by_kabsch(seed):
    predicted, target = poses(seed, 2, 4, 17), poses(seed + 1, 2, 4, 17)
    aligned = procrustes(predicted, target)
    for clip in range(2):
        for frame in range(4):
            expected = kabsch(predicted[clip, frame].numpy(), target[clip, frame].numpy())
            np.testing.assert_allclose(aligned[clip, frame].numpy(), expected, atol=1e-10)
    torch.testing.assert_close(p_mpjpe(predicted, target), mpjpe(aligned, target))


@given(seeds, st.floats(0.1, 10))
def test_a_similarity_costs_p_mpjpe_nothing(seed, scale):
    target = poses(seed, 3, 17)
    predicted = scale * target @ random_rotation(seed) + poses(seed + 1, 1, 1)
    torch.testing.assert_close(
        p_mpjpe(predicted, target), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0
    )


@given(seeds)
def test_a_mirror_image_is_not_aligned_away(seed):
    target = poses(seed, 17)
    mirrored = target * torch.tensor([-1.0, 1.0, 1.0])
    assert float(p_mpjpe(mirrored, target)) > 10
    np.testing.assert_allclose(
        procrustes(mirrored, target).numpy(), kabsch(mirrored.numpy(), target.numpy()), atol=1e-10
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["point", "line", "plane", "zero", "target_point"])
def test_degenerate_poses_give_finite_errors(name, dtype):
    predicted, target = poses(0, 2, 17, dtype=dtype), poses(1, 2, 17, dtype=dtype)
    if name == "point":
        predicted = predicted[:, :1].expand_as(predicted)
    if name == "line":
        predicted = predicted * torch.tensor([1.0, 0, 0], dtype=dtype)
    if name == "plane":
        predicted = predicted * torch.tensor([1.0, 1, 0], dtype=dtype)
    if name == "zero":
        predicted = torch.zeros_like(predicted)
    if name == "target_point":
        target = torch.zeros_like(target)
    for metric in (mpjpe, p_mpjpe):
        assert torch.isfinite(metric(predicted, target)).all()
    if name in ("point", "zero"):  # nothing to turn or scale: the best is the target's mean
        centre = target.mean(dim=1, keepdim=True).expand_as(target)
        torch.testing.assert_close(p_mpjpe(predicted, target), mpjpe(centre, target))


def test_a_pose_that_is_not_finite_spoils_its_own_frame_alone():
    predicted, target = poses(0, 3, 17), poses(1, 3, 17)
    broken = predicted.clone()
    broken[1, 4, 2] = math.nan
    error = p_mpjpe(broken, target)
    assert error[1].isnan()
    torch.testing.assert_close(error[[0, 2]], p_mpjpe(predicted, target)[[0, 2]])


def test_mpjve_of_a_constant_drift():
    target = poses(0, 2, 6, 17)
    drift = torch.arange(6, dtype=torch.float64)[:, None, None] * torch.tensor([0.003, 0.0, 0.004])
    velocity = mpjve(target + drift, target)
    assert velocity.shape == (2, 5)
    torch.testing.assert_close(velocity, torch.full((2, 5), 5.0, dtype=torch.float64))
    assert mpjve(target[:, :1], target[:, :1]).shape == (2, 0)


def test_pck_and_auc_by_counting():
    target = torch.zeros(1, 4, 3, dtype=torch.float64)
    predicted = torch.zeros_like(target)
    predicted[0, :, 1] = torch.tensor([0.0, 0.012, 0.149, 0.2])
    assert pck(predicted, target).tolist() == [0.75]
    assert pck(predicted, target, threshold=100.0).tolist() == [0.5]
    errors = joint_error(predicted, target)[0].tolist()
    hits = [sum(error < threshold for error in errors) / 4 for threshold in range(0, 151, 5)]
    assert auc(predicted, target).tolist() == pytest.approx([sum(hits) / 31])
    assert float(auc(target, target)) == pytest.approx(30 / 31)
