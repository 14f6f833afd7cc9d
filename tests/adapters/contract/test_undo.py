"""What a patch leaves of a host while it is there, and after it is gone."""

import gc
import inspect
import io
import pickle
import weakref
from copy import deepcopy

import pytest
import torch
from torch.testing import assert_close

import adapters

PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}


def anatomy(model):
    """Everything about a model that a patch could leave behind, tensors by identity."""
    return {
        name: (
            type(module),
            {
                key: value
                for key, value in vars(module).items()
                if key not in ("_modules", "_parameters", "_buffers")
            },
            list(module._modules),
            {key: id(value) for key, value in (*module._parameters.items(), *module._buffers.items())},
            {key: p.requires_grad for key, p in module._parameters.items() if p is not None},
        )
        for name, module in model.named_modules()
    }


@pytest.mark.parametrize("from_scratch", [False, True])
def test_unpatch_restores_everything(host, from_scratch):
    model, inputs = host.make(), host.inputs()
    seen = []
    model.register_forward_hook(lambda *_: seen.append(1))
    before, keys, expected = anatomy(model), list(model.state_dict()), model(*inputs)
    assert host.patch(model, from_scratch=from_scratch, spatial_gcn=True, **PRUNED) is model
    assert adapters.is_patched(model)
    model(*inputs)
    assert len(seen) == 2
    assert adapters.unpatch(model) is model
    assert not adapters.is_patched(model)
    assert anatomy(model) == before
    assert list(model.state_dict()) == keys
    assert torch.equal(model(*inputs), expected)
    assert not hasattr(model, "htp")


def test_unpatch_after_an_exception_inside_forward(host):
    model, inputs = host.make(), host.inputs()
    before, expected = anatomy(model), model(*inputs)
    host.patch(model, **PRUNED)
    handle = model.htp.mgptp.register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(*inputs)
    handle.remove()
    adapters.unpatch(model)
    assert anatomy(model) == before
    assert torch.equal(model(*inputs), expected)


def test_a_failed_patch_leaves_the_model_alone(host, monkeypatch):
    model, inputs = host.make(), host.inputs()
    before, expected = anatomy(model), model(*inputs)
    for name in ("refresh_distributed", "build", "check_computation"):
        with monkeypatch.context() as patches:
            patches.setattr(f"adapters.patching.{name}", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                host.patch(model, **PRUNED)
        assert anatomy(model) == before
    assert torch.equal(model(*inputs), expected)


def test_patching_twice_and_unpatching_nothing(host):
    model = host.make()
    with pytest.raises(adapters.PatchError, match="not patched"):
        adapters.unpatch(model)
    with pytest.raises(adapters.PatchError, match="not patched"), adapters.unpruned(model):
        pass
    with pytest.raises(adapters.PatchError, match="not patched"):
        adapters.htp_of(model)
    host.patch(model, **PRUNED)
    with pytest.raises(adapters.PatchError, match="patched already"):
        host.patch(model, **PRUNED)
    with pytest.raises(adapters.PatchError, match="patched already"):
        adapters.patch(model, **PRUNED)


def test_patching_again_after_unpatching(host):
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    for _ in range(2):
        adapters.patch(model, num_keep=1.0, num_neighbors=1.0, num_sft_layers=2)
        assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)
        adapters.unpatch(model)


def test_patching_draws_the_same_numbers_whatever_it_checks(host):
    draws = []
    for check in (True, False):
        model = host.make()
        torch.manual_seed(3)
        with pytest.MonkeyPatch.context() as patches:
            if not check:
                patches.setattr("adapters.patching.check_computation", lambda *_, **__: None)
            host.patch(model, **PRUNED)
        draws.append(torch.rand(3))
    assert torch.equal(*draws)


def test_parameters_are_the_hosts_own(host):
    model = host.make()
    parameters = dict(model.named_parameters())
    keys = list(model.state_dict())
    host.patch(model, **PRUNED)
    after = dict(model.named_parameters())
    assert all(after[name] is parameter for name, parameter in parameters.items())
    added = [key for key in model.state_dict() if key not in keys]
    assert added
    assert all(key.startswith("htp.") for key in added)
    assert [key for key in model.state_dict() if key not in added] == keys


def test_the_class_is_still_the_hosts(host):
    model = host.make()
    cls, signature = type(model), inspect.signature(model.forward)
    host.patch(model, **PRUNED)
    assert isinstance(model, cls)
    assert "forward" not in vars(model)
    assert inspect.signature(model.forward) == signature
    other = host.patch(host.make(), num_keep=5, num_sft_layers=0)
    assert type(other) is type(model)


