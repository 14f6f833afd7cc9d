"""Dtypes, autocast, dropout and gradient checkpointing. Oracle: the host under the same conditions."""

import pytest
import torch
from hosts import FRAMES
from torch.testing import assert_close
from torch.utils.checkpoint import checkpoint

KEEP_ALL = {"num_neighbors": FRAMES - 1, "num_keep": FRAMES, "num_sft_layers": 2}
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}
TOLERANCE = {torch.float64: 1e-10, torch.bfloat16: 1e-1, torch.float16: 2e-2}  # a few roundings of the type


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("after", [True, False])
def test_dtypes(host, dtype, after):
    model = host.make().to(dtype)
    inputs = [x.to(dtype) if x.is_floating_point() else x for x in host.inputs()]
    try:
        expected = model(*inputs)
    except RuntimeError as error:
        pytest.skip(f"the host alone does not run: {error}")
    if after:
        model = model.float()
    host.patch(model, **KEEP_ALL)
    model.to(dtype)
    assert all(p.dtype == dtype for p in model.parameters())
    output = model(*inputs)
    assert output.dtype == dtype
    assert_close(output, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("recovery", ["cross_attention", "interpolate"])
def test_autocast(host, recovery):
    model, inputs = host.make(), host.inputs()
    with torch.autocast("cpu", torch.bfloat16):
        expected = model(*inputs)
        host.patch(model, recovery=recovery, spatial_gcn=True, **KEEP_ALL)
        output = model(*inputs)
    assert output.dtype == expected.dtype
    assert_close(output, expected, rtol=0.1, atol=0.1)
    model.train()
    model.htp.config = type(model.htp.config)(**PRUNED, recovery=recovery)
    with torch.autocast("cpu", torch.bfloat16):
        loss = model(*inputs).float().square().mean()
    loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in model.parameters() if p.grad is not None)


def test_gradient_checkpointing(host):
    inputs = host.inputs()
    model = host.patch(host.make(), **PRUNED)
    gradients = []
    for run in (model, lambda *x: checkpoint(model, *x, use_reentrant=False)):
        model.zero_grad()
        run(*inputs).square().mean().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
    for name, grad in gradients[0].items():
        assert_close(gradients[1][name], grad)


@pytest.mark.parametrize("recovery", ["cross_attention", "interpolate"])
def test_stochastic_depth_is_the_hosts(host, recovery):
    """Where every frame is kept, the branches that the host drops with a seed, of the same windows."""
    try:
        model = host.make(drop_path=0.9)
    except TypeError:
        pytest.skip("the host fixes its rates")
    if not any(type(module).__name__ == "DropPath" for module in model.modules()):
        pytest.skip("the host has no stochastic depth")
    inputs = host.inputs()
    model.train()
    torch.manual_seed(3)
    expected = model(*inputs)
    assert not torch.allclose(model(*inputs), expected, rtol=1e-3, atol=1e-3)  # with another seed
    host.patch(model, **KEEP_ALL, recovery=recovery)
    torch.manual_seed(3)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_dropout_inside_masked_attention(host, fused):
    # Dropout of everything: each attention and MLP branch is its last bias or 0, whatever the mask.
    try:
        model = host.make(drop=1.0)
    except TypeError:
        pytest.skip("the host has no dropout")
    inputs = host.inputs()
    model.train()
    expected = model(*inputs)
    host.patch(model, num_neighbors=1, num_keep=FRAMES, num_sft_layers=2)
    model.htp.fused = fused
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_the_scale_of_masked_attention_is_the_hosts(host, fused):
    try:
        model, usual = host.make(qk_scale=3.0), host.make()
    except TypeError:
        pytest.skip("the host fixes its scale")
    inputs = host.inputs()
    usual.load_state_dict(model.state_dict())
    expected = model(*inputs)
    assert not torch.allclose(usual(*inputs), expected, rtol=1e-3, atol=1e-3)
    host.patch(model, **KEEP_ALL)
    model.htp.fused = fused
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)
