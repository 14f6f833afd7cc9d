"""How far outputs are off, and when a setting is given up. Oracle: numbers by hand, and a model of one."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from adapters import MeasurementError
from adapters.deviation import Batches, Deviation, Judge, joint_distance, least_figure

CPU = torch.device("cpu")


def test_distances_by_hand():
    output, reference = torch.tensor([[[3.0, 4.0], [1.0, 1.0], [0.0, 0.0]]]), torch.zeros(1, 3, 2)
    assert joint_distance(output, reference).tolist() == [[5.0, pytest.approx(2**0.5), 0.0]]


def test_the_least_figure_by_hand():
    # Of 41 distances, 38 are below the percentile's place and 2 above.
    for known, least in (
        ([5.0], 0.0),
        ([4.0, 5.0], 0.0),
        ([4.0, 3.0, 5.0], 3.0),
        ([1.0, 5.0, 4.0, 3.0], 3.0),
    ):
        assert least_figure(torch.tensor(known), 41, "p95") == least
    assert least_figure(torch.tensor([4.0, 4.2]), 41, "mean") == pytest.approx(0.2)


def test_clips_and_truth_go_to_the_device():
    clips = (torch.zeros(5, 2), torch.zeros(5))  # such as a timestep for each clip
    cut = Batches.of(clips, torch.zeros(5, 4), 2, torch.device("meta"))
    assert cut.clips == 5
    assert [[tuple(part.shape) for part in batch] for batch in cut.inputs] == [
        [(n, 2), (n,)] for n in (2, 2, 1)
    ]
    assert [tuple(part.shape) for part in cut.truth] == [(2, 4), (2, 4), (1, 4)]
    assert all(part.is_meta for batch in (*cut.inputs, cut.truth) for part in batch)
    assert Batches.of(clips[0], None, 8, CPU).truth is None


def judge(outputs, truth=None, metric="mean", distance=None):
    """A judge of a model whose unpruned output is the clip, and whose settings add what ``outputs`` says."""
    htp = SimpleNamespace(config=None, facts=SimpleNamespace(num_frames=1))
    tried = SimpleNamespace(name="a host", host=nn.Identity(), htp=htp, device=CPU, calls=[])

    def unpruned(call, *inputs):
        tried.htp.config = None
        return call(*inputs)

    def model(clip):
        tried.calls.append(tried.htp.config)
        return clip + outputs.get(tried.htp.config, 0.0)

    tried.unpruned = unpruned
    batches = Batches.of(torch.zeros(6, 1, 1), truth, 2, CPU)
    return Judge(model, tried, batches, distance or joint_distance, metric), tried


@pytest.mark.unhooked
def test_a_setting_is_given_up_when_its_figure_is_certain_to_reach_the_bound():
    found, tried = judge({"near": 1.0, "far": 3.0})
    assert found.unpruned == Deviation(mean=0.0, p95=0.0)
    tried.calls.clear()
    assert found.of("near", math.inf) == Deviation(mean=1.0, p95=1.0)
    assert found.of("far", 2.0) is None  # after 4 of 6 clips the mean is 2 at least
    assert tried.calls == ["near"] * 3 + ["far"] * 2
    assert found.of("far", 2.1) == Deviation(mean=3.0, p95=3.0)  # only the last batch tells
    assert found.of("near", 0.5) is None
    found, tried = judge({"far": 3.0}, metric="p95")
    tried.calls.clear()
    assert found.of("far", 3.0) is None  # one of 6 is above the percentile's place: the second tells
    assert tried.calls == ["far"]


@pytest.mark.unhooked
def test_the_unpruned_model_is_judged_by_the_truth_where_there_is_one():
    found, _ = judge({"near": 1.0}, truth=torch.full((6, 1, 1), 3.0))
    assert found.unpruned == Deviation(mean=3.0, p95=3.0)
    assert found.of("near", math.inf) == Deviation(mean=2.0, p95=2.0)


@pytest.mark.parametrize(
    ("distance", "got"),
    [
        (lambda *_: 3.0, "a float"),
        (lambda *_: None, "a NoneType"),
        (lambda *_: torch.zeros(0), r"shape \(0,\)"),
        (lambda output, _: output / 0, r"shape \(2, 1, 1\)"),
    ],
)
@pytest.mark.unhooked
def test_distances_that_are_none(distance, got):
    with pytest.raises(
        MeasurementError, match=f"a distance expects finite numbers in a tensor, got {got}; check"
    ):
        judge({}, distance=distance)


@pytest.mark.unhooked
def test_outputs_that_cannot_be_compared():
    def tuples(_call, *_inputs):
        return (torch.zeros(2, 1, 1),)

    htp = SimpleNamespace(facts=SimpleNamespace(num_frames=1))
    tried = SimpleNamespace(name="a host", host=nn.Identity(), unpruned=tuples, htp=htp, device=CPU)
    batches = Batches.of(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1), 2, CPU)
    with pytest.raises(
        MeasurementError, match=r"returns a tuple, to be compared with shape \(2, 1, 1\): give"
    ):
        Judge(None, tried, batches, joint_distance, "mean")
