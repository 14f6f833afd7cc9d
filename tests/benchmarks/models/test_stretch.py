"""Weights of short windows become the beginning of longer ones: tables by frame are interpolated."""

import dataclasses

import numpy as np
import pytest
import torch
from training_runs import MICRO, micro_denoiser

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.models.stretch import stretched

LONGER = dataclasses.replace(MICRO, num_frames=3 * MICRO.num_frames)
TABLES = {
    "Temporal_pos_embed",
    "htp.tcep.layers.0.adjacency",
    "htp.tcep.layers.1.adjacency",
    "htp.tcep.layers.0.modulation",
    "htp.tcep.layers.1.modulation",
    "htp.recovery.queries",
}


@pytest.fixture(scope="module")
def short():
    torch.manual_seed(3)
    model = micro_denoiser("htp", MICRO).build()
    return {key: torch.randn_like(value.float()) for key, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def long_model():
    return micro_denoiser("htp", LONGER).build()


def test_only_the_tables_by_frame_change_and_the_model_takes_them(short, long_model):
    longer = stretched(short, long_model)
    assert {key for key in short if longer[key].shape != short[key].shape} == TABLES
    assert all(torch.equal(longer[key], short[key]) for key in short.keys() - TABLES)
    long_model.load_state_dict(longer)


@pytest.mark.parametrize("key", sorted(TABLES))
def test_tables_are_interpolated_along_each_axis_of_frames(key, short, long_model):
    frames, more = MICRO.num_frames, LONGER.num_frames
    table, places = short[key].double().numpy(), np.linspace(0, frames - 1, more)
    for axis in [axis for axis, size in enumerate(table.shape) if size == frames]:
        table = np.apply_along_axis(lambda row: np.interp(places, np.arange(frames), row), axis, table)
    assert np.allclose(stretched(short, long_model)[key], table, atol=1e-5)


def test_the_same_number_of_frames_changes_nothing(short):
    same = stretched(short, micro_denoiser("htp", MICRO).build())
    assert all(torch.equal(same[key], short[key]) for key in short)


def test_another_model_is_refused(short):
    with pytest.raises(BenchmarkError, match=r"\d+ weights are in one of the models"):
        stretched(short, micro_denoiser("d3dp", LONGER).build())
    wider = micro_denoiser("htp", dataclasses.replace(LONGER, dim=2 * LONGER.dim)).build()
    with pytest.raises(BenchmarkError, match=r"has shape .*, not "):
        stretched(short, wider)
