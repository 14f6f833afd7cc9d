"""The layers of single hosts that are written out here. Oracle: the stand-in's own, and PyTorch."""

import os
from functools import wraps
from types import SimpleNamespace

import hosts
import pytest
import standins_priors
import torch
from torch import nn
from torch.testing import assert_close

import adapters
from adapters.counting import Counter, _without_values, matmul_macs
from adapters.host_htp import HostHTP
from adapters.ktpformer import trajectory_convolution
from adapters.live_memory import peak_live_bytes
from adapters.stcformer import criss_cross
from htp_modules import HTPConfig, TemporalMask

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
KTPFORMER, STCFORMER = hosts.PRIORS[2:]
KEEP_ALL = {"num_neighbors": hosts.FRAMES - 1, "num_keep": hosts.FRAMES, "num_sft_layers": 1}


def graph():
    made = standins_priors.GraphConv(4, 6, standins_priors.chain(5))
    with torch.no_grad():
        for values in made.parameters():
            values.normal_()
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_graph_over_frames_is_the_hosts(dtype):
    layer, x = graph(), torch.randn(2, 5, 4)
    expected, bias = layer(x), layer.bias.detach().clone()
    layer.to(dtype).adj = layer.adj.to(dtype)
    rough = 0.1 if dtype == torch.bfloat16 else 1e-5
    found = trajectory_convolution(layer, x.to(dtype))
    assert found.dtype == dtype
    assert_close(found.float(), expected, rtol=rough, atol=rough)
    layer.bias = None
    found = trajectory_convolution(layer, x.to(dtype))
    assert_close(found.float(), expected - bias, rtol=rough, atol=rough)


def test_a_graph_over_the_first_frames():
    layer, x = graph(), torch.randn(2, 3, 4)
    short = standins_priors.GraphConv(4, 6, layer.adj[:3, :3])
    short.load_state_dict(
        {**layer.state_dict(), "M": layer.M[:3], "adj2": layer.adj2[:3, :3]}  # as if built for three
    )
    assert_close(trajectory_convolution(layer, x), short(x))


def test_tensors_that_no_module_holds_follow_the_tokens():
    # They stay behind when the model is moved.
    layer = graph().to("meta")
    assert not layer.adj.is_meta
    assert trajectory_convolution(layer, torch.empty(2, 5, 4, device="meta")).is_meta
    attention = STCFORMER.make().stcformer.stc_block[0].stc_att.to("meta")
    part, devices = attention.part, []
    assert not part.is_meta
    attention.part = SimpleNamespace(to=lambda device: devices.append(device) or part.to(device))
    mask = TemporalMask(torch.ones(2, 5, 9, 9, dtype=torch.bool, device="meta"))
    assert criss_cross(attention, torch.empty(2, 9, 5, 8, device="meta"), mask, fused=True).is_meta
    assert devices == [torch.device("meta")]


def test_priors_without_a_dropout():
    model, inputs = KTPFORMER.make(), KTPFORMER.inputs()
    expected = model(*inputs)
    KTPFORMER.patch(model, **KEEP_ALL)
    for layer in (model.tpattention.attn.tpa.gconv1, model.tpattention.attn.tpa.gconv2):
        del layer.dropout
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_a_copy_without_values_has_none_anywhere():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model[0].graph, model.name = torch.zeros(3), "a name"
    assert _without_values(model) is model
    tensors = [*model.state_dict().values(), model[0].graph]
    assert all(value.is_meta for value in tensors)
    assert model.name == "a name"


def test_a_wrapper_around_a_forward_is_not_called_to_count():
    model = MIXSTE.patch(MIXSTE.make(), **KEEP_ALL)
    expected, forward, called = Counter.of(model).plain(), model.forward, []
    model.forward = wraps(forward)(lambda *inputs: called.append(inputs) or forward(*inputs))
    assert Counter.of(model).plain() == expected
    assert called == []


