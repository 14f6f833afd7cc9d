"""benchmark, and how a model comes out of it. Oracles: describe's counts, a clock of the test's own."""

import importlib
import re
from dataclasses import replace

import hosts
import pytest
import torch

import adapters
from adapters.clock import Timing, peak_memory
from htp_modules import HTPConfig

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}
module = importlib.import_module("adapters.benchmark")


def state_of(model):
    flags = {name: part.training for name, part in model.named_modules()}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    return type(model), flags, weights


def assert_same_state(model, before):
    kind, flags, weights = state_of(model)
    assert (kind, flags) == before[:2]
    assert weights.keys() == before[2].keys()
    assert all(torch.equal(value, before[2][name]) for name, value in weights.items())


def test_what_it_finds(graph_host):  # counting takes half a second
    model = graph_host.patch(graph_host.make(), **PRUNED)
    found = adapters.benchmark(model, batch_size=2, repeats=3, warmup=0)
    described = adapters.describe(model)
    assert (found.plain.macs, found.pruned.macs) == (described.macs_before, described.macs_after)
    assert (found.host, found.config, found.frames) == (described.host, model.htp.config, 9)
    assert len(found.plain.timing.samples) == len(found.pruned.timing.samples) == 3
    assert min(*found.plain.timing.samples, *found.pruned.timing.samples) > 0
    assert found.plain.peak_memory > 0
    assert found.pruned.peak_memory > 0


# What a model comes out as is one code for all hosts; what differs is what their parts keep of a pass.
MODES = [
    *(
        (host, *modes)
        for host in (D3DP, MOTIONBERT, *hosts.PRIORS[1:])
        for modes in ((False, True), (True, True))
    ),
    *((MIXSTE, *modes) for modes in ((False, True), (True, True), (False, False))),
]


@pytest.mark.parametrize(("host", "patched", "training"), MODES, ids=lambda part: getattr(part, "name", part))
def test_the_model_comes_out_as_it_was(host, patched, training):
    model = host.make().train(training)
    if patched:
        host.patch(model, **PRUNED).htp.eval()  # a mode of its own
    before = state_of(model)
    torch.manual_seed(5)
    config = replace(model.htp.config, num_sft_layers=0) if patched else None
    found = adapters.benchmark(model, repeats=1, warmup=0, config=config)
    assert not patched or found.config == config
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(5)))
    assert_same_state(model, before)
    assert not patched or model.htp.config.num_sft_layers == 1


