"""The steps of a tuning, each by itself. Oracle: numbers by hand, and stand-ins that take notes."""

import importlib
import math
from types import SimpleNamespace

import hosts
import pytest
import torch

import adapters
from adapters import MeasurementError
from adapters.benchmark import Cost
from adapters.clock import Timing
from adapters.counting import Counter
from adapters.deviation import Batches, Deviation
from adapters.trial import device_in_words, trial
from adapters.tuning import Trade
from htp_modules import HTPConfig

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
CPU = torch.device("cpu")
tune = importlib.import_module("adapters.tune")


def grid(pairs, **given):
    tried = SimpleNamespace(
        htp=SimpleNamespace(config=given.pop("config", HTPConfig()), facts=None),
        adapter=SimpleNamespace(num_pairs=lambda facts: pairs),
    )
    options = {"num_sft_layers": None, "num_keep": None, "num_neighbors": None} | given
    return tune._grid(tried, 81, **options)


@pytest.mark.unhooked
def test_the_settings_by_default():
    for pairs, layers in (
        (1, [0]),
        (2, [0]),
        (3, [1]),
        (4, [1]),
        (5, [1, 3]),
        (7, [1, 3, 5]),
        (20, [1, 3, 5]),
    ):
        found = grid(pairs)
        assert sorted({one.num_sft_layers for one in found}) == layers
        assert len(found) == len(layers) * 4 * 3
    assert [(one.frames_kept(81), one.neighbors(81)) for one in grid(3)] == [
        (f, k) for f in (9, 18, 27, 41) for k in (27, 54, 80)
    ]
    required = HTPConfig(required=tuple(range(18)))
    assert sorted({one.frames_kept(81) for one in grid(3, config=required)}) == [18, 27, 41]


@pytest.mark.unhooked
def test_settings_that_come_to_the_same_are_one():
    found = grid(9, num_sft_layers=(2,), num_keep=(9, 1 / 9, 18), num_neighbors=(27, 1 / 3))
    assert [(one.num_keep, one.num_neighbors) for one in found] == [(9, 27), (18, 27)]
    with pytest.raises(MeasurementError, match="the grid has no setting"):
        grid(9, num_keep=())


def trade(config, macs, off, seconds=(1.0,) * 3, p95=None):
    deviation = None if off is None else Deviation(mean=off, p95=off if p95 is None else p95)
    cost = None if seconds is None else Cost(timing=Timing(tuple(seconds)), macs=macs, peak_memory=None)
    return Trade(config=config, macs=macs, deviation=deviation, cost=cost)


def settings(*keeps):
    return [HTPConfig(num_keep=keep, num_neighbors=4) for keep in keeps]


@pytest.mark.unhooked
def test_each_setting_is_judged_with_the_least_figure_so_far_as_its_bound():
    few, some, most = settings(2, 4, 6)
    off = {few: Deviation(mean=3.0, p95=9.0), some: None, most: Deviation(mean=2.0, p95=8.0)}
    seen = []

    def of(config, bound):
        seen.append((config, bound))
        return off[config]

    macs = {2: 100, 4: 200, 6: 300}
    counter = SimpleNamespace(plain=lambda: 400, pruned=lambda config: macs[config.num_keep])
    known = SimpleNamespace(unpruned=Deviation(mean=0.0, p95=0.0), of=of)
    for metric, bounds in (("mean", (math.inf, 3.0, 3.0)), ("p95", (math.inf, 9.0, 9.0))):
        seen.clear()
        found = tune._judged(known, counter, [most, few, some], metric)
        assert seen == list(zip((few, some, most), bounds, strict=True))
        assert [(one.config, one.macs, one.deviation, one.cost) for one in found] == [
            (few, 100, off[few], None),
            (some, 200, None, None),
            (most, 300, off[most], None),
            (None, 400, known.unpruned, None),
        ]


@pytest.mark.unhooked
def test_settings_of_the_same_operations_are_counted_once():
    counted = []
    counter = SimpleNamespace(
        plain=lambda: 9, pruned=lambda config: counted.append(config) or config.num_keep
    )
    known = SimpleNamespace(unpruned=Deviation(mean=0.0, p95=0.0), of=lambda *_: None)
    every = [HTPConfig(num_keep=f, num_neighbors=k) for f in (2, 4) for k in (3, 5, 7)]
    found = tune._judged(known, counter, every, "mean")
    assert len(counted) == 2
    assert [one.config for one in found] == [*every, None]


