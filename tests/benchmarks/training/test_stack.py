"""Models of one architecture trained at once. Oracle: each trained alone, in the same fleet."""

import dataclasses

import pytest
import torch
from training_runs import MICRO, micro_denoiser, small_motions

from htp_diffusion.training.fleet import Fleet
from htp_diffusion.training.member import Member
from htp_modules import attention, checks, selection, tcep

pytestmark = [
    pytest.mark.unhooked,
    # PyTorch computes a few operations on marks model by model.
    pytest.mark.filterwarnings("ignore:There is a performance drop"),
]
PRESET = dataclasses.replace(MICRO, drop_path=0.0)


@pytest.fixture(autouse=True)
def _unread(monkeypatch):
    """As on a GPU, where no value decides what is computed."""
    for module in (attention, checks, selection, tcep):
        monkeypatch.setattr(module, "can_read", lambda _: False)


@pytest.fixture(scope="module")
def motions():
    return small_motions()


def members():
    kinds = {kind: micro_denoiser(kind, PRESET) for kind in ("d3dp", "htp")}
    found = [
        Member(name=f"{kind} {seed}", denoiser=denoiser, seed=seed)
        for kind, denoiser in kinds.items()
        for seed in (0, 1)
    ]
    return [*found, Member(name="wide", denoiser=kinds["htp"], variety="wide", tilt=2.0)]


def fleet(folder, motions, *, stacked, chosen=None):
    return Fleet(folder, chosen or members(), PRESET, motions, device=torch.device("cpu"), stacked=stacked)


def _changes(found, expected, before, inputs):
    """How far two models are apart, and how far the second moved."""
    poses = expected(*inputs)
    return found(*inputs) - poses, poses - before


def test_each_is_trained_as_it_would_be_alone(tmp_path, motions):
    together, alone = (fleet(tmp_path / str(way), motions, stacked=way) for way in (True, False))
    assert [len(group) for group in together._groups] == [2, 3]
    for trained in (together, alone):
        trained.run(4)
    torch.testing.assert_close(together.losses, alone.losses, rtol=1e-5, atol=1e-6)
    pose = torch.randn(9, PRESET.num_frames, 17, 5)
    inputs = (pose[..., :2], pose[..., 2:], torch.linspace(0, 999, 9).long())
    # How far training moved the poses, not weights: Adam scales up what rounding leaves of a gradient of 0.
    with torch.no_grad():
        for asked, one, other in zip(together.members, together.learners, alone.learners, strict=True):
            assert one.state().keys() == other.state().keys()
            before = asked.build().eval()(*inputs)
            for found, expected in (
                (one.copy_of_average(), other.copy_of_average()),
                (one.copy_of_model().eval(), other.copy_of_model().eval()),
            ):
                changes = _changes(found, expected, before, inputs)
                apart, moved = (change.abs().flatten(1).mean(dim=1) for change in changes)
                # In one window of nine, rounding may decide which frame is kept.
                assert int((apart < 0.01 * moved).sum()) >= 8


def test_what_was_trained_at_once_goes_on_alone_and_back(tmp_path, motions):
    whole = fleet(tmp_path / "whole", motions, stacked=True)
    whole.run(3)
    parts = fleet(tmp_path / "parts", motions, stacked=True)
    parts.run(3, deadline=0.0)  # one step
    parts = fleet(tmp_path / "parts", motions, stacked=False)
    parts.run(3, deadline=0.0)
    parts = fleet(tmp_path / "parts", motions, stacked=True)
    assert parts.step == 2
    parts.run(3)
    torch.testing.assert_close(whole.losses, parts.losses, rtol=1e-5, atol=1e-6)


def test_members_at_different_steps_are_not_trained_at_once(tmp_path, motions):
    """A kill while they were saved leaves some behind: they catch up alone."""
    chosen = members()[:2]
    whole = fleet(tmp_path / "whole", motions, stacked=True, chosen=chosen)
    whole.run(4)
    first = fleet(tmp_path / "parts", motions, stacked=True, chosen=chosen)
    first.run(4, deadline=0.0)
    ahead = fleet(tmp_path / "parts", motions, stacked=True, chosen=chosen[:1])
    ahead.run(4, deadline=0.0)
    last = fleet(tmp_path / "parts", motions, stacked=True, chosen=chosen)
    assert [len(group) for group in last._groups] == [1, 1]
    assert last.step == 1
    last.run(4)
    torch.testing.assert_close(whole.losses, last.losses, rtol=1e-5, atol=1e-6)
