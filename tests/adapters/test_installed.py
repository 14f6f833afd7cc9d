"""What stands over a patched forward, function by function. Oracle: which model a call runs, by hand."""

import copyreg
import io
import pickle
from copy import deepcopy
from functools import partial, partialmethod, wraps
from types import MethodType, SimpleNamespace

import hosts
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

import adapters
from adapters import PatchError
from adapters.installed import (
    _INSTALLED,
    PatchedType,
    _leads_to,
    _name,
    class_without,
    installed,
    installed_class,
    patched_class,
)
from adapters.patching import find_htp

HOST = hosts.PUBLIC[0]
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}


@pytest.fixture
def model():
    return HOST.patch(HOST.make(), **PRUNED)


def wrapped(function, times=1):
    for _ in range(times):
        inner = function

        @wraps(inner)
        def function(*args, inner=inner):
            return inner(*args)

    return function


def test_what_leads_to_a_function():
    host, other = nn.Module(), nn.Module()

    def forward(self):
        return self

    def another(self):
        return self

    assert _leads_to(forward, forward, host)
    assert _leads_to(MethodType(forward, host), forward, host)
    assert not _leads_to(MethodType(forward, other), forward, host)
    assert not _leads_to(another, forward, host)
    assert not _leads_to(MethodType(another, host), forward, host)
    assert not _leads_to(None, forward, host)
    assert not _leads_to(partial(forward, host), forward, host)  # it does not say what it calls
    assert _leads_to(wrapped(MethodType(forward, host)), forward, host)
    assert not _leads_to(wrapped(MethodType(forward, other)), forward, host)
    compiled = SimpleNamespace(_torchdynamo_orig_callable=MethodType(forward, host))
    assert _leads_to(compiled, forward, host)
    # Whatever is in the way, one of the names that it has leads on.
    both = SimpleNamespace(__wrapped__=None, _torchdynamo_orig_callable=None, __func__=forward)
    assert _leads_to(both, forward, host)
    assert _leads_to(wrapped(forward, 49), forward, host)
    assert not _leads_to(wrapped(forward, 50), forward, host)  # or in a circle
    circle = SimpleNamespace()
    circle.__wrapped__ = circle
    assert not _leads_to(circle, forward, host)


def test_the_name_of_what_stands_over_a_forward():
    def inner():
        pass

    assert _name(inner) == f"{__name__}.test_the_name_of_what_stands_over_a_forward.<locals>.inner"
    assert _name(SimpleNamespace(a=1)) == "types.SimpleNamespace"
    assert _name(partial(inner)) == "functools.partial"
    assert _name(SimpleNamespace(__qualname__="Run.it", __module__="profiler")) == "profiler.Run.it"
    assert _name(SimpleNamespace(__qualname__=None, __module__=None)) == "types.SimpleNamespace"
    assert _name(partialmethod(inner)) == "functools.partialmethod"


def over(model):
    with pytest.raises(PatchError) as caught:
        installed(model)
    return str(caught.value)


@pytest.mark.unhooked
def test_a_forward_that_was_set_on_the_model(model):
    forward = model.forward
    for function in (forward, wrapped(forward)):
        model.forward = function
        assert installed(model).adapter is adapters.MIXSTE
    model.forward = lambda *inputs: forward(*inputs)
    assert over(model) == (
        f"something has set forward on the MixSTE2 since the patch ({__name__}."
        "test_a_forward_that_was_set_on_the_model.<locals>.<lambda>), and it does not lead to the patched "
        "forward of this model; take it off (del model.forward) and call again"
    )
    model.forward = deepcopy(model).forward  # of another model
    assert "something has set forward on the MixSTE2" in over(model)
    del model.forward
    assert installed(model).host.__name__ == "MixSTE2"


