"""What a detector gets wrong: sizes, correlations and runs against the figures that they are drawn from."""

import pytest
import torch

from htp_diffusion.pose.cameras import detector_noise
from htp_diffusion.pose.layout import H36M_17
from htp_diffusion.training import detector
from htp_diffusion.training.batches import step_generator
from htp_diffusion.training.detector import measured_noise, synthetic_noise
from htp_diffusion.training.draws import Draws

COUNT, FRAMES = 600, 81
MIRROR = torch.tensor(H36M_17.mirror)


def draws(seed=0, count=COUNT):
    return Draws(step_generator(seed, 0), count)


def noise(monkeypatch, **off):
    """Errors of a motionless pose, in percent of a height of 1, parts of the model switched off."""
    plain = {
        "_OCCLUDED_SHARE": 0.0,
        "_TAIL_RATE": 0.0,
        "_HELD_RATE": 0.0,
        "_SWAPPED_SHARE": 0.0,
        "_SHIFT": 0.0,
        "_SIZE": (1.0, 1.0 + 1e-6),
    }
    for name, value in {**plain, **off}.items():
        monkeypatch.setattr(detector, name, value)
    still = torch.zeros(COUNT, FRAMES, 17, 2)
    return 100 * measured_noise(still, torch.ones(COUNT), draws(), MIRROR)


def test_synthetic_noise_is_that_of_the_test_clips():
    """The same spread of every joint, the same correlation from frame to frame, in half image widths."""
    batch = synthetic_noise(draws(), FRAMES)
    one = detector_noise(torch.Generator().manual_seed(1), COUNT * FRAMES).view(COUNT, FRAMES, 17, 2) / 500
    for found, expected in zip(batch.abs().mean((0, 1, 3)), one.abs().mean((0, 1, 3)), strict=True):
        assert float(found) == pytest.approx(float(expected), rel=0.05)
    step, other = (part.diff(dim=1).abs().mean() for part in (batch, one))
    assert float(step) == pytest.approx(float(other), rel=0.03)


def test_joints_are_off_by_their_spread_and_bias(monkeypatch):
    errors = noise(monkeypatch)
    bias = errors.mean(dim=1)
    within = (errors - bias[:, None]).std(dim=(0, 1)).mean(dim=-1)
    for found, spread in zip(within, detector._SPREAD, strict=True):
        assert 0.75 * spread < float(found) < 1.02 * spread  # what is slower than a window counts as bias
    for found, constant, spread in zip(
        bias.std(dim=0).mean(dim=-1), detector._BIAS, detector._SPREAD, strict=True
    ):
        assert constant * 0.9 < float(found) < (constant**2 + spread**2) ** 0.5


def test_from_frame_to_frame_errors_change_by_the_share_that_is_white(monkeypatch):
    """Of the variance 1 - w is slow, correlated by 0.92 from frame to frame, and w is not correlated."""
    change = noise(monkeypatch).diff(dim=1).square().mean((0, 1, 3)) / 2
    for found, spread, white in zip(change, detector._SPREAD, detector._WHITE, strict=True):
        expected = spread**2 * ((1 - white) * (1 - 0.92) + white)
        assert float(found) == pytest.approx(expected, rel=0.05)


def test_slow_errors_follow_each_other_in_time_and_along_a_limb():
    slow = detector._slow_error(draws(), FRAMES, 17)
    assert float(slow.std()) == pytest.approx(1.0, abs=0.03)
    lag = [float((slow[:, :-n] * slow[:, n:]).mean()) for n in (1, 5)]
    assert lag[0] == pytest.approx(0.92, abs=0.03)
    assert lag[1] == pytest.approx(0.92**5, abs=0.04)
    for joint, share in detector._WITH_PARENT.items():
        parent = H36M_17.parents[joint]
        assert float((slow[:, :, joint] * slow[:, :, parent]).mean()) == pytest.approx(share, abs=0.06)
    assert float((slow[:, :, 3] * slow[:, :, 6]).mean()) == pytest.approx(0.0, abs=0.06)  # the two ankles


def test_an_occluded_limb_is_further_off_and_no_other(monkeypatch):
    plain, hidden = noise(monkeypatch), noise(monkeypatch, _OCCLUDED_SHARE=1.0)
    ratio = hidden.square().mean((0, 1, 3)).sqrt() / plain.square().mean((0, 1, 3)).sqrt()
    limbs = {joint for limb in detector._LIMBS for joint in limb}
    assert all(float(ratio[joint]) > 1.2 for joint in limbs)
    assert all(float(ratio[joint]) < 1.1 for joint in set(range(17)) - limbs)


def test_missed_joints_stay_where_they_were(monkeypatch):
    errors = noise(monkeypatch, _HELD_RATE=0.02)
    held = (errors.diff(dim=1) == 0).all(dim=-1).float().mean((0, 1))
    ends = set(detector._ENDS)
    assert all(0.08 < float(held[joint]) < 0.2 for joint in ends)  # a rate of 0.02 and runs of eight frames
    assert all(float(held[joint]) == 0.0 for joint in set(range(17)) - ends)


def test_swapped_sides_come_in_one_run(monkeypatch):
    for name, value in {"_SWAPPED_SHARE": 1.0, "_SWAPPED_FRAMES": 12}.items():
        monkeypatch.setattr(detector, name, value)
    sides = torch.zeros(COUNT, FRAMES, 17, 2)
    sides[:, :, list(H36M_17.left)] = 1.0
    swapped = detector._swapped(sides, draws(), MIRROR)[:, :, H36M_17.left[0], 0] == 0
    assert bool((swapped.sum(dim=1) >= 1).all())
    assert int(swapped.sum(dim=1).max()) <= 13
    assert int((swapped.int().diff(dim=1) == 1).sum(dim=1).max()) <= 1


def test_jumps_are_rare_and_of_limbs_alone():
    jumps = detector._jumps(draws(), FRAMES, 17)
    rate = (jumps != 0).any(dim=-1).float().mean((0, 1))
    for joint in range(17):
        expected = detector._TAIL_RATE if joint in detector._ENDS else 0.0
        assert float(rate[joint]) == pytest.approx(expected, abs=0.003)


def test_errors_grow_with_the_person(monkeypatch):
    monkeypatch.setattr(detector, "_SIZE", (1.0, 1.0 + 1e-6))
    still = torch.zeros(8, FRAMES, 17, 2)
    small, large = (
        measured_noise(still, torch.full((8,), height), draws(count=8), MIRROR) for height in (0.5, 1.0)
    )
    torch.testing.assert_close(large, 2 * small)
