"""What is said of a model that is no host, or that could not be checked."""

import hosts
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import adapters
from adapters import PatchError, UnrecognisedHostError
from adapters.installed import patched_class
from adapters.patching import ADAPTERS, install
from adapters.recognition import recognise
from adapters.verify import _run_both, is_out_of_memory, shorten
from htp_modules import HTPConfig

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
VERBS = [adapters.patch, adapters.describe]


def message(verb, model):
    with pytest.raises(UnrecognisedHostError) as caught:
        verb(model)
    return str(caught.value)


@pytest.mark.parametrize("verb", VERBS)
def test_the_nearest_host_and_what_differs(verb):
    model = MIXSTE.make()
    for block in model.STEblocks:
        block.reduction = nn.Identity()
    model.TTEblocks[1].attn.comb = True
    assert message(verb, model) == (
        "MixSTE2 is not a MixSTE. Looked for and not found: no parts of unknown use (it has "
        "STEblocks.0.reduction); TTEblocks.1.attn.comb false: attention over frames, not channels"
    )


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("host", "part", "said"),
    [
        (MIXSTE, "head", "is not a MixSTE. Looked for and not found: head, a Module"),
        (D3DP, "head", "is not a D3DP denoiser. Looked for and not found: head, a Module"),
        (MOTIONBERT, "norm", "is not a MotionBERT DSTformer. Looked for and not found: norm, a Module"),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_one_host_is_named_not_all(verb, host, part, said):
    model = host.make()
    name = type(model).__name__
    delattr(model, part)
    assert message(verb, model) == f"{name} {said}"
    assert message(verb, nn.ModuleDict({"inner": model})) == f"ModuleDict.inner: {name} {said}"


def test_of_two_as_near_the_first_is_named():
    pair = nn.Sequential(MIXSTE.make(), MIXSTE.make())
    for model in pair:
        del model.head
    assert message(adapters.patch, pair).startswith("Sequential.0: MixSTE2 is not a MixSTE.")


def test_half_of_what_is_looked_for_is_near():
    def probe(_host):
        raise UnrecognisedHostError("half a host", ("the other half",), 0.5)

    adapter = adapters.Adapter(name="Half", probe=probe, run=lambda host: host, embedding="embedding")
    assert message(lambda model: recognise(model, (adapter,)), nn.Identity()) == "half a host"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("model", [nn.Linear(2, 2), nn.TransformerEncoderLayer(8, 2, 16), nn.Sequential()])
def test_a_model_like_none_of_them(verb, model):
    said = message(verb, model)
    assert said.startswith(
        f"{type(model).__name__} holds no host that can be patched: MixSTE, D3DP denoiser, "
    )
    assert len(said) < 250


def test_many_differences_are_not_all_listed():
    model = MIXSTE.make()
    for part in ("head", "Spatial_norm", "Temporal_norm", "Spatial_pos_embed", "Spatial_patch_to_embedding"):
        delattr(model, part)
    with pytest.raises(UnrecognisedHostError, match=r"; and \d more$") as caught:
        adapters.patch(model)
    assert len(str(caught.value)) < 300
    assert "head, a Module" in caught.value.missing
    assert 0.5 < caught.value.likeness < 1


def test_a_host_that_is_not_patched_yet():
    with pytest.raises(PatchError, match=r"not patched; it is a D3DP denoiser: call patch\(model\) first"):
        adapters.describe(HYPS.make())


FULL = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:130] . DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    RuntimeError("MPS backend out of memory"),
    RuntimeError("[Errno 12] Cannot allocate memory"),
]


@pytest.mark.unhooked
@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__ + str(error)[:4])
@pytest.mark.parametrize("when", ["float32", "float64", "copy"])
def test_out_of_memory_is_not_another_model(error, when, monkeypatch):
    class Full(type(MIXSTE.make())):
        def forward(self, x):
            if x.dtype == torch.float64 or when == "float32":
                raise error
            return super().forward(x) + 1  # disagrees in float32, so that float64 decides

        def __deepcopy__(self, memo):
            if when == "copy":
                raise error
            memo[id(self)] = twin = MIXSTE.make()
            twin.__class__ = Full
            return twin

    model = MIXSTE.make()
    model.__class__ = Full
    with pytest.raises(PatchError, match="out of memory in the check before a patch") as caught:
        adapters.patch(model, num_sft_layers=1)
    assert caught.value.__cause__ is error
    assert type(model) is Full


