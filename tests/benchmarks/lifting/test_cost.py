"""What pruning saves of a lifting model's multiply-accumulates."""

import dataclasses

from written import TINY

from htp_diffusion.lifting.cost import saved_by_pruning


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
