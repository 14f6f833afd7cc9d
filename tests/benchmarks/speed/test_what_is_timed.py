"""What the timing scripts hand on: sizes, pruning, peaks and times. Oracle: stand-ins that take notes."""

from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import adapters
from adapters.clock import Timing
from htp_diffusion.base.computing import Precise
from htp_diffusion.speed import agreement, drift, lineup, timing
from htp_diffusion.speed.commands import systems, throughput, weights
from htp_diffusion.speed.counting import Count
from htp_diffusion.speed.lineup import Entrant, Sizes, build_host
from htp_diffusion.speed.sharding import Shards
from htp_diffusion.speed.timing import Draw, Setting
from htp_modules import HTPConfig, KeptFrames, Record, TemporalMask

CPU = torch.device("cpu")
SIZES = Sizes(frames=9, dim=16, depth=4, motionbert_depth=4, heads=2)
COST = Count(thop_macs=1, true_macs=2, params=3)


def entrant(name, **changes):
    return SimpleNamespace(
        **{"name": name, "host": "d3dp", "cost": COST, "elements": 5, "model": None, "own": True, **changes}
    )


@pytest.mark.parametrize("host", ["mixste", "motionbert"])
@pytest.mark.parametrize("recovery", ["cross_attention", "interpolate"])
def test_every_host_is_pruned_as_it_was_asked(monkeypatch, host, recovery):
    monkeypatch.setattr(lineup.adapters, "patch", lambda _, **named: named)
    asked = {"num_sft_layers": 2, "num_keep": 4, "recovery": recovery}
    given = build_host(host, SIZES, HTPConfig(**asked))
    assert given == {**asked, "from_scratch": recovery == "cross_attention"}


def test_throughput_prunes_as_it_was_asked(monkeypatch):
    given = []
    monkeypatch.setattr(throughput, "line_up", lambda *one: given.append(one) or [])
    options = throughput.Options(
        num_sft_layers=(1, 3), num_keep=4, recovery="interpolate", batch_size=(), hosts=("mixste",)
    )
    assert list(throughput._groups(options, 9, CPU, Shards())) == []
    [(hosts, sizes, prunings, *_)] = given
    assert (hosts, sizes.frames) == (("mixste",), 9)
    assert [(one.num_sft_layers, one.num_keep, one.recovery) for one in prunings] == [
        (1, 4, "interpolate"),
        (3, 4, "interpolate"),
    ]


def test_the_models_own_product_is_of_every_joint_of_this_process(monkeypatch):
    given = []
    monkeypatch.setattr(throughput, "measure_roofline", lambda *_, **named: given.append(named) or "mine")
    monkeypatch.setattr(throughput, "summed", lambda mine, _: mine)
    shared = SimpleNamespace(count=2, wait=None)
    assert throughput._roofline(throughput.Options(dim=64), 9, 8, "fp32", CPU, shared) == "mine"
    assert (given[0]["tokens"], given[0]["dim"]) == (4 * 9 * 17, 64)


def test_every_model_has_its_own_peak_and_its_own_time(monkeypatch):
    peaks, seconds = {"D3DP": 90, "HTP n=1": 30}, {"D3DP": (4.0, 8.0), "HTP n=1": (2.0, 4.0)}
    monkeypatch.setattr(timing, "timed_call", lambda one, *_: lambda: one.name)
    monkeypatch.setattr(timing, "peak_memory", lambda case, _: peaks[case()])
    monkeypatch.setattr(
        timing,
        "interleaved",
        lambda cases, **_: {name: Timing(seconds[case()]) for name, case in cases.items()},
    )
    setting = Setting(sizes=SIZES, batch=2, draw=None, precision="fp32", mode="eager", memory_budget=None)
    group = timing.time_group(
        [entrant("D3DP"), entrant("HTP n=1", cost=replace(COST, true_macs=10**9))], setting,
        device=CPU, shards=Shards(), roofline=None, fused={"D3DP": 0.5, "HTP n=1": 0.25},
        differences={"D3DP": 0.75, "HTP n=1": 0.125}, repeats=2, warmup=0,
    )  # fmt: skip
    d3dp, pruned = group.rows
    assert [(row.model, row.peak_memory, row.seconds) for row in group.rows] == [
        ("D3DP", 90, [4.0, 8.0]),
        ("HTP n=1", 30, [2.0, 4.0]),
    ]
    assert (d3dp.speed_up.paired, pruned.speed_up.paired, pruned.true_gmacs) == (1.0, 2.0, 2.0)
    assert (pruned.fused_difference, pruned.difference) == (0.25, 0.125)


