"""The script that times over T, H and K."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.clock import Timing
from htp_diffusion.base.command import run_command
from htp_diffusion.base.computing import Computing
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.speed.commands import scaling
from htp_diffusion.speed.counting import Count
from htp_diffusion.speed.scaling import ScalingResult, fitted_exponent

SIZES = ["--frames", "9", "18", "--hypotheses", "1", "2", "--steps", "1", "3", "--sampling-frames", "9"]
SMALL = [
    *SIZES,
    *["--device", "cpu", "--dim", "16", "--depth", "4", "--heads", "2", "--repeats", "2", "--warmup", "0"],
]


@given(
    st.floats(-2, 3),
    st.floats(1e-3, 1e3),
    st.lists(st.integers(1, 1000), min_size=2, max_size=6, unique=True),
)
def test_a_power_is_found_again(power, factor, values):
    costs = [factor * value**power for value in values]
    assert fitted_exponent(values, costs) == pytest.approx(power, abs=1e-6)


def test_the_exponent_is_that_of_least_squares():
    # Logarithms to base 2: (0, 0), (1, 1), (2, 3); slope of least squares 3/2.
    assert fitted_exponent([1, 2, 4], [1, 2, 8]) == pytest.approx(1.5)


@pytest.mark.parametrize(("values", "costs"), [([2, 2], [1.0, 2.0]), ([1, 2], [0.0, 1.0])])
def test_an_exponent_needs_a_line(values, costs):
    with pytest.raises(BenchmarkError, match="two different values above 0 and costs above 0"):
        fitted_exponent(values, costs)


def test_every_axis_is_timed_written_printed_and_drawn(tmp_path, capsys):
    path, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    arguments = [*SMALL, "--out", str(tmp_path)]
    run_command(scaling.main, scaling.Options, arguments)
    result = read_json(path, ScalingResult)
    found = {(curve.model, curve.axis): curve for curve in result.curves}
    assert set(found) == {(model, axis) for model in ("D3DP", "HTP n=1") for axis in "THK"}
    for (_, axis), curve in found.items():
        assert [point.value for point in curve.points] == {"T": [9, 18], "H": [1, 2], "K": [1, 3]}[axis]
        assert all(len(point.seconds) == 2 for point in curve.points)
        if axis != "T":
            assert curve.exponent_of_macs == pytest.approx(1.0)
    # Attention grows with the square of T, everything else with T.
    assert 1 < found["D3DP", "T"].exponent_of_macs < 2
    # A pass twice over: H=1 and K=1 is one sampling with flip, at the first T.
    assert found["D3DP", "H"].points[0].true_gmacs == pytest.approx(
        2 * found["D3DP", "T"].points[0].true_gmacs
    )
    assert picture.read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "D3DP: time grows as T^" in printed
    assert str(picture) in printed


def test_every_point_is_what_its_axis_says(monkeypatch):
    """Each case takes as many seconds as its name ends with; a pass over a clip costs a GMAC a frame."""
    settings, prunings = {axis: [] for axis in "TBHK"}, []

    def line_up(hosts, sizes, pruned, *_):
        prunings.extend(pruned)
        cost = Count(thop_macs=1, true_macs=sizes.frames * 10**9, params=1)
        return [SimpleNamespace(name=name, host="d3dp", cost=cost) for name in ("D3DP", "HTP n=1")]

    def timed(cases, **_):
        [axis] = {name.partition("=")[0][-1] for name in cases if "D3DP" in name}
        settings[axis] = [case() for name, case in cases.items() if "D3DP" in name]
        return {name: Timing((float(name.rpartition("=")[2]), 9.0)) for name in cases}

    monkeypatch.setattr(scaling, "line_up", line_up)
    monkeypatch.setattr(scaling, "short_inputs", lambda *_: None)
    monkeypatch.setattr(scaling, "exact_difference", lambda *_, **__: None)
    monkeypatch.setattr(scaling, "timed_call", lambda one, setting, *_: lambda: setting)
    monkeypatch.setattr(scaling, "interleaved", timed)
    options = scaling.Options(
        frames=(9, 18), batches=(1, 3), hypotheses=(1, 2), steps=(1, 5), sampling_frames=9, num_keep=4,
        batch_size=7, computing=Computing(device="cpu"),
    )  # fmt: skip
    result = scaling.measure(options)
    assert {(one.num_sft_layers, one.num_keep) for one in prunings} == {(1, 4)}
    told = {
        axis: [
            (one.sizes.frames, one.batch, one.draw and (one.draw.hypotheses, one.draw.steps)) for one in found
        ]
        for axis, found in settings.items()
    }
    assert told == {
        "T": [(9, 7, None), (18, 7, None)],
        "B": [(9, 1, None), (9, 3, None)],
        "H": [(9, 7, (1, 1)), (9, 7, (2, 1))],
        "K": [(9, 7, (1, 1)), (9, 7, (1, 5))],
    }
    gmacs = {"T": [63, 126], "B": [9, 27], "H": [126, 252], "K": [126, 630]}
    assert len(result.curves) == 8
    for curve in result.curves:
        assert [point.seconds for point in curve.points] == [[point.value, 9.0] for point in curve.points]
        assert [point.true_gmacs for point in curve.points] == gmacs[curve.axis]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "9"], "frames expects at least two different values from 1, got [9]"),
        (["--steps", "1", "1"], "steps expects at least two different values from 1, got [1, 1]"),
        (["--hypotheses", "0", "1"], "hypotheses expects at least two different values from 1, got [0, 1]"),
        (["--batch-size", "0"], "batch-size expects at least 1, got 0"),
        (["--steps", "1", "2000"], "expected 1 to 1000 sampling steps, got 2000"),
        (["--mode", "cuda-graph"], "mode cuda-graph needs a CUDA device, got cpu"),
        ([*SMALL, "--num-keep", "1.5"], "num_keep as a float is a share"),
        ([*SMALL, "--precision", "tf32"], "precision tf32 needs a CUDA device"),
    ],
)
def test_a_wrong_option_ends_with_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as left:
        run_command(scaling.main, scaling.Options, arguments)
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.count("\n") == 1
    assert message in told