def test_a_class_that_was_set_on_the_model(model):
    patched = type(model)
    model.__class__ = type("Watched", (patched,), {"forward": lambda self, x: patched.forward(self, x)})
    assert over(model) == (
        "the class Watched, set since the patch, has a forward that does not lead to the patched one of "
        "MixSTE2; set model.__class__ back and call again"
    )
    model.__class__ = type("Counted", (patched,), {"forward": wrapped(patched.forward)})
    assert installed(model).forward is vars(patched)["forward"]
    for owner in (model, HOST.patch(HOST.make(), **PRUNED)):
        bound = MethodType(patched.forward, owner)
        forward = wraps(bound)(lambda self, x, bound=bound: bound(x))
        model.__class__ = type("Bound", (patched,), {"forward": forward})
        if owner is model:
            assert installed(model).forward is vars(patched)["forward"]
        else:
            assert over(model).startswith("the class Bound, set since the patch, has a forward that does not")
    model.__class__ = installed_class(model)
    model.__class__ = installed(model).host
    assert installed_class(model) is None
    assert over(model) == (
        "the model was patched, but something has since set its class to MixSTE2, which does not run HTP; "
        "call unpatch(model) and patch it again"
    )


class Doubled(nn.Module):
    def forward(self, x):
        return 2 * x


def test_the_class_without_the_patch(model):
    host = installed(model).host
    assert class_without(model) is host
    assert class_without(HOST.make()) is host
    parametrize.register_parametrization(model, "Spatial_pos_embed", Doubled())
    cls, without = type(model), class_without(model)
    assert (without.__name__, without.__bases__) == (cls.__name__, (host,))
    assert set(vars(without)) == set(vars(cls))
    assert vars(without)["Spatial_pos_embed"] is vars(cls)["Spatial_pos_embed"]
    # A class from elsewhere is not taken apart, parametrized or not.
    for further in (type("Other", (cls,), {}), type("Mixed", (nn.Identity, cls), {})):
        model.__class__ = further
        with pytest.raises(
            PatchError, match=rf"the class {further.__name__}, set since the patch, extends the "
        ):
            class_without(model)
    plain = HOST.patch(HOST.make(), **PRUNED)
    plain.__class__ = type("Sharded", (type(plain),), {})
    with pytest.raises(PatchError, match="extends the patched MixSTE2, which cannot be taken from under it"):
        class_without(plain)


def test_a_patched_class_is_what_its_host_is():
    host = type(HOST.make())
    made = patched_class(host, adapters.MIXSTE)
    assert type(made) is PatchedType
    assert (made.__name__, made.__module__, made.__doc__) == ("HTPMixSTE2", host.__module__, host.__doc__)
    assert made.forward.__doc__ == host.forward.__doc__
    assert _INSTALLED[made].forward is vars(made)["forward"]


def test_a_class_that_no_patch_made_pickles_by_its_name():
    made = PatchedType("Made", (), {"__module__": __name__})
    globals()["Made"] = made
    try:
        assert copyreg.dispatch_table[PatchedType](made) == "Made"
        assert pickle.loads(pickle.dumps(made)) is made
    finally:
        del globals()["Made"]


def test_a_copy_knows_the_host_that_it_lies_in(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for twin in (deepcopy(model), torch.load(file, weights_only=False)):
        twin.forward = lambda x: x
        with pytest.raises(PatchError, match="since the patch"):
            twin.htp.config = model.htp.config
    model.htp.config = model.htp.config  # the model itself is as it was
    assert "_host" not in model.htp.__getstate__()
    # A copy of what was added alone belongs to nobody, until it is found in a host.
    alone = deepcopy(model.htp)
    alone.config = model.htp.config
    assert alone._host is None
    model.htp = alone
    assert find_htp(model) == (model, alone)
    assert alone._host() is model


def test_what_was_added_stays_with_its_first_host(model):
    other = HOST.patch(HOST.make(), **PRUNED)
    htp = model.htp
    htp.belongs_to(other)
    assert htp._host() is model
    del model
    # Its host is gone: it belongs to whom it is given.
    alone = deepcopy(htp)
    alone.belongs_to(other)
    assert alone._host() is other
