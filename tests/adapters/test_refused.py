"""Models of the field that cannot be pruned in time are told why, in one line. Oracle: their structure."""

import pytest
import torch
from torch import nn

import adapters
from adapters.refused import REFUSALS


def tree(*paths):
    """A module with a module, or a number, at each path."""
    root = nn.Module()
    for path in paths:
        *owners, name = path.split(".")
        module = root
        for owner in owners:
            if owner not in module._modules:
                module.add_module(owner, nn.Module())
            module = module._modules[owner]
        if name in ("token_num", "layer_index"):
            setattr(module, name, 3)
        elif name == "A_logs":
            module.register_parameter(name, nn.Parameter(torch.zeros(4, 2)))
        else:
            module.add_module(name, nn.Identity())
    return root


TRUNK = ("Spatial_patch_to_embedding", "pos_drop", "Spatial_norm", "Temporal_norm", "head")
MODELS = {  # parts that the public classes have
    "a model that HoT has pruned": tree(*TRUNK, "STEblocks.0", "pool", "token_num", "layer_index"),
    "MHFormer": tree(
        *(
            f"{part}_{number}"
            for part in ("norm", "embedding", "Transformer_encoder")
            for number in (1, 2, 3)
        ),
        "Transformer_hypothesis",
        "regression",
    ),
    "PoseFormerV2": tree(
        "Joint_embedding", "Freq_embedding", "Spatial_blocks.0", "blocks.0", "weighted_mean", "head"
    ),
    "PoseFormer": tree(*TRUNK, "Spatial_blocks.0", "blocks.0", "weighted_mean"),
    "P-STMO": tree("encoder", "Transformer", "Transformer_reduce", "fcn", "fcn_1"),
    "PoseMamba": tree(*TRUNK, "STEblocks.0.op.A_logs", "TTEblocks.0.op.A_logs"),
}


def test_every_kind_is_here():
    assert list(MODELS) == [refusal.name for refusal in REFUSALS]


@pytest.mark.parametrize("verb", [adapters.patch, adapters.patch_mixste, adapters.describe])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_told_why(name, verb):
    model, why = MODELS[name], next(refusal.why for refusal in REFUSALS if refusal.name == name)
    keys = list(model.state_dict())
    for given, said in ((model, ""), (nn.ModuleDict({"net": model}), "ModuleDict.net: ")):
        with pytest.raises(adapters.UnrecognisedHostError) as caught:
            verb(given)
        assert str(caught.value) == (
            f"{said}Module has the structure of {name}, to which pruning in time does not apply: {why}"
        )
        assert len(str(caught.value)) < 250
    assert type(model) is nn.Module
    assert list(model.state_dict()) == keys