def test_what_another_of_no_more_operations_beats_is_not_timed():
    a, b, c, d, e = settings(1, 2, 3, 4, 5)
    unpruned = trade(None, 50, 9.0, p95=0.0)  # is timed whatever it is
    trades = [
        trade(a, 10, 5.0, p95=1.0),
        trade(b, 20, 5.0, p95=2.0),  # no closer than a
        trade(c, 30, 4.0, p95=3.0),
        trade(d, 30, 3.0, p95=1.5),  # closer than c, of as many, and by the mean than a
        trade(e, 40, None),
        unpruned,
    ]
    assert [one.config for one in tune._undominated(trades, "mean")] == [a, d, None]
    assert [one.config for one in tune._undominated(trades, "p95")] == [a, None]
    assert [one.config for one in tune._undominated(trades[1:4], "p95")] == [b, d]


def test_the_settings_that_nothing_beats_and_the_one_to_take():
    few, some, most = settings(2, 4, 6)
    unpruned = trade(None, 400, 0.0, (1.0, 1.0, 1.0), p95=0.0)
    timed = [
        trade(few, 100, 3.0, (0.2, 0.2, 0.2), p95=1.0),
        trade(some, 200, 2.0, (0.1, 0.1, 0.1), p95=2.0),  # faster and closer than few, by the mean
        trade(most, 300, 1.0, (0.5, 0.5, 0.5), p95=3.0),
        unpruned,
    ]

    def choose(metric, tolerance, trades=timed):
        best, chosen = tune._choose(trades, metric, tolerance)
        return [one.config for one in best], chosen and chosen.config

    assert choose("mean", 9.0) == ([None, most, some], some)
    assert choose("mean", 2.0) == ([None, most, some], some)
    assert choose("mean", 1.9) == ([None, most, some], most)
    assert choose("mean", 0.9) == ([None, most, some], None)
    assert choose("p95", 1.0) == ([None, few, some], few)
    assert choose("p95", 2.0) == ([None, few, some], some)
    # As fast as the unpruned model within the spread: taken for its operations, unless it has more.
    for macs, taken in ((399, few), (400, None)):
        same = [trade(few, macs, 1.0, (0.9, 1.1, 1.0)), unpruned]
        assert choose("mean", 2.0, same) == ([None, few], taken)
    alike = [trade(few, 100, 1.0, (0.2, 0.2, 0.2)), trade(some, 200, 1.0, (0.3, 0.3, 0.3)), unpruned]
    assert choose("mean", 2.0, alike) == ([None, few], few)  # no farther off, and faster
    slower = [trade(few, 100, 1.0, (1.5, 1.5, 1.5)), unpruned]
    assert choose("mean", 2.0, slower) == ([None], None)


def test_each_case_is_timed_under_its_config(monkeypatch):
    model, clips = MIXSTE.patch(MIXSTE.make(), num_keep=5, num_sft_layers=1), MIXSTE.inputs(batch=2)
    seen, asked = [], []
    model.register_forward_hook(
        lambda host, inputs, _: seen.append((host.htp.enabled and host.htp.config, inputs[0] is clips[0]))
    )

    def interleaved(cases, **options):
        asked.append(options)
        for case in cases.values():
            case()
        return {name: Timing((float(name) + 1,)) for name in cases}

    monkeypatch.setattr(tune, "interleaved", interleaved)
    monkeypatch.setattr(tune, "peak_memory", lambda case, device: asked.append(device) or case() or 7)
    base = model.htp.config
    few = HTPConfig(num_keep=2, num_neighbors=4, num_sft_layers=1)
    with trial(model) as tried:
        batches = Batches.of(clips, None, 8, tried.device)
        found = tune._timed(
            model, tried, batches, [trade(few, 5, 1.0, None), trade(None, 9, 0.0, None)], 4, 3
        )
    assert seen == [(few, False), (False, False)] * 2  # for the time, and for the memory
    assert asked == [{"repeats": 4, "warmup": 3, "device": CPU}, CPU, CPU]
    assert [(one.config, one.cost) for one in found] == [
        (few, Cost(timing=Timing((1.0,)), macs=5, peak_memory=7)),
        (None, Cost(timing=Timing((2.0,)), macs=9, peak_memory=7)),
    ]
    assert model.htp.config == base


