"""Which modules are taken for a host, and what is said about the others."""

import pickle
from types import SimpleNamespace

import hosts
import pytest
import standins
import torch
from torch import nn
from torch.testing import assert_close

import adapters
from adapters import UnrecognisedHostError

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}


@pytest.mark.parametrize(
    ("host", "name"),
    [(MIXSTE, "MixSTE"), (D3DP, "D3DP denoiser"), (MOTIONBERT, "MotionBERT DSTformer")],
    ids=lambda x: getattr(x, "name", x),
)
def test_patch_recognises_by_structure(host, name):
    # MixSTE's and D3DP's networks have the same class name in their repositories.
    model = host.make()
    model.__class__ = type("MixSTE2", (type(model),), {})
    adapters.patch(model, **PRUNED)
    assert adapters.adapter_of(model).name == name


def test_the_sampler_of_d3dp():
    model = standins.D3DP(9, 5, 8, 3, 2).eval()
    inputs = (torch.randn(2, 9, 5, 2), torch.randn(2, 4, 9, 5, 3))
    expected = model(*inputs)
    adapters.patch_d3dp(model, **PRUNED)
    assert adapters.is_patched(model)
    assert adapters.is_patched(model.pose_estimator)
    assert type(model) is standins.D3DP
    assert all(
        ".htp." in key for key in model.state_dict() if key not in standins.D3DP(9, 5, 8, 3, 2).state_dict()
    )
    assert model(*inputs).shape == expected.shape
    adapters.unpatch(model)
    assert torch.equal(model(*inputs), expected)


def test_one_hypothesis_at_a_time_is_all_at_once():
    model = HYPS.patch(HYPS.make(), **PRUNED)
    pose, noisy, time = HYPS.inputs()
    together = model(pose, noisy, time)
    for hyp in range(noisy.shape[1]):
        assert_close(
            together[:, hyp : hyp + 1], model(pose, noisy[:, hyp : hyp + 1], time), rtol=1e-5, atol=1e-5
        )


def test_a_backbone_inside_an_action_network():
    model = standins.ActionNet(MOTIONBERT.make(), dim_rep=12, joints=5).eval()
    inputs = MOTIONBERT.inputs()
    expected = model(*inputs)
    adapters.patch_motionbert(model, num_keep=1.0, num_neighbors=1.0)
    assert_close(model(*inputs), expected, rtol=1e-5, atol=1e-5)
    assert adapters.adapter_of(model.backbone) is adapters.MOTIONBERT


def test_motionbert_returns_representations():
    model, inputs = MOTIONBERT.make(), MOTIONBERT.inputs()
    expected = model.get_representation(*inputs)
    adapters.patch_motionbert(model, num_keep=1.0, num_neighbors=1.0)
    for found in (model.get_representation(*inputs), model(*inputs, return_rep=True), model(*inputs, True)):
        assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_wrong_function_says_what_is_missing():
    with pytest.raises(
        UnrecognisedHostError, match=r"Denoiser is not a MixSTE\. Looked for .*it has time_mlp"
    ):
        adapters.patch_mixste(D3DP.make())
    with pytest.raises(
        UnrecognisedHostError, match=r"not a D3DP denoiser\. Looked for and not found: time_mlp"
    ):
        adapters.patch_d3dp(MIXSTE.make())


def _drop(name):
    return lambda model: delattr(model, name)


def _set(path, value):
    def change(model):
        owner, _, name = path.rpartition(".")
        setattr(model.get_submodule(owner), name, value)

    return change


