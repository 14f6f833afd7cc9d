"""CUDA graphs. Oracle: the same model run eagerly on the same device."""

import pytest
import torch
from cases import ALL, build
from running import graphed, moved, share


@pytest.mark.parametrize("name", ALL)
def test_replayed_on_other_inputs(name, device):
    model, inputs = build(ALL[name])
    model, inputs = model.to(device), moved(inputs, device)
    others = tuple(part.flip(0) for part in inputs)
    with torch.no_grad():
        replay = graphed(model, device)
        for given in (inputs, others):
            assert share(replay(*given), model(*given)) <= 1e-5