def test_counting_says_nothing(capsys):
    class Fused(nn.Linear):
        fused, other = True, "fused"

    model = nn.Sequential(Fused(3, 5), nn.Linear(5, 2))
    model[1].fused = "a word"
    macs = matmul_macs(model, (torch.zeros(7, 3),))
    assert (macs, type(macs)) == (7 * (3 * 5 + 5 * 2), int)
    assert capsys.readouterr() == ("", "")
    assert (model[0].fused, model[1].fused) == (False, "a word")


def test_the_profiler_is_told_to_be_silent(monkeypatch):
    monkeypatch.delenv("KINETO_LOG_LEVEL", raising=False)
    peak_live_bytes(list)
    assert os.environ["KINETO_LOG_LEVEL"] == "99"
    monkeypatch.setenv("KINETO_LOG_LEVEL", "1")
    peak_live_bytes(list)
    assert os.environ["KINETO_LOG_LEVEL"] == "1"


def test_what_a_patch_adds_to_a_host():
    model = MIXSTE.patch(MIXSTE.make(), num_sft_layers=1)
    assert (model.htp.enabled, model.htp.fused, model.htp.frozen, model.htp.from_scratch) == (
        True,
        True,
        (),
        False,
    )
    assert all(p.requires_grad for p in model.parameters())
    frozen = MIXSTE.make()
    frozen.Spatial_patch_to_embedding.bias.requires_grad_(False)
    MIXSTE.patch(frozen, num_sft_layers=1, from_scratch=True)
    assert frozen.htp.frozen == ("Spatial_patch_to_embedding.weight",)
    assert [name for name, p in frozen.named_parameters() if not p.requires_grad] == [
        "Spatial_patch_to_embedding.weight",
        "Spatial_patch_to_embedding.bias",
    ]
    adapters.unpatch(frozen)
    assert [name for name, p in frozen.named_parameters() if not p.requires_grad] == [
        "Spatial_patch_to_embedding.bias"
    ]
    # Without a Spatial GCN, the embedding stays in use.
    plain = MIXSTE.patch(MIXSTE.make(), num_sft_layers=1, from_scratch=True, spatial_gcn=False)
    assert plain.htp.frozen == ()
    assert all(p.requires_grad for p in plain.parameters())


def test_the_first_host_is_the_one_while_it_lives():
    htp = HostHTP(adapters.MIXSTE.probe(MIXSTE.make()), HTPConfig(), {}, from_scratch=False)
    first, second = nn.Module(), nn.Module()
    htp.belongs_to(first)
    htp.belongs_to(second)
    assert htp._host() is first
    del first
    htp.belongs_to(second)
    assert htp._host() is second


def test_the_initial_block_of_motionbert():
    block = MOTIONBERT.patch(MOTIONBERT.make(), num_sft_layers=1).htp.initial
    assert block.attn.num_heads == 2
    zeros = {name for name, p in block.named_parameters() if not p.any() and not name.startswith("norm")}
    assert zeros >= {f"{layer}.{part}" for layer in ("attn.proj", "mlp.fc2") for part in ("weight", "bias")}


@pytest.mark.parametrize("is_train", [True, False])
def test_the_inputs_of_a_denoiser(is_train):
    model = (D3DP if is_train else HYPS).patch((D3DP if is_train else HYPS).make(), num_sft_layers=1)
    adapter, facts = adapters.adapter_of(model), model.htp.facts
    pose, noisy, time = adapter.inputs(model, facts, 4)
    assert pose.shape == (1, 4, 5, 2)
    assert noisy.shape == ((1, 4, 5, 3) if is_train else (1, 1, 4, 5, 3))
    assert time.tolist() == [500]


def test_the_inputs_of_finepose():
    host = hosts.PRIORS[0]
    model = host.patch(host.make(), num_sft_layers=1)
    *_, text, sentences = adapters.adapter_of(model).inputs(model, model.htp.facts, 4)
    words = len(model.clip_text.positional_embedding)
    assert (text.shape, sentences.shape) == ((1, words), (1, 6, words))
    assert int(max(text.max(), sentences.max())) < standins_priors.VOCABULARY
