"""The verbs on one small host, step by step. Oracle: what each step was given, and the host from before."""

import importlib
from dataclasses import replace

import hosts
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import adapters
from adapters import PatchError
from adapters.host_htp import HostHTP
from htp_modules import ConfigError, HTPConfig, ShapeError

patching = importlib.import_module("adapters.patching")
HOST = hosts.PUBLIC[0]
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}


def test_what_the_steps_of_a_patch_are_given(monkeypatch):
    model = nn.ModuleDict({"lifter": HOST.make()})
    host, seen, original = model["lifter"], [], type(model["lifter"])

    def note(name, answer=None):
        return lambda *given, **options: seen.append((name, *given, options)) or answer

    for name in ("check_distributed", "check_computation", "refresh_distributed"):
        monkeypatch.setattr(patching, name, note(name))
    adapters.patch(model, **PRUNED, from_scratch=True)
    config, patched, facts = host.htp.config, type(host), host.htp.facts
    assert seen == [
        ("check_distributed", model, host, {}),
        ("check_computation", host, adapters.MIXSTE, facts, config, patching.install, patched, {}),
        ("refresh_distributed", model, host, {}),
    ]
    assert host.htp.from_scratch
    assert patched.__bases__ == (original,)
    seen.clear()
    adapters.unpatch(model)
    assert seen == [("check_distributed", model, host, {}), ("refresh_distributed", model, host, {})]


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_unpatch_that_fails_at_its_last_step_changes_nothing(monkeypatch, wrapped):
    model, inputs = HOST.patch(HOST.make(), **PRUNED, from_scratch=True), HOST.inputs()
    if wrapped:
        model.htp = nn.Sequential(model.htp)
        model.htp.enabled = model.htp[0].enabled
    cls, added, learns = type(model), model.htp, [p.requires_grad for p in model.parameters()]
    monkeypatch.setattr(patching, "refresh_distributed", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        adapters.unpatch(model)
    assert type(model) is cls
    assert model.htp is added
    assert list(model._modules)[-1] == "htp"
    assert [p.requires_grad for p in model.parameters()] == learns
    assert not model.Spatial_patch_to_embedding.weight.requires_grad
    if not wrapped:
        assert model(*inputs).isfinite().all()


def test_a_patch_that_fails_at_its_last_steps_changes_nothing(monkeypatch):
    for name in ("install", "refresh_distributed"):
        model, inputs = HOST.make(), HOST.inputs()
        expected, cls = model(*inputs), type(model)
        with monkeypatch.context() as patches:
            patches.setattr(patching, "check_computation", lambda *_: None)
            patches.setattr(patching, name, lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                adapters.patch(model, **PRUNED, from_scratch=True)
        assert type(model) is cls
        assert "htp" not in model._modules
        assert all(p.requires_grad for p in model.parameters())
        assert torch.equal(model(*inputs), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("training", [True, False])
def test_what_is_added_is_like_the_host(dtype, training):
    facts = adapters.MIXSTE.probe(HOST.make())
    model = HOST.make().to(dtype).train(training)
    for device in ("cpu", "meta"):
        with torch.device("meta"):  # whatever is set around it
            htp = patching.build(
                model.to(device), adapters.MIXSTE, facts, HTPConfig(num_sft_layers=1), from_scratch=False
            )
        assert {(x.device.type, x.dtype) for x in htp.parameters()} == {(device, dtype)}
        assert all(part.training is training for part in htp.modules())
        assert isinstance(htp, HostHTP)
        assert htp.frozen == ()


def test_which_module_is_patched():
    pair = nn.ModuleDict({"first": HOST.make(), "second": HOST.make(), "third": HOST.make()})
    assert patching.find_patched(pair) is None
    assert not adapters.is_patched(pair)
    patched = HOST.patch(pair["second"], **PRUNED)
    assert patching.find_patched(pair) is patched
    assert patching.find_htp(pair) == (patched, patched.htp)
    HOST.patch(pair["first"], **PRUNED)
    with pytest.raises(
        PatchError, match=r"the model holds 2 patched hosts; call with one of them: first, second$"
    ):
        adapters.is_patched(pair)
    # Half of a patch is one: the class without what was added, and what was added without the class.
    htp, cls = patched.htp, type(patched)
    del patched.htp
    assert adapters.is_patched(patched)
    with pytest.raises(
        PatchError, match=r"no longer in the model \(HTPMixSTE2.htp is NoneType\); put it back"
    ):
        adapters.htp_of(patched)
    patched.htp = nn.Identity()
    with pytest.raises(
        PatchError, match=r"no longer in the model \(HTPMixSTE2.htp is Identity\); put it back"
    ):
        adapters.htp_of(patched)
    patched.htp, patched.__class__ = htp, cls.__base__
    assert adapters.is_patched(patched)
    adapters.unpatch(patched)
    assert not adapters.is_patched(patched)
    assert "htp" not in patched._modules


def test_unpatching_what_another_class_was_set_on():
    model = HOST.patch(HOST.make(), **PRUNED)
    model.forward = lambda x: x
    with pytest.raises(PatchError, match="something has set forward"):
        adapters.unpatch(model)
    assert adapters.is_patched(model)


def test_pruning_is_off_inside_the_block_and_as_before_after_it():
    model = HOST.patch(HOST.make(), **PRUNED)
    with adapters.unpruned(model) as same:
        assert same is model
        assert model.htp.enabled is False
        with adapters.unpruned(model):
            assert model.htp.enabled is False
        assert model.htp.enabled is False
    assert model.htp.enabled is True


def test_one_pair_of_blocks_too_many():
    for n, fits in ((2, True), (3, False)):
        model = HOST.make()
        if fits:
            assert adapters.patch(model, num_sft_layers=n).htp.config.num_sft_layers == 2
            continue
        with pytest.raises(ConfigError) as refused:
            adapters.patch(model, num_sft_layers=n)
        assert str(refused.value) == (
            "num_sft_layers=3 leaves no pair of blocks for the first: this MixSTE has 3; give at most 2"
        )


def test_options_over_a_config_and_over_the_defaults():
    model = hosts.PUBLIC[3].patch(hosts.PUBLIC[3].make(), num_keep=2)
    assert model.htp.config == HTPConfig(num_sft_layers=2, spatial_gcn=False, num_keep=2)
    given = HTPConfig(num_sft_layers=0, num_keep=4)
    assert HOST.patch(HOST.make(), given, spatial_gcn=False).htp.config == replace(given, spatial_gcn=False)


@pytest.mark.unhooked
def test_clips_and_their_embedding():
    model = HOST.patch(HOST.make(), num_sft_layers=1, from_scratch=True)
    clip, calls = torch.randn(2, 9, 5, 2), []

    def embedding(pose):
        calls.append(pose)
        return torch.ones(2, 9, 5, 8)

    assert_close(model.htp.embed(clip, embedding), model.htp.spatial_gcn(clip))
    assert not calls
    beside = HOST.patch(HOST.make(), num_sft_layers=1)
    with torch.no_grad():
        beside.htp.spatial_gain += 0.5
    expected = 1 + 0.5 * beside.htp.spatial_gcn(clip)
    assert_close(beside.htp.embed(clip, embedding), expected)
    plain = HOST.patch(HOST.make(), num_sft_layers=1, spatial_gcn=False)
    assert plain.htp.embed(clip, embedding).mean() == 1
    assert all(pose is clip for pose in calls)
    assert len(calls) == 2
    for wrong in (clip[0], clip[:, :, :4], clip[..., :1]):
        with pytest.raises(ShapeError, match=r"expected poses \(batch, frames, 5, 2\), got shape"):
            plain.htp.embed(wrong, embedding)
    with pytest.raises(ShapeError, match="built for up to 9 frames, got 10; cut the sequence"):
        plain.htp.embed(torch.zeros(1, 10, 5, 2), embedding)
    assert plain.htp.embed(clip[:, :1], embedding) is not None


@pytest.mark.unhooked
def test_a_config_is_an_htpconfig():
    model = HOST.make()
    with pytest.raises(ConfigError, match="config expects an HTPConfig, got dict"):
        adapters.patch(model, {"num_keep": 3})
    with pytest.raises(ConfigError, match="config expects an HTPConfig, got dict"):
        adapters.benchmark(model, config={"num_keep": 3})
    assert not adapters.is_patched(model)
    HOST.patch(model, **PRUNED)
    with pytest.raises(ConfigError, match="config expects an HTPConfig, got dict"):
        model.htp.config = {"num_keep": 3}


def test_an_htp_that_was_taken_out_takes_no_config():
    model = HOST.patch(HOST.make(), **PRUNED)
    stale = adapters.htp_of(model)
    adapters.unpatch(model)
    with pytest.raises(PatchError, match=r"taken out of its model: assign htp_of\(model\).config"):
        stale.config = HTPConfig(num_keep=2, num_sft_layers=1)
    HOST.patch(model, **PRUNED)
    with pytest.raises(PatchError, match="taken out of its model"):
        stale.config = HTPConfig(num_keep=2, num_sft_layers=1)
    adapters.htp_of(model).config = replace(model.htp.config, num_keep=2)


def test_a_host_whose_embedding_holds_no_parameters():
    model = HOST.make()
    weight = model.Spatial_patch_to_embedding.weight.detach()
    del model.Spatial_patch_to_embedding.weight, model.Spatial_patch_to_embedding.bias
    model.Spatial_patch_to_embedding.weight = weight  # as a quantised layer: no parameter
    with pytest.raises(PatchError, match="Spatial_patch_to_embedding has no parameters, as"):
        HOST.patch(model, **PRUNED)
    assert not adapters.is_patched(model)


@pytest.mark.parametrize("drop", [nn.Identity(), nn.Dropout(0.5), nn.AlphaDropout(0.5)])
def test_attention_has_the_hosts_own_dropout(drop):
    model = HOST.make()
    for block in model.TTEblocks:
        block.attn.attn_drop = drop
    HOST.patch(model, num_sft_layers=1, num_keep=4, recovery="interpolate")
    clip = torch.randn(1, hosts.FRAMES, hosts.JOINTS, 2)
    model.train()
    draws = []
    for _ in range(2):
        torch.manual_seed(len(draws))
        draws.append(model(clip))
    same = torch.equal(*draws)
    assert same == isinstance(drop, nn.Identity)


def test_a_motionbert_whose_forward_takes_the_clip_alone():
    # As HoT's copy of it.
    model = hosts.PUBLIC[3].make()
    whole = type(model)

    class ClipAlone(whole):
        def forward(self, x):
            return super().forward(x)

    model.__class__ = ClipAlone
    clip = torch.randn(1, hosts.FRAMES, hosts.JOINTS, 3)
    with torch.no_grad():
        expected = model.eval()(clip)
        adapters.patch_motionbert(model, num_neighbors=1.0, num_keep=1.0, num_sft_layers=1)
        assert_close(model(clip), expected, rtol=1e-4, atol=1e-5)


def test_a_config_asks_for_no_more_pairs_than_there_are():
    model = HOST.patch(HOST.make(), num_sft_layers=1)
    htp = adapters.htp_of(model)
    before, pairs = htp.config, adapters.adapter_of(model).num_pairs(model.htp.facts)
    with pytest.raises(ConfigError, match=f"num_sft_layers={pairs} leaves no pair of blocks for the first"):
        htp.config = replace(before, num_sft_layers=pairs)
    assert htp.config == before


def test_what_was_patched_in_inference_mode_can_be_trained():
    model = HOST.make()
    with torch.inference_mode():
        HOST.patch(model, num_sft_layers=1)
    model(*HOST.inputs()).sum().backward()
    assert model.htp.tcep.layers[0].weight.grad is not None
