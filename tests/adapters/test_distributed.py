"""DistributedDataParallel of one process, set up again by a patch. Oracle: one that is made around the model.

Two processes are in contract/test_wrapped.py.
"""

import hosts
import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import adapters
from adapters import PatchError

HOST = hosts.PUBLIC[0]
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}
OPTIONS = {
    "none": {},
    "buckets of a size": {"bucket_cap_mb": 3, "gradient_as_bucket_view": True},
    "unused parameters": {"find_unused_parameters": True, "dim": 0},
    "a static graph": {"static_graph": True},
}


@pytest.fixture(autouse=True)
def one_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def plain_values(wrapper):
    """What a wrapper holds that can be compared."""
    kinds = (bool, int, float, str, type(None))
    return {
        name: value
        for name, value in vars(wrapper).items()
        if isinstance(value, kinds) or (isinstance(value, list) and all(isinstance(x, kinds) for x in value))
    }


@pytest.mark.parametrize("name", OPTIONS)
def test_the_options_stay(name):
    options = OPTIONS[name] | {"process_group": dist.new_group([0])}
    wrapper = DistributedDataParallel(HOST.make(), **options).eval()
    seen = []
    handle = wrapper.register_forward_pre_hook(lambda *_: seen.append(1))
    before, reducer, host = set(vars(wrapper)), wrapper.reducer, wrapper.module
    assert adapters.patch(wrapper, **PRUNED) is wrapper
    assert wrapper.module is host
    assert wrapper.reducer is not reducer
    assert set(vars(wrapper)) == before
    assert plain_values(wrapper) == plain_values(DistributedDataParallel(host, **options).eval())
    assert wrapper.process_group is options["process_group"]
    assert not wrapper.training
    wrapper(*HOST.inputs()).sum().backward()
    assert seen == [1]
    assert all(parameter.grad is not None for parameter in host.htp.parameters())
    handle.remove()
    reducer = wrapper.reducer
    adapters.unpatch(wrapper)
    assert wrapper.reducer is not reducer
    assert plain_values(wrapper) == plain_values(DistributedDataParallel(host, **options).eval())


@pytest.mark.parametrize("broadcast", [True, False])
@pytest.mark.filterwarnings("ignore:.broadcast_buffers. is deprecated:FutureWarning")
def test_whether_buffers_are_broadcast_stays(broadcast):
    wrapper = DistributedDataParallel(HOST.make(), broadcast_buffers=broadcast)
    assert adapters.patch(wrapper, **PRUNED).broadcast_buffers is broadcast


@pytest.mark.parametrize("newer", [False, True])
def test_every_option_is_handed_on(monkeypatch, newer):
    # Those of a GPU, and those that are not in every release, by name.
    wrapper = DistributedDataParallel(HOST.make())
    given = {"device_ids": [3], "output_device": 3, "dim": 1, "process_group": "group", "static_graph": True}
    given |= {"find_unused_parameters": True, "gradient_as_bucket_view": True, "bucket_cap_mb": 2.5}
    names = ("skip_all_reduce_unused_params", "batched_grad_copy")
    for name in names:
        vars(wrapper).pop(name, None)
    if newer:
        given |= {**dict.fromkeys(names, True), "bucket_cap_mb_list": [0.5, 2.5]}
    vars(wrapper).update({name: value for name, value in given.items() if not name.startswith("bucket")})
    wrapper.bucket_bytes_cap_default, wrapper.bucket_bytes_cap = False, 5 * 2**19
    wrapper.bucket_bytes_cap_list = [2**19, 5 * 2**19] if newer else []
    seen = []
    monkeypatch.setattr(
        DistributedDataParallel, "__init__", lambda self, *args, **options: seen.append((self, args, options))
    )
    adapters.patch(wrapper, **PRUNED)
    assert seen == [(wrapper, (wrapper.module,), given)]
    wrapper.bucket_bytes_cap_default = True
    del wrapper.bucket_bytes_cap_list
    adapters.unpatch(wrapper)
    given = {name: value for name, value in given.items() if not name.startswith("bucket")}
    assert seen[1:] == [(wrapper, (wrapper.module,), given)]


@pytest.mark.parametrize("verb", ["patch", "unpatch"])
def test_a_wrapper_that_cannot_be_set_up_again_is_left_as_it_was(monkeypatch, verb):
    wrapper, inputs = DistributedDataParallel(HOST.make()), HOST.inputs()
    if verb == "unpatch":
        adapters.patch(wrapper, **PRUNED)
    expected, before, cls = wrapper(*inputs), dict(vars(wrapper)), type(wrapper.module)
    htp = wrapper.module._modules.get("htp")
    learns = {name: p.requires_grad for name, p in wrapper.named_parameters()}

    def fail(self, *_, **__):
        nn.Module.__init__(self)
        self.left = 1
        raise RuntimeError("connection lost")

    monkeypatch.setattr(DistributedDataParallel, "__init__", fail)
    with pytest.raises(RuntimeError, match="connection lost"):
        getattr(adapters, verb)(wrapper, **(PRUNED if verb == "patch" else {}))
    assert vars(wrapper).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(wrapper).items())
    assert type(wrapper.module) is cls
    assert wrapper.module._modules.get("htp") is htp
    assert {name: p.requires_grad for name, p in wrapper.named_parameters()} == learns
    assert torch.equal(wrapper(*inputs), expected)


def compressed(wrapper):
    wrapper.register_comm_hook(None, lambda _, bucket: bucket.buffer())


REFUSED = {
    "a hook": compressed,
    "mixed precision": lambda wrapper: setattr(wrapper, "mixed_precision", object()),
    "delayed parameters": lambda wrapper: setattr(wrapper, "_delay_all_reduce_params", [1]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_lost_is_refused(name):
    for verb in (lambda wrapper: adapters.patch(wrapper, **PRUNED), adapters.unpatch):
        wrapper = DistributedDataParallel(HOST.make())
        if verb is adapters.unpatch:
            adapters.patch(wrapper, **PRUNED)
        REFUSED[name](wrapper)
        patched, reducer = adapters.is_patched(wrapper), wrapper.reducer
        with pytest.raises(PatchError, match="cannot be set up again; patch the model first"):
            verb(wrapper)
        assert adapters.is_patched(wrapper) == patched
        assert wrapper.reducer is reducer


def test_a_wrapper_of_an_older_release_without_these_attributes():
    wrapper = DistributedDataParallel(HOST.make())
    for name in ("_comm_hooks", "mixed_precision", "_delay_all_reduce_params"):
        delattr(wrapper, name)
    adapters.distributed.check_distributed(wrapper, wrapper.module)


def test_wrappers_of_other_modules_are_left_alone():
    pair = nn.ModuleDict({"lifter": HOST.make(), "other": DistributedDataParallel(nn.Linear(2, 2))})
    compressed(pair["other"])
    reducer = pair["other"].reducer
    adapters.patch(pair, **PRUNED)
    assert adapters.is_patched(pair["lifter"])
    assert pair["other"].reducer is reducer
    # The host in hand: what stands around it elsewhere cannot be known.
    wrapper = DistributedDataParallel(HOST.make())
    reducer = wrapper.reducer
    adapters.patch(wrapper.module, **PRUNED)
    assert wrapper.reducer is reducer
