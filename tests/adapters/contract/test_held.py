"""A host inside other modules: the one that is there is found by structure.

Oracle: the host's own output from before the patch, and the patched model's.
"""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import adapters

PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}
OTHER = {"num_neighbors": 4, "num_keep": 5, "num_sft_layers": 1}


class Lightning(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.loss = nn.L1Loss()
        self.net = net

    def forward(self, *inputs):
        return self.net(*inputs)


HOLDERS = {
    "an average of weights": AveragedModel,
    "a sequence": lambda model: nn.Sequential(model, nn.Identity()),
    "by name": lambda model: nn.ModuleDict({"lifter": model}),
    "a training module": Lightning,
    "several deep": lambda model: nn.DataParallel(Lightning(nn.ModuleList([model]))),
}


@pytest.mark.parametrize("holder", HOLDERS)
@torch.no_grad()
def test_a_module_that_holds_one_host_is_looked_through(graph_host, holder, monkeypatch):
    # Counting takes longer than all the rest, and does not see what is around the host; test_describe counts.
    monkeypatch.setattr("adapters.counting.matmul_macs", lambda model, inputs: len(inputs))
    model, inputs = graph_host.make(), graph_host.inputs()
    expected = model(*inputs)
    pruned = graph_host.patch(model, **PRUNED)(*inputs)
    held = HOLDERS[holder](model)
    inner = next(module for module in held.modules() if type(module) is type(model))
    assert adapters.is_patched(held)
    assert adapters.htp_of(held) is inner.htp
    assert adapters.describe(held) == adapters.describe(model)
    with adapters.unpruned(held):
        assert torch.equal(inner(*inputs), expected)
    assert torch.equal(inner(*inputs), pruned)
    assert adapters.unpatch(held) is held
    assert torch.equal(inner(*inputs), expected)
    assert graph_host.patch(held, **OTHER) is held
    assert adapters.is_patched(inner)


def test_a_module_that_holds_several_hosts(graph_host):
    pair = nn.ModuleDict({"student": graph_host.make(), "teacher": graph_host.make()})
    with pytest.raises(adapters.PatchError, match="holds 2 hosts; call with one of them: student, teacher"):
        adapters.patch(pair)
    adapters.patch(pair["student"], **PRUNED)
    assert not adapters.is_patched(pair["teacher"])
    assert adapters.htp_of(pair) is pair["student"].htp
    adapters.patch(pair["teacher"], **PRUNED)
    for verb in (adapters.unpatch, adapters.describe, adapters.htp_of, adapters.is_patched):
        with pytest.raises(adapters.PatchError, match="2 patched hosts; call with one of them: student, t"):
            verb(pair)


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("what", "got"), [(None, "None"), ({"a": 1}, "dict"), (nn.Linear, "the class Linear; build it first")]
)
@pytest.mark.parametrize(
    "verb", ["patch", "unpatch", "describe", "htp_of", "is_patched", "adapter_of", "patch_mixste"]
)
def test_what_is_no_model(verb, what, got):
    with pytest.raises(adapters.UnrecognisedHostError, match=f"expected a torch.nn.Module, got {got}"):
        getattr(adapters, verb)(what)
