"""A patched model that somebody changes afterwards: every verb reaches through, or refuses.

Oracle: the host's own output from before the patch, and the patched model's from before the change.
"""

from copy import deepcopy
from dataclasses import replace
from functools import partial, update_wrapper, wraps
from types import MethodType

import hosts
import pytest
import torch
from accelerate.utils.operations import convert_outputs_to_fp32
from torch import nn
from torch.nn.utils import parametrize
from torch.testing import assert_close

import adapters

PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}
SHALLOW = PRUNED | {"num_sft_layers": 0}  # for hosts of one block


def compiled(model):
    model.forward = torch.compile(model.forward, backend="eager")


def as_accelerate_does(model):
    # Accelerator.prepare_model with mixed precision, but for the context: it would round the output.
    model._original_forward = model.forward
    model.forward = MethodType(torch.no_grad()(model.forward.__func__), model)
    model.forward = MethodType(convert_outputs_to_fp32(model.forward.__func__), model)


def as_accelerates_hooks_do(model):
    # accelerate.hooks.add_hook_to_module
    model._old_forward = old = model.forward
    model.forward = update_wrapper(partial(lambda module, *x: module._old_forward(*x), model), old)


def profiled(model):
    inner = model.forward

    @wraps(inner)
    def forward(*inputs):
        return inner(*inputs)

    model.forward = forward


REACHED = {f.__name__: f for f in (compiled, as_accelerate_does, as_accelerates_hooks_do, profiled)}


def closed(model):
    # As make_graphed_callables, tracers and most profilers do: nobody sees what it calls.
    inner = model.forward
    model.forward = lambda *inputs: inner(*inputs)


def of_another_model(model):
    model.forward = deepcopy(model).forward


def another(model):
    model.forward = lambda *inputs: inputs[0]


def class_with_another_forward(model):
    cls = type(model)
    model.__class__ = type("Watched", (cls,), {"forward": lambda self, *x: cls.forward(self, *x)})


REFUSED = {f.__name__: f for f in (closed, of_another_model, another, class_with_another_forward)}


def patched(host, options=PRUNED):
    """A patched model, its inputs, the host's output, and the patched model's."""
    torch._dynamo.reset()
    model, inputs = host.make(), host.inputs()
    with torch.no_grad():
        expected = model(*inputs)
        host.patch(model, **options)
        return model, inputs, expected, model(*inputs)


def same(found, expected):
    # Compiled graphs and plain code may take different attention kernels.
    assert_close(found, expected, rtol=1e-5, atol=1e-5)


pytestmark = [
    pytest.mark.unhooked,
    pytest.mark.filterwarnings("ignore::FutureWarning:torch", "ignore::DeprecationWarning:torch"),
]


# Tracing takes longest.
CHANGES = [
    (host, change) for change in REACHED for host in (hosts.TRACED if change == "compiled" else hosts.GRAPHS)
]


@pytest.mark.parametrize(("graph_host", "change"), CHANGES, ids=lambda part: getattr(part, "name", part))
@torch.no_grad()
def test_a_forward_that_calls_the_patched_one_is_reached_through(graph_host, change):
    model, inputs, expected, pruned = patched(graph_host, SHALLOW if change == "compiled" else PRUNED)
    described = adapters.describe(model)
    REACHED[change](model)
    same(model(*inputs), pruned)
    assert adapters.describe(model) == described
    with adapters.unpruned(model):
        same(model(*inputs), expected)
    same(model(*inputs), pruned)
    htp = adapters.htp_of(model)
    htp.config = replace(htp.config, num_keep=5)
    same(model(*inputs), without_what_stands_over_it(model, inputs))
    htp.config = replace(htp.config, num_keep=3)
    over = model.forward
    adapters.unpatch(model)
    same(model(*inputs), expected)
    assert model.forward == over
    assert not adapters.is_patched(model)


def without_what_stands_over_it(model, inputs):
    return type(model).forward(model, *inputs)


@pytest.mark.parametrize("change", REFUSED)
@torch.no_grad()
def test_a_forward_that_hides_what_it_calls_is_refused_by_every_verb(graph_host, change):
    model, inputs, expected, pruned = patched(graph_host)
    htp = model.htp
    cls = type(model)
    REFUSED[change](model)
    changed = model(*inputs)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    attributes = {name: dict(vars(module)) for name, module in model.named_modules()}

    def assign():
        htp.config = replace(htp.config, num_keep=5)

    def enter():
        with adapters.unpruned(model):
            pass

    for verb in (
        assign,
        enter,
        lambda: adapters.unpatch(model),
        lambda: adapters.describe(model),
        lambda: adapters.htp_of(model),
        lambda: adapters.adapter_of(model),
    ):
        with pytest.raises(adapters.PatchError, match="since the patch") as caught:
            verb()
        assert "\n" not in str(caught.value)
        assert adapters.is_patched(model)
        assert torch.equal(model(*inputs), changed)
    for name, module in model.named_modules():
        assert all(value is attributes[name][key] for key, value in vars(module).items() if key != "_host")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())

    # What the message tells to do helps.
    vars(model).pop("forward", None)
    model.__class__ = cls
    same(model(*inputs), pruned)
    assert torch.equal(adapters.unpatch(model)(*inputs), expected)


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def parametrize_one(model):
    """Double a parameter of the host itself, which changes its class; if it has none, of the first layer."""
    names = [*(name for name, _ in model.named_parameters(recurse=False)), next(model.named_parameters())[0]]
    path, _, name = names[0].rpartition(".")
    parametrize.register_parametrization(model.get_submodule(path), name, Doubled())
    return model.get_submodule(path), name


