"""What a tuning refuses."""

import hosts
import pytest
import torch

import adapters
from htp_modules import ConfigError

MIXSTE = hosts.PUBLIC[0]
GRID = {"num_sft_layers": (1, 0), "num_keep": (2, 6), "num_neighbors": (2, 8)}


CLIPS = torch.randn(2, 9, 5, 2)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("clips", "options", "message"),
    [
        (CLIPS, {"metric": "median"}, "metric expects one of mean, p95, got 'median'"),
        (CLIPS, {"tolerance": -1.0}, "tolerance expects a finite number of at least 0, got -1.0"),
        (CLIPS, {"tolerance": float("nan")}, "got nan"),
        (CLIPS, {"batch_size": 0}, "batch_size and repeats of at least 1"),
        (CLIPS[:0], {}, r"tensors with clips on the first axis, got shape \(0, 9, 5, 2\)"),
        ([CLIPS], {}, "got list"),
        ((), {}, "got no tensor"),
        (CLIPS, {"truth": torch.randn(3, 9, 5, 3)}, "as many clips in each tensor, got 2, 3"),
        (
            CLIPS,
            {"truth": torch.randn(2, 9, 5, 2)},
            r"returns shape \(2, 9, 5, 3\) where shape \(2, 9, 5, 2\)",
        ),
        (CLIPS, {"num_keep": ()}, "the grid has no setting"),
        (CLIPS, {"distance": lambda output, _: output * torch.nan}, "a distance expects finite numbers"),
    ],
)
def test_what_it_refuses(clips, options, message):
    model = MIXSTE.make().train()
    with pytest.raises(adapters.MeasurementError, match=message):
        adapters.tune(model, clips, **{"tolerance": 1.0, **options})
    assert not adapters.is_patched(model)
    assert all(part.training for part in model.modules())


def test_settings_that_do_not_fit_the_model():
    model = MIXSTE.patch(MIXSTE.make(), num_sft_layers=1, num_keep=4)
    before = model.htp.config
    with pytest.raises(ConfigError, match="num_sft_layers=3 needs at least 4 pairs"):
        adapters.tune(model, CLIPS, tolerance=1.0, num_sft_layers=(1, 3))
    assert model.htp.config == before
