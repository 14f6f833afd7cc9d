"""Under torch.use_deterministic_algorithms(True) nothing raises, and what runs twice is the same twice."""

import copy

import pytest
import torch
from cases import ALL, build
from running import deterministic, moved, share

from htp_modules import MGPTP, TCEP, record
from htp_modules.selection import select_highest


def test_selection(device):
    scores = torch.randint(4, (3, 5, 40)).float()  # full of ties
    expected = select_highest(scores, 7)
    with deterministic():
        assert torch.equal(select_highest(scores.to(device), 7).cpu(), expected)


@pytest.mark.parametrize("name", ALL)
def test_forward(name, device):
    model, inputs = build(ALL[name])
    model, inputs = model.to(device), moved(inputs, device)
    with torch.no_grad():
        plain = model(*inputs)
        with deterministic(), record(model) as seen:
            first, second = model(*inputs), model(*inputs)
    assert torch.equal(first, second)
    assert share(first, plain) <= 1e-5
    masks, frames = [m.keep for m in seen.masks], [k.index for k in seen.kept]
    for runs in (masks, frames):
        half = len(runs) // 2
        assert all(torch.equal(a, b) for a, b in zip(runs[:half], runs[half:], strict=True))
    assert len(masks) == 2 * sum(isinstance(module, TCEP) for module in model.modules())
    assert len(frames) == 2 * sum(isinstance(module, MGPTP) for module in model.modules())


@pytest.mark.parametrize("name", ["flow", "denoiser"])
def test_backward(name, device):
    model, inputs = build(ALL[name])
    inputs = moved(inputs, device)
    gradients = []
    for _ in range(2):
        run = copy.deepcopy(model).to(device)
        with deterministic():
            run(*inputs).square().mean().backward()
        gradients.append([p.grad for p in run.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
