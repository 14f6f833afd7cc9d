"""What a tuning refuses."""

from dataclasses import replace

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
        (CLIPS, {"tolerance": "1"}, "tolerance expects a finite number of at least 0, got '1'"),
        (CLIPS, {"batch_size": 0}, "batch_size expects a whole number of at least 1, got 0"),
        (CLIPS, {"batch_size": 2.5}, "batch_size expects a whole number of at least 1, got 2.5"),
        (CLIPS, {"repeats": 2.5}, "repeats expects a whole number"),
        (CLIPS, {"warmup": -1}, "warmup expects a whole number of at least 0, got -1"),
        (CLIPS, {"num_keep": 1 / 3}, "num_keep expects several settings, such as"),
        (CLIPS, {"num_neighbors": ()}, "the grid has no setting"),
        (CLIPS.double(), {}, "a MixSTE does not take these clips: "),
        (CLIPS[:, :, :4], {}, "a MixSTE does not take these clips: "),
        (CLIPS[:0], {}, r"tensors with clips on the first axis, got shape \(0, 9, 5, 2\)"),
        ([CLIPS], {}, "got list"),
        ((), {}, "got no tensor"),
        (CLIPS, {"truth": torch.randn(3, 9, 5, 3)}, "as many clips in each tensor, got 2, 3"),
        (
            CLIPS,
            {"truth": torch.randn(2, 9, 5, 2)},
            r"returns shape \(2, 9, 5, 3\), to be compared with shape \(2, 9, 5, 2\)",
        ),
        (CLIPS, {"num_keep": ()}, "the grid has no setting"),
        (CLIPS, {"distance": lambda output, _: output * torch.nan}, "a distance expects finite numbers"),
        (CLIPS, {"distance": lambda output, _: output.mean()}, "for each joint or clip, not their mean"),
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
    with pytest.raises(ConfigError, match="num_sft_layers=3 leaves no pair of blocks for the first"):
        adapters.tune(model, CLIPS, tolerance=1.0, num_sft_layers=(1, 3))
    assert model.htp.config == before


def test_of_a_patch_from_scratch_the_unpruned_model_is_htp_that_keeps_everything():
    # The host itself has lost its embedding: its output would mean nothing.
    model = MIXSTE.patch(MIXSTE.make(), from_scratch=True, num_sft_layers=1, num_keep=4)
    before = model.htp.config
    model.htp.config = replace(before, num_keep=1.0, num_neighbors=1.0)
    with torch.no_grad():
        truth = model.eval()(CLIPS) + 1.0
    model.htp.config = before
    found = adapters.tune(model, CLIPS, tolerance=0.0, truth=truth, repeats=1, **GRID)
    assert found.unpruned.deviation is not None
    assert found.unpruned.deviation.mean == pytest.approx(3**0.5, rel=1e-5)


def test_a_default_device_is_not_asked():
    # On "meta" a tensor made there could not be joined with distances.
    model = MIXSTE.make().eval()
    with torch.device("meta"):
        found = adapters.tune(model, CLIPS, tolerance=1.0, repeats=1, **GRID)
    assert found.settings
