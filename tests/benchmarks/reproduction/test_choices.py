"""What parts decide for themselves: rounds, windows, steps, the largest batch, and which data is which."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adapters.clock import SpeedUp
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import provenance
from htp_diffusion.data.mocap.cmu import CMU_FPS
from htp_diffusion.reproduction.datasets import every_within
from htp_diffusion.reproduction.growth import largest_batch
from htp_diffusion.reproduction.machine import fast_ways, matmul_flops
from htp_diffusion.reproduction.named_data import sources
from htp_diffusion.reproduction.pair import find_pair
from htp_diffusion.reproduction.sampling_speed import rounds_within
from htp_diffusion.reproduction.scale import SCALES
from htp_diffusion.reproduction.trained import steps_within
from htp_diffusion.speed.step_cost import StepResult, TrainingCost

SECONDS = st.floats(0.0, 1e4)
A, B = Path("a.npz"), Path("b.npz")


@given(SECONDS, st.floats(1e-3, 1e3))
def test_rounds_fit_and_are_at_most_three(seconds, a_round):
    rounds = rounds_within(seconds, a_round)
    assert 0 <= rounds <= 3
    assert rounds * a_round <= seconds
    assert rounds == 3 or (rounds + 1) * a_round > seconds * (1 - 1e-9)


@given(SECONDS, st.floats(1.0, 1e3))
def test_windows_are_left_out_until_the_rest_fits(seconds, left):
    every = every_within(seconds, left)
    assert every >= 1
    assert seconds / every <= left * (1 + 1e-9)
    assert every == 1 or seconds / (every - 1) > left


def test_steps_fit_and_are_at_least_one():
    assert (steps_within(10.0, 0.25), steps_within(-3.0, 0.25)) == (40, 1)


def cost(batch, *peaks):
    row = StepResult(
        model="D3DP", seconds=[1.0], median=1.0, iqr=0.0, speed_up=SpeedUp(1.0, 1.0, 1.0, 1.0),
        true_gmacs=1.0, resident=0, peak_memory=None,
    )  # fmt: skip
    models = [StepResult(**{**vars(row), "peak_memory": peak}) for peak in peaks]
    return TrainingCost(
        frames=9, dim=8, depth=4, heads=2, batch=batch, num_keep=3, device="cpu", precision="fp32",
        models=models, provenance=provenance(),
    )  # fmt: skip


def test_the_largest_batch_is_that_of_the_hungrier_model():
    # 10 bytes a sequence, 85 percent of 1,000 are filled: 85 sequences, 64 of them by doubling from 4.
    assert largest_batch(cost(4, 20, 40), free=1000, most=512) == 64
    assert largest_batch(cost(4, 20, 40), free=1000, most=16) == 16
    assert largest_batch(cost(4, 20, 40), free=10, most=512) == 4
    with pytest.raises(BenchmarkError, match="memory of a step is not known"):
        largest_batch(cost(4, None), free=1000, most=16)


def test_options_given_several_times_go_to_the_data_sets_in_order():
    found = sources(
        [A, A, B, B], ["h36m", "npz", "h36m", "3dhp"], [Path("k1"), Path("k2")], ["none", "mean", "by-place"],
        ["annot3"], CMU_FPS,
    )  # fmt: skip
    assert [(one.kind, one.keypoints, one.conversion, one.annotation) for one in found] == [
        ("h36m", Path("k1"), None, None),
        ("npz", None, None, None),
        ("h36m", Path("k2"), "mean", None),
        ("3dhp", None, "by-place", "annot3"),
    ]
    assert [one.kind for one in sources([A, B], [], [], [], [], 60.0)] == ["npz", "npz"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([A, B], ["npz"], [], [], []), "one for each --data, got 1 for 2"),
        (([A], ["h36m"], [], [], []), "dataset h36m needs --keypoints"),
        (([A], ["npz"], [B], [], []), "--keypoints was given 1 more than"),
        (([A], ["3dhp"], [], [], []), "dataset 3dhp needs --annotation"),
    ],
)
def test_numbers_of_options_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(BenchmarkError, match=message):
        sources(*arguments, CMU_FPS)


def test_a_frame_rate_is_for_npz_files():
    found = sources([A, B], ["h36m", "npz"], [Path("k")], ["none"], [], 30.0)
    assert [one.fps for one in found] == [CMU_FPS, 30.0]
    assert [one.fps for one in sources([A], [], [], [], [], 30.0)] == [30.0]
    for data, dataset in (([], []), ([A], ["motionbert"])):
        with pytest.raises(BenchmarkError, match="frame rate of an npz file, and --data names none"):
            sources(data, dataset, [], [], [], 30.0)


def test_a_folder_without_a_pair_is_refused(tmp_path):
    (tmp_path / "d3dp-small.json").write_text("{}")
    with pytest.raises(
        BenchmarkError, match=r"d3dp-PRESET\.json and htp-PRESET\.json of one preset, got none"
    ):
        find_pair(tmp_path, SCALES["tiny"].pairs)


def test_a_cpu_stands_in_for_a_gpu():
    cpu = torch.device("cpu")
    assert matmul_flops(cpu) > 0
    assert fast_ways(cpu) == (("bf16", "eager"),)
    assert ("bf16", "cuda-graph") in fast_ways(torch.device("cuda"))
