"""What a patched model computes. Oracle: the host's own forward."""

from dataclasses import replace

import hosts
import pytest
import torch
from hosts import FRAMES
from torch.testing import assert_close

import adapters
from htp_modules import ConfigError, HTPConfig, ShapeError, record

KEEP_ALL = {"num_neighbors": FRAMES - 1, "num_keep": FRAMES}
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}


@pytest.mark.parametrize(
    ("recovery", "spatial_gcn", "n"),
    [("cross_attention", True, 2), ("interpolate", True, 0), ("cross_attention", False, 0)],
)
def test_keeping_all_is_the_host(host, recovery, spatial_gcn, n):
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    host.patch(model, num_sft_layers=n, recovery=recovery, spatial_gcn=spatial_gcn, **KEEP_ALL)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)
    model.htp.config = replace(model.htp.config, num_neighbors=1.0, num_keep=1000)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_keeping_all_is_the_host_in_training(host):
    # Batch norms of a fresh patch weigh nothing in either mode.
    model, inputs = host.make().train(), host.inputs()
    torch.manual_seed(0)  # for a host with stochastic depth: the patched one draws as it does
    expected = model(*inputs)
    host.patch(model, num_sft_layers=1, **KEEP_ALL)
    torch.manual_seed(0)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_keeping_all_trains_as_the_host(host):
    model, inputs = host.make(), host.inputs()
    model(*inputs).square().mean().backward()
    expected = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    host.patch(model, num_sft_layers=1, **KEEP_ALL)
    model(*inputs).square().mean().backward()
    for name, grad in expected.items():
        assert_close(model.get_parameter(name).grad, grad, rtol=1e-4, atol=1e-5)


def test_pruned_output_has_the_shape_of_the_hosts(host):
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    host.patch(model, **PRUNED)
    output = model(*inputs)
    assert output.shape == expected.shape
    assert output.dtype == expected.dtype
    assert output.device == expected.device
    assert bool(output.isfinite().all())
    assert not torch.allclose(output, expected)
    assert torch.equal(model(*inputs), output)


def test_options_change_between_calls(host):
    model, inputs = host.patch(host.make(), **PRUNED), host.inputs()
    for k, f, n in ((8, 5, 0), (2, 2, 2), (4, 3, 1)):
        model.htp.config = replace(model.htp.config, num_neighbors=k, num_keep=f, num_sft_layers=n)
        with record(model) as seen:
            model(*inputs)
        assert seen.kept[0].num_kept == f
        seen.masks[0].validate(num_neighbors=k)


def test_the_mask_reaches_the_hosts_attention(host):
    # At k = 1 a frame sees little of the clip: without pruning, the mask alone changes the output.
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    host.patch(model, num_neighbors=1, num_keep=FRAMES, num_sft_layers=2)
    assert not torch.allclose(model(*inputs), expected, atol=1e-4)


@pytest.mark.parametrize("n", [0, 2])
def test_explicit_attention_is_the_fused_one(host, n):
    model, inputs = host.patch(host.make(), **{**PRUNED, "num_sft_layers": n}), host.inputs()
    expected = model(*inputs)
    for module in model.modules():
        if isinstance(getattr(module, "fused", None), bool):
            module.fused = False
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


def test_interpolation_runs_without_training(host):
    # With every block before the pruner, the kept frames come out as the host has them.
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    host.patch(model, num_keep=4, num_neighbors=1.0, num_sft_layers=0, recovery="interpolate")
    last = adapters.adapter_of(model).num_pairs(model.htp.facts) - 1
    model.htp.config = replace(model.htp.config, num_sft_layers=last)
    with record(model) as seen:
        output = model(*inputs)
    frames, expected = (x.flatten(0, -4) for x in (output, expected))
    for index, found, wanted in zip(seen.kept[0].index, frames, expected, strict=True):
        assert_close(found[index], wanted[index], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("batch", "frames"), [(1, FRAMES), (1, 1), (2, 2), (3, 5)])
def test_lengths_and_batches(host, batch, frames):
    model = host.patch(host.make(), num_keep=3, num_neighbors=4, num_sft_layers=1)
    inputs = host.inputs(batch, frames)
    output = model(*inputs)
    assert output.shape[0] == batch
    assert output.shape[-3] == frames
    assert bool(output.isfinite().all())


