"""A host's own attention under the mask: which kernel it takes, and with which of the host's dropouts."""

from dataclasses import replace

import hosts
import pytest
import torch
import torch.nn.functional as F
from hosts import FRAMES
from torch import nn
from torch.testing import assert_close

from htp_modules import record

MASKED = {"num_neighbors": 3, "num_keep": FRAMES, "recovery": "interpolate"}
KEEP_ALL = {"num_neighbors": FRAMES - 1, "num_keep": FRAMES, "recovery": "interpolate"}
# Attentions of the host that are written out here, by the kind of host: under the mask in each masked block,
# and without one, in those of KTPFormer and STCFormer that are not called as a whole.
WRITTEN_OUT = {
    "mixste": lambda n: (n + 1, 0),
    "d3dp": lambda n: (n + 1, 0),
    "motionbert": lambda n: (2 * n, 0),
    "ktpformer": lambda n: (n + 1, 1),
    "stcformer": lambda n: (n + 1, n + 1),
    "motionagformer": lambda n: (n + 1, 0),
}


def kind_of(host):
    name = host.name.removeprefix("our-").partition("-")[0]
    return {"finepose": "d3dp", "plain": "motionbert"}.get(name, name)


def fused_calls(monkeypatch, model, inputs):
    """The output, and the masks of the fused kernel's calls."""
    seen, fused = [], F.scaled_dot_product_attention

    def call(*args, **options):
        seen.append(options.get("attn_mask"))
        return fused(*args, **options)

    with monkeypatch.context() as patches:
        patches.setattr(F, "scaled_dot_product_attention", call)
        return model(*inputs), seen


@pytest.mark.parametrize("n", [0, 1, 2])
def test_the_fused_kernel_is_what_is_asked_for_and_gets_the_mask(host, n, monkeypatch):
    if host.name.startswith(("our", "real")):
        pytest.skip("blocks of our own take the mask themselves")
    model, inputs = host.patch(host.make(), num_sft_layers=n, **MASKED), host.inputs()
    with record(model) as seen, torch.no_grad():
        fused, calls = fused_calls(monkeypatch, model, inputs)
    model.htp.fused = False
    with torch.no_grad():
        explicit, others = fused_calls(monkeypatch, model, inputs)
    masked, unmasked = WRITTEN_OUT[kind_of(host)](n)
    assert len(calls) - len(others) == masked + unmasked
    keep = seen.masks[0].folded()[:, None]
    given = [mask for mask in calls if mask is not None and mask.dtype == torch.bool]
    assert len(given) == masked
    assert all(torch.equal(mask.expand_as(keep), keep) for mask in given)
    assert not bool(keep.all())
    assert_close(fused, explicit, rtol=1e-5, atol=1e-5)


def dropouts(model):
    """The last names of a model's dropouts."""
    return sorted(
        {name.rpartition(".")[2] for name, part in model.named_modules() if type(part) is nn.Dropout}
    )


def test_dropout_does_nothing_in_evaluation(host):
    try:
        model = host.make(drop=0.5)
    except TypeError:
        pytest.skip("the host fixes its rates")
    inputs = host.inputs()
    expected = model(*inputs)
    for fused in (True, False):
        twin = host.patch(host.make(drop=0.5), num_sft_layers=2, **KEEP_ALL)
        twin.load_state_dict(model.state_dict(), strict=False)
        twin.htp.fused = fused
        assert_close(twin(*inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_each_dropout_is_where_the_host_has_it(host, fused):
    # One kind at a time drops everything, the others nothing: the output does not depend on the draws.
    try:
        model = host.make(drop=0.5)
    except TypeError:
        pytest.skip("the host fixes its rates")
    inputs, names = host.inputs(), dropouts(model)
    assert names
    outputs = []
    for patched in (False, True):
        if patched:
            host.patch(model, num_sft_layers=2, **KEEP_ALL)
            model.htp.fused = fused
        model.eval()
        for name in names:
            for path, part in model.named_modules():
                if type(part) is nn.Dropout:
                    part.train(path.rpartition(".")[2] == name)
                    part.p = 1.0
            outputs.append(model(*inputs))
    for before, after in zip(outputs[: len(names)], outputs[len(names) :], strict=True):
        assert_close(after, before, rtol=1e-5, atol=1e-5)


def test_a_block_without_the_optional_layers():
    # Hosts leave a dropout, stochastic depth or the scale out where they have none.
    host = hosts.PUBLIC[0]
    model, inputs = host.make(), host.inputs()
    for block in (*model.STEblocks, *model.TTEblocks):
        del block.drop_path, block.attn.attn_drop, block.attn.proj_drop
        block.forward = lambda x, block=block: mixed(block, x)
    expected = model(*inputs)
    for block in (*model.STEblocks, *model.TTEblocks):
        del block.attn.scale
    adapted = host.patch(model, num_sft_layers=2, **KEEP_ALL)
    for fused in (True, False):
        adapted.htp.fused = fused
        assert_close(adapted(*inputs), expected, rtol=1e-5, atol=1e-5)
    adapted.htp.config = replace(adapted.htp.config, num_neighbors=2)
    assert not torch.allclose(adapted(*inputs), expected, rtol=1e-3, atol=1e-3)


def mixed(block, x):
    """MixSTE's block without its optional layers, the attention by PyTorch."""
    attn, heads = block.attn, block.attn.num_heads
    query, key, value = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in attn.qkv(block.norm1(x)).chunk(3, dim=-1)
    )
    y = F.scaled_dot_product_attention(query, key, value)
    x = x + attn.proj(y.transpose(1, 2).flatten(2))
    return x + block.mlp(block.norm2(x))


def test_the_dropout_of_positions_is_called_where_the_host_calls_it(host):
    model, inputs, seen = host.make(), host.inputs(), []
    for name, part in model.named_modules():
        if name.endswith("pos_drop"):
            part.register_forward_hook(lambda _, given, __, name=name: seen.append((name, given[0])))
    if not any(name.endswith("pos_drop") for name, _ in model.named_modules()):
        pytest.skip("the host has none")
    model(*inputs)
    expected, seen[:] = list(seen), []
    host.patch(model, num_sft_layers=2, **KEEP_ALL)(*inputs)
    assert [name for name, _ in seen] == [name for name, _ in expected]
    for (_, found), (_, tokens) in zip(seen, expected, strict=True):
        assert_close(found.flatten().sort().values, tokens.flatten().sort().values, rtol=1e-5, atol=1e-5)