def test_keywords_and_wrong_arguments(host):
    model, inputs = host.patch(host.make(), **PRUNED), host.inputs()
    expected = model(*inputs)
    names = list(inspect.signature(model.forward).parameters)[: len(inputs)]
    assert torch.equal(model(**dict(zip(names, inputs, strict=True))), expected)
    assert torch.equal(model(inputs[0], **dict(zip(names[1:], inputs[1:], strict=True))), expected)
    with pytest.raises(TypeError, match="missing a required argument"):
        model()
    with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
        model(*inputs, speed=2)
    with pytest.raises(TypeError, match="multiple values"):
        model(*inputs, **{names[0]: inputs[0]})
    with pytest.raises(TypeError, match="too many positional"):
        model(*inputs, 1, 2, 3)


def test_state_dict_loads_before_and_after(host):
    source, inputs = host.make(), host.inputs()
    state, expected = source.state_dict(), source(*inputs)
    target = host.patch(host.make(), **PRUNED)
    result = target.load_state_dict(state, strict=False)
    assert not result.unexpected_keys
    assert all(key.startswith("htp.") for key in result.missing_keys)
    with adapters.unpruned(target):
        assert torch.equal(target(*inputs), expected)
    adapters.unpatch(target).load_state_dict(state)

    first, second = (host.patch(host.make(), **PRUNED) for _ in range(2))
    second.load_state_dict(first.state_dict())
    assert torch.equal(second(*inputs), first(*inputs))


def test_an_optimizer_from_before_keeps_training(host):
    model, inputs = host.make(), host.inputs()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    model(*inputs).square().mean().backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}  # by the host alone
    model.zero_grad()
    host.patch(model, **PRUNED)
    added = {name: p.detach().clone() for name, p in model.htp.named_parameters()}
    optimizer.add_param_group({"params": list(model.htp.parameters()), "lr": 0.0})
    model(*inputs).square().mean().backward()
    optimizer.step()
    moved = [name for name, p in before.items() if not torch.equal(model.get_parameter(name), p)]
    assert set(moved) == trained
    assert all(torch.equal(model.htp.get_parameter(name), p) for name, p in added.items())


@pytest.mark.parametrize("spatial_gcn", [True, False])
def test_everything_added_learns(host, spatial_gcn):
    # The zero starts hold gradients back at first; after two steps every parameter has moved.
    model, inputs = host.make().train(), host.inputs()
    host.patch(model, spatial_gcn=spatial_gcn, **PRUNED)
    before = {name: p.detach().clone() for name, p in model.htp.named_parameters()}
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(*inputs).square().mean().backward()
        optimizer.step()
    still = [name for name, p in before.items() if torch.equal(model.htp.get_parameter(name), p)]
    # A bias before a batch norm is subtracted again: its gradient is rounding.
    assert not [name for name in still if not name.endswith(("bias", "adjacency"))], still


def test_deepcopy_is_independent(host):
    model, inputs = host.patch(host.make(), **PRUNED), host.inputs()
    expected = model(*inputs)
    twin = deepcopy(model)
    assert type(twin) is type(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert torch.equal(twin(*inputs), expected)
    adapters.unpatch(twin)
    assert adapters.is_patched(model)


def test_pickle_and_torch_save_of_the_whole_model(host):
    model, inputs = host.patch(host.make(), **PRUNED), host.inputs()
    expected = model(*inputs)
    for protocol in (2, pickle.HIGHEST_PROTOCOL):
        again = pickle.loads(pickle.dumps(model, protocol))
        assert type(again) is type(model)
        assert torch.equal(again(*inputs), expected)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)  # the bytes were written two lines above
    assert torch.equal(again(*inputs), expected)
    with adapters.unpruned(model):
        plain = model(*inputs)
    assert torch.equal(adapters.unpatch(again)(*inputs), plain)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_kept(host, training):
    model = host.make().train(training)
    host.patch(model, **PRUNED)
    assert all(module.training == training for module in model.modules())
    model.train(not training)
    assert all(module.training != training for module in model.modules())
    adapters.unpatch(model)
    assert model.training != training


def test_nothing_keeps_an_unpatched_htp_alive(host):
    model = host.patch(host.make(), **PRUNED)
    added = weakref.ref(model.htp)
    adapters.unpatch(model)
    gc.collect()
    assert added() is None


def test_only_htp_joins_the_model(host):
    model = host.make()
    model.adapter, model.host, model.forwarded = "mine", "its own", 3
    names, of_class = set(dir(model)), set(dir(type(model)))
    host.patch(model, **PRUNED)
    assert (model.adapter, model.host, model.forwarded) == ("mine", "its own", 3)
    assert set(dir(model)) - names == {"htp"}
    assert set(dir(type(model))) - of_class == set()
    # Nor do the class's class or its attributes hold more than the host's.
    body = {name for name in vars(type(model)) if not name.startswith("__")}
    assert body == {"forward"}
    assert not {name for name in vars(type(type(model))) if not name.startswith("__")}
    with pytest.raises(AttributeError):
        type(model).adapter  # noqa: B018
