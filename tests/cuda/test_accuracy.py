"""Every module and model in every precision. Oracle: float64 on the CPU, attention written out."""

import copy
from functools import cache

import pytest
import torch
from cases import ALL, build
from precisions import matmul_precision
from running import exact, moved, pin, share

from htp_modules import record
from htp_modules.attention import MultiHeadAttention

# Largest difference as a share of the largest output: bits of a product, over the depth of a network.
TOLERANCE = {
    "fp32": 1e-4,  # 24 bits
    "tf32": 1e-2,  # 11 bits
    "bf16": 1e-1,  # 8 bits, weights and tokens too
    "fp16": 2e-2,  # 11 bits
    "bf16 autocast": 1e-1,
    "fp16 autocast": 2e-2,
}
GRADIENT_TOLERANCE = 1e-2  # fp32: a gradient is a sum over all tokens, of both signs
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@cache
def reference(name):
    """A case, its result in float64, what was selected, and the gradients of the mean square by name."""
    model, inputs = build(ALL[name])
    wide = exact(model)
    given = with_gradients(moved(inputs, torch.float64))
    with record(wide) as seen:
        result = wide(*given)
    result.square().mean().backward()
    return model, inputs, result.detach(), seen, gradients(wide, given)


def with_gradients(inputs):
    return tuple(part.clone().requires_grad_(part.is_floating_point()) for part in inputs)


def gradients(model, inputs):
    named = {**dict(model.named_parameters()), **{f"input {i}": part for i, part in enumerate(inputs)}}
    return {name: part.grad for name, part in named.items() if part.grad is not None}


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", ALL)
def test_follows_float64(name, precision, device):
    model, inputs, expected, seen, _ = reference(name)
    kind, _, autocast = precision.partition(" ")
    dtype = DTYPES.get(kind, torch.float32)
    tried, inputs = pin(copy.deepcopy(model).to(device), seen, device), moved(inputs, device)
    if not autocast:
        tried, inputs = tried.to(dtype), moved(inputs, dtype)
    precise = matmul_precision("high" if kind == "tf32" else "highest")
    with torch.no_grad(), precise, torch.autocast(device.type, dtype, enabled=bool(autocast)):
        found = tried(*inputs)
    assert found.device.type == device.type
    assert share(found, expected) <= TOLERANCE[precision]


@pytest.mark.parametrize("name", ALL)
def test_gradients_follow_float64(name, device):
    model, inputs, _, seen, expected = reference(name)
    tried, given = pin(copy.deepcopy(model).to(device), seen, device), with_gradients(moved(inputs, device))
    tried(*given).square().mean().backward()
    found = gradients(tried, given)
    assert found.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    for part, gradient in expected.items():
        if float(gradient.abs().max()) > 1e-6 * largest:  # else 0 but for rounding: softmax sees no key bias
            assert share(found[part], gradient) <= GRADIENT_TOLERANCE, part
        else:
            assert float(found[part].abs().max()) <= 1e-4 * largest, part


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("length", [17, 64, 65])  # up to 64, another kernel
def test_attention_in_16_bits_and_its_gradients(length, precision, device):
    torch.manual_seed(length)
    attention, x = MultiHeadAttention(64, 4), torch.randn(3, length, 64)
    wide, given = exact(attention), with_gradients((x.double(),))
    expected = wide(*given)
    expected.square().mean().backward()
    tried, found_given = copy.deepcopy(attention).to(device), with_gradients((x.to(device),))
    with torch.autocast(device.type, DTYPES[precision]):
        found = tried(*found_given)
    found.float().square().mean().backward()
    assert share(found, expected) <= TOLERANCE[precision]
    for part, gradient in gradients(wide, given).items():
        if part != "qkv.bias":  # softmax sees no key bias
            assert share(gradients(tried, found_given)[part], gradient) <= 2 * TOLERANCE[precision], part