@pytest.mark.parametrize(
    ("mode", "calls"),
    [("eager", ["peak 1"]), ("compiled", ["1", "peak 1"]), ("cuda-graph", ["peak 10"])],
)
def test_on_a_gpu_one_step_warms_up_and_tells_the_memory(monkeypatch, mode, calls):
    """A longer sampling is the same step again; a graph is captured where the memory is looked at."""
    seen = []

    def timed_call(_, setting, *__):
        return lambda: seen.append(str(setting.draw.steps))

    monkeypatch.setattr(timing, "timed_call", timed_call)
    monkeypatch.setattr(timing, "precision_of", lambda *_: nullcontext())
    monkeypatch.setattr(
        timing, "peak_memory", lambda case, _: (case(), seen.append(f"peak {seen.pop()}"), 1)[-1]
    )
    monkeypatch.setattr(timing, "interleaved", lambda cases, **_: dict.fromkeys(cases, Timing((1.0,))))
    setting = Setting(
        sizes=SIZES, batch=2, draw=Draw(hypotheses=2, steps=10), precision="fp32", mode=mode,
        memory_budget=None,
    )  # fmt: skip
    timing.time_group(
        [entrant("D3DP")], setting, device=torch.device("cuda"), shards=Shards(), roofline=None, fused={},
        differences={"D3DP": None}, repeats=1, warmup=0,
    )  # fmt: skip
    assert seen == calls


def test_a_model_is_held_against_float64_with_the_frames_that_float64_kept():
    """Its twin is made to keep other frames than the model would: without them it would differ."""
    model = build_host("d3dp", SIZES, HTPConfig(num_sft_layers=1, num_keep=3, num_neighbors=4)).eval()
    twin = deepcopy(model)
    pruned = Entrant(name="HTP", host="d3dp", model=model, twin=twin, own=True, cost=COST, elements=5)
    keep = torch.eye(9, dtype=torch.bool).expand(1, 17, 9, 9)
    agreement.pin(twin, Record(masks=[TemporalMask(keep)], kept=[KeptFrames(torch.tensor([[0, 4, 8]]), 9)]))
    inputs = lineup.random_inputs("d3dp", 1, 9)
    with torch.no_grad():
        alone, pinned = model(*inputs), twin(*inputs)
    assert (alone - pinned).abs().max() > 1e-3 * pinned.abs().max()
    found = agreement.exact_difference(pruned, inputs, precision="fp32", mode="eager", device=CPU)
    assert found < 1e-5


def test_drift_is_the_distance_of_each_hypothesis_not_of_their_mean(monkeypatch):
    scores = {1.0: 50.0, 0.0: 52.5}
    monkeypatch.setattr(drift, "_score", lambda poses, _: scores[poses[0, 0, 0, 0, 0].item()])
    expected = torch.zeros(1, 2, 1, 2, 3)
    found = expected.clone()
    found[0, 0, :, :, 0], found[0, 1, :, :, 0] = 1.0, -1.0  # a metre to either side: no way on average
    contender = SimpleNamespace(config=SimpleNamespace(kind="htp"), source="a.json")
    drawn = SimpleNamespace(hypotheses=2, steps=1)
    told = drift._compared(contender, "bf16", "eager", drawn, [], found, expected)
    assert (told.distance, told.median) == (pytest.approx(1000.0), pytest.approx(1000.0))
    assert (told.mpjpe, told.mpjpe_fp32, told.mpjpe_drift) == (50.0, 52.5, 2.5)


def test_every_system_is_timed_itself_and_compared_with_mixste(monkeypatch):
    def entry(name, seconds):
        return systems._Entry(
            name=name, public=name == "P-STMO", frames=9, frames_out=9, model=lambda x: (seconds, x),
            inputs=(name,), cost=COST,
        )  # fmt: skip

    def timed(cases, **_):
        found = {name: case() for name, case in cases.items()}
        assert all(name == told for name, (_, told) in found.items())
        return {name: Timing((seconds,)) for name, (seconds, _) in found.items()}

    monkeypatch.setattr(systems, "interleaved", timed)
    monkeypatch.setattr(systems, "_ours", lambda _: [entry("MixSTE", 8.0), entry("HTP w/ MixSTE n=1", 2.0)])
    monkeypatch.setattr(systems, "_public", lambda _, name: entry(name, 4.0))
    options = systems.Options(public="nowhere", systems=("P-STMO",), threads=None)
    rows = systems.measure(options).rows
    assert [(row.system, row.seconds, row.speed_up.paired) for row in rows] == [
        ("MixSTE", [8.0], 1.0),
        ("HTP w/ MixSTE n=1", [2.0], 4.0),
        ("P-STMO", [4.0], 2.0),
    ]


def test_published_weights_are_timed_as_it_was_asked(monkeypatch, capsys):
    given = {}
    monkeypatch.setattr(adapters, "benchmark", lambda _, **named: given.update(named) or "found")
    contender = SimpleNamespace(denoiser=torch.nn.Identity())
    public = SimpleNamespace(weights="a.bin", contender=lambda _: (contender, "report"))
    weights.main(
        weights.Options(
            public=public, batch_size=3, frames=9, repeats=5, warmup=1, computing=Precise(device="cpu")
        )
    )
    assert given == {"batch_size": 3, "frames": 9, "repeats": 5, "warmup": 1}
    assert capsys.readouterr().out == "a.bin: report\nfound\n"
