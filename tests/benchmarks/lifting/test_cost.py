"""What pruning saves of a lifting model's multiply-accumulates."""

import dataclasses
from types import SimpleNamespace

import pytest
from written import TINY

from htp_diffusion.lifting import cost
from htp_diffusion.lifting.cost import saved_by_pruning, told_cost


def test_the_fewer_frames_are_kept_the_more_is_saved():
    config = dataclasses.replace(TINY, num_frames=48, dim=32, depth=6).denoiser("htp")
    half, quarter, whole = (
        saved_by_pruning(dataclasses.replace(config, htp=dataclasses.replace(config.htp, num_keep=kept)))
        for kept in (24, 12, 48)
    )
    assert whole is None
    assert half is not None
    assert quarter is not None
    assert 0 < half < quarter < 0.75  # no more than if every block saw a quarter


@pytest.mark.parametrize(
    ("saved", "told"),
    [(0.5, "; pruning saves 50% of"), (-0.02, "; pruning adds 2% of"), (None, " frames/s; a pose waits")],
)
def test_what_pruning_saves_or_adds_is_told(monkeypatch, saved, told):
    monkeypatch.setattr(cost, "saved_by_pruning", lambda _: saved)
    lifted = SimpleNamespace(windows=2, window_frames=12, seconds=4.0, poses=[None] * 20)
    line = told_cost("htp", TINY.denoiser("htp"), lifted)
    assert line.startswith("htp: 2 windows of 12 frames in 4.0 s, 5.0 frames/s")
    assert told in line
