"""tune against brute force: every setting run on every clip, and compared by hand."""

import copy
import importlib
import sys
from dataclasses import replace
from functools import cache
from itertools import product

import hosts
import numpy
import pytest
import torch
from hosts import FRAMES
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

import adapters
from adapters.clock import Timing
from adapters.counting import Counter
from adapters.deviation import deviation_of, least_figure
from htp_modules import HTPConfig

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
GRID = {"num_sft_layers": (1, 0), "num_keep": (2, 6), "num_neighbors": (2, 8)}
UNTRAINED = HTPConfig(recovery="interpolate", spatial_gcn=False)
module = importlib.import_module("adapters.tune")


@pytest.fixture(autouse=True)
def no_profiler(monkeypatch):
    """The profiler takes most of the time of a tuning of so small a model; test_benchmark is about it."""
    monkeypatch.setattr(module, "peak_memory", lambda case, device: 3 << 20)


@cache
def macs_of(host):
    """Operations of a host (None) and of the settings of the grid."""
    counter = Counter.of(adapters.patch(host.make(), UNTRAINED, num_sft_layers=0))
    settings = [
        replace(UNTRAINED, num_sft_layers=n, num_keep=f, num_neighbors=k)
        for n, f, k in product(*GRID.values())
    ]
    return {None: counter.plain()} | {config: counter.pruned(config) for config in settings}


def clock_of(seconds):
    """In place of the clock: the rounds that ``seconds`` says a config takes, each case having run once."""

    def interleaved(cases, **_):
        for case in cases.values():
            case()
        return {name: Timing(tuple(seconds(case.args[0]))) for name, case in cases.items()}

    return interleaved


def time_by_macs(monkeypatch, host, count=False):
    """A clock that counts operations: exact and the same in every run; tune counts itself if asked to."""
    monkeypatch.setattr(module, "interleaved", clock_of(lambda config: [macs_of(host)[config] * 1e-9] * 3))
    if not count:  # which takes most of the time; tune counts with all neighbours
        found = {replace(config, num_neighbors=1.0): macs for config, macs in macs_of(host).items() if config}
        monkeypatch.setattr(Counter, "plain", lambda self: macs_of(host)[None])
        monkeypatch.setattr(Counter, "pruned", lambda self, config: found[config])


def brute_force(host, model, clips, metric, truth=None):
    """Config (None for the unpruned model) to (figure, operations), each run on all clips at once."""
    model = adapters.patch(copy.deepcopy(model), UNTRAINED, num_sft_layers=0)
    figure = numpy.mean if metric == "mean" else lambda distances: numpy.percentile(distances, 95)
    with torch.no_grad(), adapters.unpruned(model):
        plain = model(*clips)
    reference = plain if truth is None else truth
    found = {}
    for config, macs in macs_of(host).items():
        model.htp.config = config or model.htp.config
        with torch.no_grad():
            output = plain if config is None else model(*clips)
        found[config] = (figure((output - reference).norm(dim=-1).numpy()), macs)
    return found


def unbeaten(found):
    """Config to figure, of those that no other is as good as in both and better than in one."""
    return {
        config: off
        for config, (off, macs) in found.items()
        if not any(o <= off and m <= macs and (o, m) != (off, macs) for o, m in found.values())
    }


