"""What others do to a model before and after a patch. Oracle: the host, and what the wrapper runs."""

import copy
import dataclasses
import threading

import pytest
import torch
from hosts import PRIORS, PUBLIC
from torch import nn

import adapters
from htp_modules import HTPConfig, SpatialGCN, record

HOST = PUBLIC[0]
PRUNED = {"num_sft_layers": 1, "num_keep": 4}


class Trained(nn.Module):
    """As PEFT wraps a module that is trained and saved whole: the original beside the copy that runs."""

    def __init__(self, module):
        super().__init__()
        self.original_module = module
        self.modules_to_save = nn.ModuleDict({"default": copy.deepcopy(module)})

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.modules_to_save["default"], name)

    def forward(self, *inputs, **options):
        return self.modules_to_save["default"](*inputs, **options)


def test_of_an_htp_and_its_trained_copy_the_one_that_runs_is_meant():
    model, inputs = HOST.make(), HOST.inputs()
    expected = model(*inputs)
    HOST.patch(model, **PRUNED)
    model.htp = Trained(model.htp)
    htp = adapters.htp_of(model)
    assert htp is model.htp.modules_to_save["default"]
    htp.config = dataclasses.replace(htp.config, num_keep=2)
    with record(model) as seen:
        model(*inputs)
    assert {kept.num_kept for kept in seen.kept} == {2} == {adapters.describe(model).frames_kept}
    with adapters.unpruned(model):
        assert torch.equal(model(*inputs), expected)
    adapters.unpatch(model)
    assert torch.equal(model(*inputs), expected)


def test_an_embedding_that_cannot_be_thawed_is_told_before_anything_changes():
    model, inputs = HOST.patch(HOST.make(), **PRUNED, from_scratch=True), HOST.inputs()
    embedding, cls = model.Spatial_patch_to_embedding, type(model)
    model.Spatial_patch_to_embedding = nn.Sequential(embedding)  # as LoRA wraps a layer
    expected = model(*inputs)
    with pytest.raises(adapters.PatchError, match=r"weight and .*bias, frozen by the patch, can be"):
        adapters.unpatch(model)
    assert type(model) is cls
    assert torch.equal(model(*inputs), expected)
    model.Spatial_patch_to_embedding = embedding
    adapters.unpatch(model)
    assert all(parameter.requires_grad for parameter in model.parameters())


class Logger:
    """Whose bound method is a hook, and which holds what cannot be copied."""

    def __init__(self):
        self.lock, self.calls = threading.Lock(), 0

    def log(self, *_):
        self.calls += 1


def test_hooks_that_cannot_be_copied_stay_and_are_not_called():
    model, logger = HOST.make(), Logger()
    model.register_forward_hook(logger.log)
    model.register_forward_pre_hook(logger.log)
    model.register_full_backward_hook(logger.log)
    HOST.patch(model, **PRUNED)
    assert adapters.describe(model).frames_kept == 4
    assert logger.calls == 0
    model(*HOST.inputs())
    assert logger.calls == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_another_default_dtype(dtype):
    model, inputs = HOST.make(), HOST.inputs()
    torch.set_default_dtype(dtype)
    try:
        HOST.patch(model, **PRUNED, spatial_gcn=True)
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert model(*inputs).isfinite().all()


def test_a_model_built_without_values_gets_the_skeleton_with_its_memory():
    found = SpatialGCN(2, 8, 17).to("meta").to_empty(device="cpu")
    assert torch.equal(found.skeleton, SpatialGCN(2, 8, 17).skeleton)


def test_the_pair_with_the_priors_is_counted_before_the_blocks():
    host = next(host for host in PRIORS if host.name == "ktpformer")
    model = host.patch(host.make(), **PRUNED)
    seen = {}

    def look(key, x):
        seen[key] = x[0].shape

    for name in ("STEblocks", "TTEblocks"):
        for number, block in enumerate(getattr(model, name)):
            block.norm1.register_forward_hook(lambda _m, x, _y, key=(name, number): look(key, x))
    model(*host.inputs())
    assert seen["STEblocks", 0][0] == 2 * 9  # all frames
    assert seen["STEblocks", 1][0] == 2 * 4  # those that are kept
    places = adapters.KTPFORMER.places(HTPConfig(**PRUNED), "prior")
    assert places[1].startswith("SFT MHSA: the TPA block and temporal block 0 attend under the mask")
    assert places[2].startswith("MGPTP before spatial block 1;")
