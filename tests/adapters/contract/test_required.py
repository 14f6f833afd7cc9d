"""Frames that must stay, on every host. Oracle: what `record` sees, and the host's own output."""

from dataclasses import replace

import hosts
import pytest
import torch
from hosts import FRAMES
from torch.testing import assert_close

import adapters
from htp_modules import ConfigError, record

SOME = ("centre", "last", 1)


def kept_by(model, inputs):
    with record(model) as seen:
        model(*inputs)
    return seen.kept[0].validate().index.tolist()


def test_required_frames_stay(host):
    model, inputs = host.patch(host.make(), num_keep=4, num_sft_layers=1), host.inputs()
    before = kept_by(model, inputs)
    model.htp.config = replace(model.htp.config, required=SOME)
    for row, free in zip(kept_by(model, inputs), before, strict=True):
        assert {1, 4, 8} <= set(row)
        assert set(row) - {1, 4, 8} <= set(free)
        assert len(row) == 4


def test_required_frames_stay_in_short_clips(host):
    model = host.patch(host.make(), num_keep=2, num_sft_layers=1, required=("first", "last"))
    for frames in (FRAMES, 5, 2):
        for row in kept_by(model, host.inputs(frames=frames)):
            assert row == [0, frames - 1]
    model.htp.config = replace(model.htp.config, required=(6,))
    with pytest.raises(ConfigError, match="required names frame 6, but a sequence of 5"):
        model(*host.inputs(frames=5))


def test_keeping_all_is_the_host(host):
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    host.patch(model, num_sft_layers=1, num_keep=1.0, num_neighbors=1.0, required=SOME)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_describe_names_them(host):
    model = host.patch(host.make(), num_keep=4, num_sft_layers=1, required=SOME)
    found = adapters.describe(model)
    assert found.required == (1, 4, 8)
    assert "always kept: frames 1, 4, 8" in str(found)


@pytest.mark.parametrize("required", [(FRAMES,), ("first", "centre", "last")])
def test_refused_before_anything_changes(host, required):
    model = host.make()
    state = list(model.state_dict())
    with pytest.raises(ConfigError, match="required names"):
        host.patch(model, num_keep=2, num_sft_layers=1, required=required)
    assert list(model.state_dict()) == state
    assert not adapters.is_patched(model)


@pytest.mark.unhooked
@pytest.mark.filterwarnings("ignore::FutureWarning:torch")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiles_and_exports():
    torch._dynamo.reset()
    host = hosts.TRACED[0]
    model = host.patch(host.make(), num_keep=4, num_sft_layers=0, recovery="interpolate", required=SOME)
    inputs = host.inputs()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    program = torch.export.export(model, inputs).module()
    with torch.no_grad():
        for run in (compiled, program):
            assert_close(run(*inputs), model(*inputs), rtol=1e-4, atol=1e-4)