@pytest.mark.parametrize(("metric", "with_truth"), [("mean", False), ("p95", True)])
@pytest.mark.parametrize("host", [MIXSTE, HYPS, MOTIONBERT, hosts.PRIORS[-1]], ids=lambda host: host.name)
def test_it_finds_what_brute_force_finds(host, metric, with_truth, monkeypatch):
    model, clips = host.make(), host.inputs(batch=5)
    with torch.no_grad():
        truth = model(*clips) + 0.5 * torch.randn_like(model(*clips)) if with_truth else None
    found = brute_force(host, model, clips, metric, truth)
    best = unbeaten(found)
    figures = sorted(off for off, _ in found.values())
    tolerance = float(figures[len(figures) // 2] - found[None][0])
    time_by_macs(monkeypatch, host, count=metric == "mean")
    tuning = adapters.tune(
        model, clips, tolerance=max(tolerance, 0.0), metric=metric, truth=truth, batch_size=2, **GRID
    )
    assert len(tuning.settings) == 8
    assert {trade.config for trade in tuning.best} == best.keys()
    for trade in tuning.best:
        assert trade.deviation.figure(metric) == pytest.approx(best[trade.config], rel=1e-3, abs=1e-5)
        assert trade.macs == found[trade.config][1]
    assert [trade.deviation.figure(metric) for trade in tuning.best] == sorted(
        trade.deviation.figure(metric) for trade in tuning.best
    )
    allowed = [c for c, off in best.items() if c and off <= found[None][0] + tuning.tolerance]
    fastest = min(allowed, key=lambda config: found[config][1], default=None)
    assert (tuning.chosen.config if tuning.chosen else None) == fastest
    assert adapters.is_patched(model) == (fastest is not None)
    if fastest is not None:
        assert adapters.htp_of(model).config == fastest


@given(
    st.lists(st.floats(0, 1e3), min_size=1, max_size=60), st.integers(0, 60), st.sampled_from(["mean", "p95"])
)
def test_the_least_that_a_figure_comes_to(distances, seen, metric):
    every = torch.tensor(distances, dtype=torch.float64)
    whole = deviation_of(every)
    assert whole.mean == pytest.approx(numpy.mean(distances))
    assert whole.p95 == pytest.approx(numpy.percentile(distances, 95))
    least = least_figure(every[:seen], len(every), metric)
    assert least <= whole.figure(metric) * (1 + 1e-9)
    # No larger bound would do: the rest may be none, or as small as it likes.
    rest = torch.zeros(max(len(every) - seen, 0), dtype=torch.float64)
    lowest = deviation_of(torch.cat((every[:seen], rest))).figure(metric)
    assert least <= lowest * (1 + 1e-9)
    if metric == "mean":
        assert least == pytest.approx(lowest)


def test_what_is_beaten_is_given_up_before_the_last_clip(monkeypatch):
    model, clips = MIXSTE.make(), MIXSTE.inputs(batch=12)
    time_by_macs(monkeypatch, MIXSTE)
    calls = []
    model.register_forward_hook(lambda *_: calls.append(None))
    tuning = adapters.tune(model, clips, tolerance=100.0, batch_size=1, **GRID)
    given_up = [trade for trade in tuning.settings if trade.deviation is None]
    assert given_up
    assert all(trade.cost is None for trade in given_up)
    timed = 1 + sum(trade.cost is not None for trade in tuning.settings)
    assert len(calls) < 12 * (1 + len(tuning.settings)) + 2 * timed


def spread(*rounds):
    return lambda config: [1.0] * 4 if config is None else rounds[0 if config.num_keep == 2 else 1]


@pytest.mark.parametrize(
    ("few", "many", "chosen"),
    [
        ([0.5, 0.6, 0.5, 0.6], [0.5, 0.5, 0.5, 0.6], 2),  # within the spread: by operations
        ([0.8, 0.8, 0.8, 0.8], [0.5, 0.6, 0.5, 0.6], 6),  # beyond it: by time
        ([1.2, 1.2, 1.3, 1.2], [1.1, 1.2, 1.1, 1.2], None),  # slower than unpruned
        ([0.9, 1.2, 0.9, 1.2], [1.1, 1.2, 1.1, 1.2], 2),  # no faster for certain, but fewer operations
    ],
)
def test_times_within_their_spread_are_ranked_by_operations(monkeypatch, few, many, chosen):
    monkeypatch.setattr(module, "interleaved", clock_of(spread(few, many)))
    model = MIXSTE.make()
    grid = {"num_sft_layers": (0,), "num_keep": (2, 6), "num_neighbors": (8,)}
    tuning = adapters.tune(model, MIXSTE.inputs(), tolerance=100.0, **grid)
    assert (tuning.chosen and tuning.chosen.config.num_keep) == chosen
    assert adapters.is_patched(model) == (chosen is not None)


def test_the_same_in_every_run(monkeypatch):
    model, clips = MIXSTE.make(), MIXSTE.inputs(batch=4)
    time_by_macs(monkeypatch, MIXSTE)
    first, second = (adapters.tune(copy.deepcopy(model), clips, tolerance=0.5, **GRID) for _ in range(2))
    assert [replace(trade, cost=None) for trade in first.settings] == [
        replace(trade, cost=None) for trade in second.settings
    ]
    assert first.chosen == second.chosen


class Sampler(nn.Module):
    """Holds a denoiser, and draws its noise from the global generator."""

    def __init__(self):
        super().__init__()
        self.denoiser = D3DP.make()

    def forward(self, pose_2d):
        noisy = torch.randn(*pose_2d.shape[:-1], 3)
        return self.denoiser(pose_2d, noisy, torch.full((len(pose_2d),), 999))


def test_a_model_around_the_host_draws_the_same_noise_for_every_setting(monkeypatch):
    model = Sampler().eval()
    monkeypatch.setattr(module, "interleaved", clock_of(lambda config: [1.0 if config is None else 0.5] * 3))
    grid = {"num_sft_layers": (1,), "num_keep": (2,), "num_neighbors": (8,)}
    torch.manual_seed(5)
    tuning = adapters.tune(model, torch.randn(2, 9, 5, 2), tolerance=100.0, **grid)
    assert tuning.unpruned.deviation == adapters.Deviation(mean=0.0, p95=0.0)
    assert tuning.chosen.deviation.mean > 0
    assert adapters.htp_of(model).config == tuning.chosen.config
    torch.manual_seed(5)
    adapters.tune(model, torch.randn(2, 9, 5, 2), tolerance=100.0, repeats=1, warmup=0, **grid)
    expected = torch.Generator().manual_seed(5)
    torch.randn(2, 9, 5, 2, generator=expected)
    assert torch.equal(torch.rand(2), torch.rand(2, generator=expected))


def test_a_patched_model_keeps_its_other_options(monkeypatch):
    options = {"density_neighbors": 3, "required": ("first", "last", "centre"), "recovery": "cross_attention"}
    model = MIXSTE.patch(MIXSTE.make().train(), num_sft_layers=1, num_keep=5, **options)
    twin = copy.deepcopy(model)
    monkeypatch.setattr(module, "interleaved", clock_of(lambda config: [1.0 if config is None else 0.5] * 3))
    tuning = adapters.tune(model, MIXSTE.inputs(), tolerance=100.0)
    assert {trade.config.frames_kept(FRAMES) for trade in tuning.settings} == {3, 5}  # 1 and 2 hold no three
    assert {trade.config.num_sft_layers for trade in tuning.settings} == {1}
    assert all(trade.config.required == options["required"] for trade in tuning.settings)
    assert model.training
    assert model.htp.config == tuning.chosen.config
    assert model.htp.config.density_neighbors == 3
    assert all(torch.equal(x, twin.state_dict()[name]) for name, x in model.state_dict().items())
    before = model.htp.config
    assert adapters.tune(model, MIXSTE.inputs(), tolerance=0.0).chosen is None
    assert model.htp.config == before


def test_a_distance_of_ones_own(monkeypatch):
    model, (clips,) = MIXSTE.make(), MIXSTE.inputs(batch=3)
    monkeypatch.setattr(module, "interleaved", clock_of(lambda config: [1.0 if config is None else 0.5] * 3))
    adapters.patch(model, UNTRAINED, num_sft_layers=0, num_keep=2, required=("centre",))

    grid = {"num_sft_layers": (0,), "num_keep": (2,), "num_neighbors": (8,)}

    def centre(output, reference):
        return (output - reference)[:, FRAMES // 2].norm(dim=-1) * 1000

    tuning = adapters.tune(model, clips, tolerance=1e6, distance=centre, **grid)
    with torch.no_grad(), adapters.unpruned(model):
        plain = model(clips)
    with torch.no_grad():
        expected = 1000 * (model(clips) - plain)[:, 4].norm(dim=-1).mean()
    assert_close(torch.tensor(tuning.chosen.deviation.mean).float(), expected)


def test_it_prints_a_table(monkeypatch):
    model, clips = MIXSTE.make(), MIXSTE.inputs(batch=4)
    time_by_macs(monkeypatch, MIXSTE)
    tuning = adapters.tune(model, clips, tolerance=100.0, batch_size=3, **GRID)
    lines = str(tuning).splitlines()
    assert lines[0].startswith(
        "MixSTE2, a MixSTE, 9 frames, 4 clips against the unpruned output, batches of 3"
    )
    assert len(lines) == 2 + len(tuning.best) + 2
    assert lines[2].startswith("  unpruned")
    (starred,) = (line for line in lines if line.startswith("*"))
    assert starred.startswith(f"* {tuning.label(tuning.chosen)} ")
    assert f"{tuning.chosen.deviation.p95:.4g}" in starred
    assert starred.endswith(" 3.0")
    assert lines[-2] == "8 settings tried; what is not listed is beaten by one that is"
    assert lines[-1] == f"tolerance 100 by the mean; chosen: {tuning.label(tuning.chosen)}"
    nothing = adapters.tune(adapters.unpatch(model), clips, tolerance=0.0, metric="p95", **GRID)
    told = "none is faster and within the tolerance: the model is left as it was, "
    assert str(nothing).endswith(f"{told}unpatched")
    adapters.patch(model, num_sft_layers=1, num_keep=3, recovery="interpolate", spatial_gcn=False)
    nothing = adapters.tune(model, clips, tolerance=0.0, metric="p95", **GRID)
    assert str(nothing).endswith(f"{told}patched: n=1, f=3, k=6")


def test_it_draws_a_picture(monkeypatch, tmp_path):
    figures = []
    figure = pytest.importorskip("matplotlib.figure").Figure
    save = figure.savefig
    monkeypatch.setattr(figure, "savefig", lambda self, *a, **k: (figures.append(self), save(self, *a, **k)))
    model, clips = MIXSTE.make(), MIXSTE.inputs(batch=4)
    time_by_macs(monkeypatch, MIXSTE)
    tuning = adapters.tune(model, clips, tolerance=0.5, **GRID)
    tuning.draw(tmp_path / "tuning.png")
    assert (tmp_path / "tuning.png").read_bytes().startswith(b"\x89PNG")
    drawn = {line.get_label(): line for line in figures[0].axes[0].lines}
    xs, ys = drawn["nothing beats these"].get_data()
    best = sorted((trade.macs * 1e-6, trade.deviation.mean) for trade in tuning.best)
    assert [*zip(xs, ys, strict=True)] == [pytest.approx(point) for point in best]
    with pytest.raises(adapters.MeasurementError, match="cannot write"):
        tuning.draw(tmp_path / "none" / "tuning.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(
        adapters.MeasurementError, match=r"^drawing needs matplotlib: pip install matplotlib$"
    ):
        tuning.draw(tmp_path / "tuning.png")