def test_what_a_tuning_tells_of_itself(monkeypatch):
    monkeypatch.setattr(tune, "peak_memory", lambda case, device: 7)
    monkeypatch.setattr(
        tune,
        "interleaved",
        lambda cases, **_: {name: Timing((float(name) + 1,) * 3) for name in cases},
    )
    devices, cut = [], Batches.of
    monkeypatch.setattr(Batches, "of", lambda *given: devices.append(given[-1]) or cut(*given))
    model, (clips,) = MIXSTE.make(), MIXSTE.inputs(batch=3)
    options = {"num_sft_layers": (0,), "num_keep": (2, 8), "num_neighbors": (8,)}
    found = adapters.tune(
        model, clips, truth=torch.zeros(3, 9, 5, 3), tolerance=100.0, metric="p95", batch_size=2, **options
    )
    assert (found.host, found.frames, found.clips, found.batch_size) == ("MixSTE2, a MixSTE", 9, 3, 2)
    assert (found.metric, found.tolerance, found.with_truth) == ("p95", 100.0, True)
    assert (found.device, devices) == (device_in_words(CPU), [CPU])
    assert found.unpruned.config is None
    assert found.unpruned.cost is not None
    assert sorted(one.config.num_keep for one in found.settings) == [2, 8]
    assert all(one in found.settings for one in found.best if one.config is not None)
    adapters.unpatch(model)
    least = {"tolerance": 0.0, "batch_size": 1, "repeats": 1, "warmup": 0}
    found = adapters.tune(model, clips[:1], **least, **options)
    assert (found.clips, found.batch_size, found.with_truth) == (1, 1, False)
    for wrong in ({"tolerance": math.inf}, {"repeats": 0}, {"warmup": -1}):
        with pytest.raises(MeasurementError):
            adapters.tune(model, clips, **(least | wrong), **options)


def test_the_numbers_and_the_metric_by_default(monkeypatch):
    asked, bounds, judged = [], [], tune.Judge.of

    def interleaved(cases, *, repeats, warmup, device):
        asked.append((repeats, warmup))
        return {name: Timing((1.0,)) for name in cases}

    for module in (tune, importlib.import_module("adapters.benchmark")):
        monkeypatch.setattr(module, "interleaved", interleaved)
        monkeypatch.setattr(module, "peak_memory", lambda case, device: 7)
    model, (clips,) = MIXSTE.make(), MIXSTE.inputs(batch=10)
    monkeypatch.setattr(
        tune.Judge, "of", lambda self, config, bound: bounds.append(bound) or judged(self, config, bound)
    )
    options = {"num_sft_layers": (0,), "num_keep": (2, 6), "num_neighbors": (8,)}
    tuning = adapters.tune(model, clips, tolerance=0.0, **options)
    assert bounds == [math.inf, tuning.settings[0].deviation.mean]
    assert [tuning.batch_size, adapters.benchmark(model).batch_size] == [8, 1]
    assert asked == [(5, 1), (7, 2)]


def test_settings_are_told_for_clips_as_they_come():
    model = MOTIONBERT.make()
    clips = tuple(part[:, :4] for part in MOTIONBERT.inputs(batch=2))
    grid = {"num_sft_layers": (1,), "num_keep": (0.5,), "num_neighbors": (1.0,)}
    tuning = adapters.tune(model, clips, tolerance=1e6, repeats=1, **grid)
    [only] = tuning.settings
    assert (tuning.frames, tuning.label(only)) == (4, "n=1, f=2, k=3")
    adapters.patch(adapters.unpatch(model) if adapters.is_patched(model) else model, only.config)
    counter = Counter.of(model, 4)
    assert (tuning.unpruned.macs, only.macs) == (counter.plain(), counter.pruned(only.config))