def test_other_errors_are_not_out_of_memory():
    assert not any(is_out_of_memory(error) for error in (RuntimeError("shape"), ValueError("out of memory")))


def compared(monkeypatch, *outputs):
    """What is said of a host whose output and whose patched output are these: in float32, in float64."""
    left = list(outputs)

    def run_both(*_):
        found = left.pop(0)
        if isinstance(found, Exception):
            raise found
        return tuple(torch.tensor([0.0, number]) for number in found)

    monkeypatch.setattr("adapters.verify._run_both", run_both)
    model = MIXSTE.make()
    try:
        adapters.patch(model, num_sft_layers=1)
    except UnrecognisedHostError as error:
        return str(error), len(left)
    return "", len(left)


def test_how_far_off_a_copy_may_be(monkeypatch):
    near, kind = "", "MixSTE2 has the parts of a MixSTE, but"
    far = f"{kind} computes something else: its output differs by {{}} from those parts in a MixSTE's order"
    assert compared(monkeypatch, (0.5, 0.5009)) == (near, 0)
    assert compared(monkeypatch, (0.5, 0.5015), (0.5, 0.5009)) == (near, 0)  # float64 decides
    assert compared(monkeypatch, (0.5, 0.5015), (0.5, 0.5015)) == (far.format("0.0015"), 0)
    assert compared(monkeypatch, (10.0, 10.009)) == (near, 0)  # of the largest output
    assert compared(monkeypatch, (10.0, 10.02), (10.0, 10.02)) == (far.format("0.02"), 0)
    # A host that does not run in float64 is judged by float32 alone.
    assert compared(monkeypatch, (0.5, 0.75), TypeError("no double")) == (far.format("0.25"), 0)
    assert compared(monkeypatch, TypeError("no float")) == (
        f"{kind} a copy of it failed on a short clip: no float",
        0,
    )


def test_what_a_copy_gives_instead(monkeypatch):
    monkeypatch.setattr("adapters.verify._run_both", lambda *_: (torch.zeros(2, 3), torch.zeros(4)))
    with pytest.raises(UnrecognisedHostError) as caught:
        adapters.patch(MIXSTE.make(), num_sft_layers=1)
    assert str(caught.value) == (
        "MixSTE2 has the parts of a MixSTE, but returns a tensor of shape (2, 3) where one of (4,) was "
        "looked for"
    )


@pytest.mark.parametrize(
    ("host", "axis"), [(MIXSTE, 1), (hosts.AGFORMERS[0], 0)], ids=lambda part: getattr(part, "name", "")
)
def test_what_a_host_has_for_each_frame_is_cut_to_the_first(host, axis):
    model, short = host.make(), host.make(frames=4)
    for values in model.buffers():
        values.random_(9)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    cut = {name for name, values in short.state_dict().items() if values.shape != before[name].shape}
    for frames in (20, 4):  # more than there are, and fewer
        shorten(model, adapters.adapter_of(host.patch(host.make(), num_sft_layers=1)), frames)
        for name, values in model.state_dict().items():
            kept = before[name].narrow(axis, 0, min(frames, 9)) if name in cut else before[name]
            assert torch.equal(values, kept)
    assert dict(model.named_parameters()).keys() == dict(short.named_parameters()).keys()


@pytest.mark.parametrize(
    ("host", "shape", "dtype"),
    [
        (MIXSTE, (1, 3, 5, 3), torch.float32),
        (MIXSTE, (1, 3, 5, 3), torch.float64),
        (HYPS, (1, 1, 3, 5, 3), torch.float32),
        (hosts.PRIORS[0], (1, 3, 5, 3), torch.float32),
    ],
    ids=lambda part: getattr(part, "name", ""),
)
def test_a_host_and_its_patch_run_a_short_clip_in_the_precision_that_is_asked_for(host, shape, dtype):
    model = host.make()
    _, adapter, facts = recognise(model, ADAPTERS)
    config = HTPConfig(num_sft_layers=1, required=(8,))  # past the end of the short clip
    given = model, adapter, facts, config, install, patched_class(type(model), adapter), dtype
    outputs = _run_both(*given)
    assert [(tuple(x.shape), x.dtype) for x in outputs] == [(shape, dtype)] * 2
    near = 1e-12 if dtype == torch.float64 else 1e-5
    assert_close(*outputs, rtol=near, atol=near)