@torch.no_grad()
def test_a_parametrization_is_reached_through(graph_host):
    plain = graph_host.make()
    inputs, cls = graph_host.inputs(), type(plain)
    model = graph_host.patch(deepcopy(plain), **PRUNED)
    expected = plain(*inputs)
    places = [parametrize_one(plain), parametrize_one(model)]
    assert not torch.equal(plain(*inputs), expected)
    expected = plain(*inputs)
    pruned = model(*inputs)
    adapters.describe(model)
    with adapters.unpruned(model):
        assert torch.equal(model(*inputs), expected)
    model.htp.config = replace(model.htp.config, num_keep=1.0, num_neighbors=1.0)
    same(model(*inputs), expected)
    model.htp.config = replace(model.htp.config, num_keep=3, num_neighbors=4)
    assert torch.equal(model(*inputs), pruned)

    twin = deepcopy(model)
    assert torch.equal(adapters.unpatch(model)(*inputs), expected)
    assert torch.equal(twin(*inputs), pruned)
    assert torch.equal(adapters.unpatch(twin)(*inputs), expected)
    for place in places:
        parametrize.remove_parametrizations(*place)
    assert type(model) is cls
    assert torch.equal(model(*inputs), plain(*inputs))


@torch.no_grad()
def test_a_parametrization_that_is_taken_off_again(graph_host):
    model, inputs, expected, pruned = patched(graph_host)
    parametrize.remove_parametrizations(*parametrize_one(model), leave_parametrized=False)
    assert torch.equal(model(*inputs), pruned)
    assert torch.equal(adapters.unpatch(model)(*inputs), expected)


@torch.no_grad()
def test_a_class_from_elsewhere(graph_host):
    model, inputs, expected, pruned = patched(graph_host)
    cls = type(model)
    # Sharding by FSDP extends the class like this, and leaves forward alone.
    model.__class__ = type("Sharded", (type("Shards", (), {}), cls), {})
    assert torch.equal(model(*inputs), pruned)
    with adapters.unpruned(model):
        assert torch.equal(model(*inputs), expected)
    assert adapters.describe(model).frames_kept == 3
    with pytest.raises(
        adapters.PatchError, match=r"the class Sharded, set since .* set model.__class__ back"
    ):
        adapters.unpatch(model)
    assert torch.equal(model(*inputs), pruned)

    model.__class__ = cls.__base__  # the host's own, by hand: what is left of the patch can be taken out
    assert adapters.is_patched(model)
    for verb in (adapters.describe, adapters.htp_of, lambda model: adapters.unpruned(model).__enter__()):
        with pytest.raises(adapters.PatchError, match=r"has since set its class .* call unpatch"):
            verb(model)
    assert torch.equal(adapters.unpatch(model)(*inputs), expected)
    assert not hasattr(model, "htp")


@torch.no_grad()
def test_compiling_in_place():
    host = hosts.TRACED[0]
    model, inputs, expected, pruned = patched(host, SHALLOW)
    model.compile(backend="eager")
    same(model(*inputs), pruned)
    with adapters.unpruned(model):
        same(model(*inputs), expected)
    same(model(*inputs), pruned)
    same(adapters.unpatch(model)(*inputs), expected)
    host.patch(model, **SHALLOW)
    same(model(*inputs), without_what_stands_over_it(model, inputs))


class Through(nn.Module):
    """A wrapper as torch.compile's: it calls what it holds, and has its attributes."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def __getattr__(self, name):
        return super().__getattr__(name) if name == "inner" else getattr(self.inner, name)

    def forward(self, *inputs):
        return self.inner(*inputs)


@torch.no_grad()
def test_htp_wrapped_or_gone(graph_host):
    model, inputs, expected, pruned = patched(graph_host)
    htp = model.htp
    model.htp = Through(htp)
    assert torch.equal(model(*inputs), pruned)
    assert adapters.htp_of(model) is htp
    with adapters.unpruned(model):
        assert torch.equal(model(*inputs), expected)
    del model.htp
    for verb in (adapters.describe, adapters.htp_of, adapters.unpatch):
        with pytest.raises(adapters.PatchError, match=r"no longer in the model .* put it back"):
            verb(model)
    model.htp = htp
    assert torch.equal(model(*inputs), pruned)
    model.htp = Through(htp)
    assert torch.equal(adapters.unpatch(model)(*inputs), expected)


def test_assigning_config_after_a_copy(graph_host):
    model = graph_host.patch(graph_host.make(), **PRUNED)
    twin = deepcopy(model)
    closed(twin)
    with pytest.raises(adapters.PatchError, match="since the patch"):
        twin.htp.config = replace(twin.htp.config, num_keep=5)
    model.htp.config = replace(model.htp.config, num_keep=5)
    assert twin.htp.config.num_keep == 3