BROKEN = {
    "no head": (MIXSTE, _drop("head"), "head, a Module"),
    "no table": (MIXSTE, _drop("Temporal_pos_embed"), "Temporal_pos_embed, a table of 3 axes"),
    "another table": (
        MIXSTE,
        _set("Spatial_pos_embed", nn.Parameter(torch.zeros(5, 8))),
        "Spatial_pos_embed, a table",
    ),
    "a part more": (MIXSTE, _set("pool", nn.Identity()), "it has pool"),
    "a weight more": (MIXSTE, _set("token", nn.Parameter(torch.zeros(1))), "it has token"),
    "fewer blocks": (MIXSTE, lambda model: model.TTEblocks.pop(2), "as many STEblocks as TTEblocks"),
    "attention over channels": (MIXSTE, _set("TTEblocks.1.attn.comb", True), "TTEblocks.1.attn.comb false"),
    "widths that change": (MIXSTE, _set("TTEblocks.1.changedim", True), "TTEblocks.1.changedim false"),
    "a part in a block": (
        MIXSTE,
        _set("STEblocks.0.reduction", nn.Identity()),
        "it has STEblocks.0.reduction",
    ),
    "another attention": (
        MIXSTE,
        _set("TTEblocks.2.attn", nn.Linear(8, 8)),
        "TTEblocks.2.attn.qkv, a Module",
    ),
    "no number of heads": (MIXSTE, lambda m: delattr(m.TTEblocks[0].attn, "num_heads"), "num_heads, an int"),
    "a name taken": (MIXSTE, _set("htp", 3), "the name htp free"),
    "a replaced forward": (MIXSTE, _set("forward", lambda x: x), "a forward of its class"),
    "no time": (D3DP, _drop("time_mlp"), "time_mlp, a Module"),
    "streams that differ": (
        MOTIONBERT,
        lambda model: model.blocks_ts.pop(0),
        "as many blocks_st as blocks_ts",
    ),
    "another mode": (
        MOTIONBERT,
        _set("blocks_st.1.st_mode", "stage_para"),
        "blocks_st.1 as a stage_st block",
    ),
    "coupled": (
        MOTIONBERT,
        _set("blocks_ts.0.attn_t.mode", "coupling"),
        "blocks_ts.0.attn_t.mode 'temporal'",
    ),
    "no fusion": (MOTIONBERT, _drop("ts_attn"), "ts_attn, a ModuleList"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_half_a_host_is_refused_and_left_alone(case):
    host, change, message = BROKEN[case]
    model = host.make()
    change(model)
    cls, keys, attributes = type(model), list(model.state_dict()), dict(vars(model))
    with pytest.raises(UnrecognisedHostError, match=message.replace("(", r"\(")):
        host.patch(model, **PRUNED)
    assert type(model) is cls
    assert list(model.state_dict()) == keys
    assert vars(model) == attributes


class Tupled(standins.MixSTE2):
    def forward(self, x):
        return super().forward(x), None


class Scaled(standins.MixSTE2):
    def forward(self, x):
        return 2 * super().forward(x)


class Failing(standins.MixSTE2):
    def forward(self, x):
        raise OSError("no licence")


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("cls", "message"),
    [
        (standins.Separate, "computes something else"),
        (Scaled, "computes something else"),
        (Tupled, r"returns a tuple where one of \(1, 3, 5, 3\)"),
        (Failing, "failed on a short clip: no licence"),
    ],
)
def test_the_same_parts_in_another_order_are_refused(cls, message):
    model = cls(9, 5, 8, 3, 2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    keys = list(model.state_dict())
    with pytest.raises(UnrecognisedHostError, match=message):
        adapters.patch_mixste(model, **PRUNED)
    assert type(model) is cls
    assert list(model.state_dict()) == keys


def test_an_untrained_model_is_told_apart_too():
    with pytest.raises(UnrecognisedHostError, match="computes something else"):
        adapters.patch_mixste(standins.Separate(9, 5, 8, 3, 2), **PRUNED)


def test_extreme_weights_are_no_other_model():
    # In float32 the two orders of the same sums part by more than the tolerance here; in float64 they agree.
    model = standins.DSTformer(dim=128, dim_rep=128, heads=8).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.6)
    adapters.patch(model, num_sft_layers=2)
    assert adapters.is_patched(model)


class Free(standins.MixSTE2):
    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs)


class Meta(type):
    pass


class WithMeta(standins.MixSTE2, metaclass=Meta):
    pass


@pytest.mark.parametrize(("cls", "message"), [(Free, "names no arguments"), (WithMeta, "the metaclass Meta")])
def test_classes_that_cannot_be_extended(cls, message):
    model = cls(9, 5, 8, 3, 2)
    with pytest.raises(adapters.PatchError, match=message):
        adapters.patch(model, **PRUNED)
    assert type(model) is cls


def test_a_model_that_cannot_be_copied():
    model = MIXSTE.make()
    model.file = SimpleNamespace(handle=(line for line in ()))
    with pytest.raises(adapters.PatchError, match="cannot be copied"):
        adapters.patch(model, **PRUNED)
    assert not adapters.is_patched(model)


def test_a_subclass_of_a_host_is_a_host():
    class Logged(standins.MixSTE2):
        calls = 0

        def forward(self, x):
            type(self).calls += 1
            return super().forward(x)

    model = Logged(9, 5, 8, 3, 2).eval()
    adapters.patch(model, **PRUNED)
    assert isinstance(model, Logged)
    with pytest.raises(
        (pickle.PicklingError, AttributeError)
    ):  # as without a patch: a class inside a function
        pickle.dumps(model)


def test_a_model_without_values_is_patched_by_structure():
    with torch.device("meta"):
        model = standins.MixSTE2(9, 5, 8, 3, 2)
    adapters.patch(model, **PRUNED)
    assert all(p.is_meta for p in model.parameters())
    assert model(torch.empty(2, 9, 5, 2, device="meta")).shape == (2, 9, 5, 3)


def test_another_functions_host_is_called_by_its_name():
    with pytest.raises(UnrecognisedHostError, match=r"it is a MixSTE: call adapters\.patch"):
        adapters.patch_motionbert(hosts.PUBLIC[0].make())


@pytest.mark.unhooked
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript
def test_a_program_is_refused():
    traced = torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2))
    with pytest.raises(UnrecognisedHostError, match="a TorchScript program has no modules to patch"):
        adapters.patch(traced)