@pytest.mark.parametrize("frames", [1, 5])
def test_a_short_clip_that_is_kept_whole_is_the_hosts(host, frames):
    if not host.any_length:
        pytest.skip("the host alone takes its own length only")
    model, inputs = host.make(), host.inputs(frames=frames)
    expected = model(*inputs)
    host.patch(model, num_sft_layers=1, num_keep=5, num_neighbors=FRAMES)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("joints", [1, 14])
def test_other_skeletons(host, joints):
    if host.joints is not None:
        pytest.skip("the host fixes its joints")
    model, inputs = host.make(joints=joints), host.inputs(joints=joints)
    expected = model(*inputs)
    host.patch(model, num_sft_layers=1, spatial_gcn=True, **KEEP_ALL)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)
    model.htp.config = replace(model.htp.config, num_keep=3)
    assert model(*inputs).shape == expected.shape


@pytest.mark.parametrize(
    ("frames", "joints", "message"), [(FRAMES + 1, None, "up to 9 frames"), (FRAMES, 6, "expected poses")]
)
@pytest.mark.unhooked
def test_clips_that_do_not_fit(host, frames, joints, message):
    if joints is not None and host.joints is not None:
        pytest.skip("the host fixes its joints")
    model = host.patch(host.make(), num_sft_layers=1)
    wrong = host.inputs(frames=frames, joints=joints or hosts.JOINTS)
    with pytest.raises(ShapeError, match=message):
        model(*wrong)


def test_forward_is_stateless(host):
    model, inputs = host.patch(host.make(), **PRUNED), host.inputs()
    before = {name: dict(vars(module)) for name, module in model.named_modules()}
    model(*inputs)
    for name, module in model.named_modules():
        assert vars(module).keys() == before[name].keys()
        assert all(vars(module)[key] is value for key, value in before[name].items())


def test_record_sees_each_call(host):
    model = host.patch(host.make(), **PRUNED)
    with record(model) as seen:
        model(*host.inputs())
        model(*host.inputs(batch=1))
    assert len(seen.masks) == len(seen.kept) == 2
    assert seen.kept[0].validate().num_kept == 3
    assert seen.masks[1].num_frames == FRAMES


def test_unpruned_runs_the_host(host):
    model, inputs = host.make(), host.inputs()
    expected = model(*inputs)
    host.patch(model, **PRUNED)
    pruned = model(*inputs)
    with adapters.unpruned(model) as same:
        assert same is model
        assert torch.equal(model(*inputs), expected)
        with adapters.unpruned(model):
            assert torch.equal(model(*inputs), expected)
        assert adapters.is_patched(model)
    assert torch.equal(model(*inputs), pruned)
    with pytest.raises(KeyError), adapters.unpruned(model):
        raise KeyError
    assert torch.equal(model(*inputs), pruned)
    with adapters.unpruned(model):
        adapters.unpatch(model)
    assert not adapters.is_patched(model)
    assert torch.equal(model(*inputs), expected)


def test_more_masked_pairs_than_the_host_has(host):
    model = host.make()
    state = list(model.state_dict())
    with pytest.raises(ConfigError, match=r"give at most \d+$") as refused:
        host.patch(model, num_sft_layers=20)
    one_too_many = int(str(refused.value).rpartition(" ")[2]) + 1
    with pytest.raises(ConfigError, match="give at most"):
        host.patch(model, num_sft_layers=one_too_many)
    assert list(model.state_dict()) == state
    assert not adapters.is_patched(model)


def test_a_config_and_fields(host):
    model = host.patch(host.make(), HTPConfig(num_keep=4, num_sft_layers=0), num_keep=2)
    assert model.htp.config == HTPConfig(num_keep=2, num_sft_layers=0)


@pytest.mark.unhooked
def test_wrong_options(host):
    with pytest.raises(TypeError, match="unexpected keyword argument 'num_kept'"):
        host.patch(host.make(), num_kept=3)
    with pytest.raises(ConfigError, match="recovery expects"):
        host.patch(host.make(), num_sft_layers=1, recovery="copy")