@pytest.mark.parametrize("patched", [False, True])
def test_the_model_comes_out_as_it_was_after_an_error(monkeypatch, patched):
    model = MIXSTE.make().train()
    if patched:
        MIXSTE.patch(model, **PRUNED)
    before = state_of(model)
    monkeypatch.setattr(module, "interleaved", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        adapters.benchmark(model, config=HTPConfig(num_sft_layers=0))
    assert_same_state(model, before)


def test_a_model_that_is_not_patched_is_timed_as_it_needs_no_training():
    found = adapters.benchmark(MOTIONBERT.make(), repeats=1, warmup=0)
    assert found.config == HTPConfig(num_sft_layers=2, spatial_gcn=False, recovery="interpolate")


def test_inside_an_unpruned_block():
    model = MIXSTE.patch(MIXSTE.make(), **PRUNED)
    with adapters.unpruned(model):
        found = adapters.benchmark(model, repeats=1, warmup=0)
        assert not model.htp.enabled
    assert found.pruned.macs != found.plain.macs
    assert model.htp.enabled


def test_the_cases_run_what_they_say(monkeypatch):
    model, seen = MIXSTE.patch(MIXSTE.make(), **PRUNED), []
    model.register_forward_hook(lambda host, inputs, output: seen.append((host.htp.enabled, *inputs)))

    def interleaved(cases, *, repeats, warmup, device):
        assert (repeats, warmup, device) == (5, 1, torch.device("cpu"))
        for case in cases.values():
            case()
        return {"plain": Timing((0.4,) * 5), "pruned": Timing((0.2, 0.2, 0.25, 0.2, 0.2))}

    monkeypatch.setattr(module, "interleaved", interleaved)
    found = adapters.benchmark(model, batch_size=2, repeats=5, warmup=1)
    assert [enabled for enabled, _ in seen[:2]] == [False, True]
    assert torch.equal(seen[0][1], seen[1][1])
    assert seen[0][1].shape == (2, 9, 5, 2)
    assert not torch.equal(seen[0][1][0], seen[0][1][1])
    assert found.speed_up.paired == 2.0
    with torch.no_grad():
        assert found.pruned.peak_memory == peak_memory(lambda: model(seen[0][1].clone()))
    text = str(found).splitlines()
    assert text[0].startswith("MixSTE2, a MixSTE, 3 of 9 frames kept, batches of 2, on cpu (")
    assert [re.split(r" {2,}", line) for line in text[1:3]] == [
        ["", "ms", "spread", "clips/s", "GMACs/clip", "peak MiB"],
        ["plain", "400.00", "0.00", "5.0", "0.000", f"{found.plain.peak_memory / 2**20:.1f}"],
    ]
    assert text[-1] == "pruned / plain speed: 2.00 [2.00, 2.00]"


def test_shorter_clips():
    model = MOTIONBERT.make()
    found = adapters.benchmark(model, frames=5, repeats=1, warmup=0)
    assert found.frames == 5
    assert found.plain.macs < adapters.benchmark(model, repeats=1, warmup=0).plain.macs
    with pytest.raises(
        adapters.MeasurementError, match="a MixSTE built for 9 frames does not run on 5: The size"
    ):
        adapters.benchmark(MIXSTE.make(), frames=5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size expects a whole number of at least 1, got 0"),
        ({"frames": 0}, "frames expects a whole number of at least 1, got 0"),
        ({"repeats": 0}, "repeats expects a whole number of at least 1, got 0"),
        ({"warmup": True}, "warmup expects a whole number of at least 0, got True"),
    ],
)
def test_numbers_out_of_range(options, message):
    model = MIXSTE.make()
    with pytest.raises(adapters.MeasurementError, match=message):
        adapters.benchmark(model, **options)
    assert not adapters.is_patched(model)


def test_a_length_that_a_host_does_not_take():
    class Cut(type(MOTIONBERT.make())):
        def forward(self, x, return_rep=False):
            if x.shape[1] == 7:
                raise errors.pop()
            return super().forward(x, return_rep)

    model = MOTIONBERT.make()
    model.__class__ = Cut
    for error, said in (
        (ValueError("a frame too few\nor more"), "a frame too few"),
        (KeyError(), "KeyError"),
    ):
        errors = [error]
        with pytest.raises(adapters.MeasurementError) as caught:
            adapters.benchmark(model, frames=7)
        assert (
            str(caught.value) == f"Cut, a MotionBERT DSTformer built for 9 frames does not run on 7: {said}"
        )
    errors = [full := torch.OutOfMemoryError("out of memory")]
    with pytest.raises(torch.OutOfMemoryError) as caught:
        adapters.benchmark(model, frames=7)
    assert caught.value is full
    assert adapters.benchmark(model, frames=1, batch_size=1, repeats=1, warmup=0).frames == 1


def test_models_that_cannot_be_timed():
    with pytest.raises(adapters.UnrecognisedHostError, match="holds no host"):
        adapters.benchmark(torch.nn.Linear(2, 2))
    with pytest.raises(adapters.MeasurementError, match="meta device"):
        adapters.benchmark(MIXSTE.make().to("meta"))


@pytest.mark.unhooked
def test_a_compiled_host_is_timed_compiled():
    calls = []

    def backend(graph, _):
        return lambda *given: calls.append(graph) or graph(*given)

    model = MIXSTE.patch(MIXSTE.make(), num_keep=3, num_sft_layers=1)
    adapters.benchmark(torch.compile(model, backend=backend), repeats=1, warmup=0)
    assert calls
