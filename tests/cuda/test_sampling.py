"""A sampling step asks the device for nothing. Oracle: PyTorch's own alarm, and the same poses without it."""

from functools import partial

import pytest
import torch
from cases import BATCH, FRAMES, JOINTS, MODELS, build
from drawing import drawn
from running import no_waiting

from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.pose.flip import flip_pose
from htp_modules import attention, checks, selection, tcep


def _d3dp():
    return D3DPDenoiser(FRAMES, JOINTS, dim=8, depth=1, num_heads=2).eval()


@pytest.mark.parametrize("name", ["denoiser", "patched our-d3dp", "d3dp"])
def test_nothing_waits_for_the_device(name, device, monkeypatch):
    # What is read on a CPU alone is no part of the question.
    if device.type == "cpu":
        for module in (attention, checks, selection, tcep):
            monkeypatch.setattr(module, "can_read", lambda _: False)
    model = (_d3dp() if name == "d3dp" else build(MODELS[name])[0]).to(device)
    pose = torch.randn(BATCH, FRAMES, JOINTS, 2).to(device)
    draw = partial(
        drawn, model, pose, schedule=cosine_schedule(), steps=3, hypotheses=2, eta=1.0, flip=flip_pose
    )
    expected = draw(generator=torch.Generator(device).manual_seed(1))
    generator = torch.Generator(device).manual_seed(1)
    with no_waiting(device):
        found = draw(generator=generator)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "wait", [lambda x: bool(x.sum() > 0), lambda x: x + torch.tensor([1.0]).to(x.device)]
)
def test_the_alarm_goes_off(wait, device):
    x = torch.ones(3, device=device)
    with no_waiting(device), pytest.raises(RuntimeError, match="synchronizing"):
        wait(x)
