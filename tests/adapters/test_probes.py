"""What each probe looks for: one part at a time is taken away or added. Oracle: its name, by hand."""

import hosts
import pytest
import torch
from parts import BARE, MODULES, NUMBERS, PLACES, TABLES
from torch import nn

from adapters import UnrecognisedHostError
from adapters.adapter import Facts
from adapters.patching import ADAPTERS
from adapters.probe import Probe

PROBES = {adapter.name: adapter.probe for adapter in ADAPTERS}
MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC
FINEPOSE, _, KTPFORMER, STCFORMER = hosts.PRIORS
HOSTS = dict(
    zip(PROBES, (MIXSTE, D3DP, MOTIONBERT, FINEPOSE, KTPFORMER, STCFORMER, hosts.AGFORMERS[0]), strict=True)
)


def missing(name, model):
    """What the probe of a host misses in a model."""
    with pytest.raises(UnrecognisedHostError) as caught:
        PROBES[name](model)
    assert str(caught.value).startswith(f"{type(model).__name__} is not a {name}. Looked for and not found: ")
    return caught.value.missing


def changed(name, path, change):
    """A host of which ``change`` was called with the owner of a path and the last part of it."""
    model = HOSTS[name].make()
    owner, _, last = path.rpartition(".")
    change(model.get_submodule(owner), last)
    return model


@pytest.mark.parametrize("name", PROBES)
def test_the_sizes_of_a_host(name):
    noisy = {"D3DP denoiser": 3, "FinePOSE denoiser": 3}.get(name, 0)
    channels = 3 if name in ("MotionBERT DSTformer", "MotionAGFormer") else 2 + noisy
    for depth in (1, 3):
        model = HOSTS[name].make(depth=depth)
        expected = Facts(
            num_frames=9,
            num_joints=5,
            in_channels=channels,
            dim=8,
            num_heads=2,
            depth=depth,
            noisy_channels=noisy,
        )
        assert PROBES[name](model) == expected


@pytest.mark.parametrize("name", PROBES)
def test_a_bare_module_lacks_everything(name):
    assert missing(name, nn.Module()) == tuple(BARE[name])


@pytest.mark.parametrize("name", PROBES)
def test_each_module_is_looked_for(name):
    for path in MODULES[name]:
        # As with a number in its place: it has no parts to be looked for either.
        found = missing(name, changed(name, path, lambda owner, last: owner._modules.update({last: None})))
        assert f"{path}, a Module" in found


@pytest.mark.parametrize("name", PROBES)
def test_each_number_is_looked_for(name):
    for path in NUMBERS[name]:
        for wrong in ("8", True, None):
            found = missing(
                name, changed(name, path, lambda owner, last, wrong=wrong: setattr(owner, last, wrong))
            )
            assert found == (f"{path}, an int",)


@pytest.mark.parametrize("name", TABLES)
def test_each_table_is_looked_for(name):
    for path, ndim in TABLES[name]:
        for wrong in (torch.zeros(2, *(3,) * (ndim - 1)), torch.zeros(1, *(3,) * ndim), 3):
            change = lambda owner, last, wrong=wrong: (delattr(owner, last), setattr(owner, last, wrong))  # noqa: E731
            found = missing(name, changed(name, path, change))
            assert found == (f"{path}, a table of {ndim} axes, the first of size 1",)


@pytest.mark.parametrize("name", PROBES)
def test_a_part_of_unknown_use_is_refused_wherever_it_is(name):
    for place in PLACES[name]:
        path = f"{place}.extra" if place else "extra"
        for part in (nn.Identity(), nn.Parameter(torch.zeros(1))):
            found = missing(
                name, changed(name, path, lambda owner, last, part=part: setattr(owner, last, part))
            )
            assert found == (f"no parts of unknown use (it has {path})",)
    model = HOSTS[name].make()
    model.extra, model.more = nn.Identity(), nn.Identity()
    assert missing(name, model) == ("no parts of unknown use (it has extra, more)",)


EMPTY = {
    "MixSTE": (("STEblocks", "TTEblocks"), "as many STEblocks as TTEblocks, at least one"),
    "MotionBERT DSTformer": (("blocks_st", "blocks_ts"), "as many blocks_st as blocks_ts, at least one"),
    "STCFormer": (("stcformer.stc_block",), "at least one stcformer.stc_block"),
    "MotionAGFormer": (("layers",), "at least one layer"),
}


@pytest.mark.parametrize("name", EMPTY)
def test_stacks_without_blocks(name):
    model = HOSTS[name].make()
    paths, said = EMPTY[name]
    for path in paths:
        del model.get_submodule(path)[:]
    assert said in missing(name, model)


def test_stacks_of_unequal_length():
    model = MOTIONBERT.make()
    del model.blocks_ts[-1]
    assert missing("MotionBERT DSTformer", model) == (EMPTY["MotionBERT DSTformer"][1],)
    model = MIXSTE.make(depth=1)
    del model.STEblocks
    found = missing("MixSTE", model)
    assert {"STEblocks, a ModuleList", EMPTY["MixSTE"][1]} <= set(found)


def test_a_block_without_an_attention():
    model = changed("MotionBERT DSTformer", "blocks_st.1.attn_s", delattr)
    assert "blocks_st.1.attn_s.qkv, a Module" in missing("MotionBERT DSTformer", model)


STATES = {
    "STEblocks.1.attn.comb": (
        "MixSTE",
        True,
        "STEblocks.1.attn.comb false: attention over frames, not channels",
    ),
    "STEblocks.2.changedim": ("MixSTE", True, "STEblocks.2.changedim false: one width throughout"),
    "htp": ("MixSTE", 3, "the name htp free for the added modules"),
    "forward": (
        "MixSTE",
        abs,
        "a forward of its class (something set one on the instance: patch first, then compile or wrap)",
    ),
    "encode_text": ("FinePOSE denoiser", 3, "encode_text, a function of the prompts"),
    "blocks_st.1.attn_s.mode": ("MotionBERT DSTformer", "coupling", "blocks_st.1.attn_s.mode 'spatial'"),
    "blocks_ts.2.attn_t.mode": ("MotionBERT DSTformer", "coupling", "blocks_ts.2.attn_t.mode 'temporal'"),
    "blocks_ts.2.st_mode": ("MotionBERT DSTformer", "stage_st", "blocks_ts.2 as a stage_ts block"),
    "layers.1.graph_temporal.mixer.use_temporal_similarity": (
        *("MotionAGFormer", False),
        "layers.1.graph_temporal.mixer.use_temporal_similarity true",
    ),
    "layers.1.graph_temporal.mixer.dim_out": ("MotionAGFormer", 9, "layers.1.graph_temporal of one width"),
}


@pytest.mark.parametrize("path", STATES)
def test_each_state_is_looked_for(path):
    name, value, said = STATES[path]
    assert missing(name, changed(name, path, lambda owner, last: setattr(owner, last, value))) == (said,)


def test_a_graph_that_does_not_say_what_it_is():
    for name in ("use_temporal_similarity", "dim_in", "dim_out"):
        model = changed("MotionAGFormer", f"layers.0.graph_temporal.mixer.{name}", delattr)
        (said,) = missing("MotionAGFormer", model)
        assert said.startswith("layers.0.graph_temporal")
    del model.layers[0].graph_temporal.mixer.dim_in  # nor how wide it is on the other side
    assert missing("MotionAGFormer", model) == ("layers.0.graph_temporal of one width",)
    model = HOSTS["MotionAGFormer"].make()
    model.layers[1].graph_spatial.mixer.batch_norm = nn.LayerNorm(8)
    assert missing("MotionAGFormer", model) == ("layers.1.graph_spatial.mixer.batch_norm, a BatchNorm1d",)


def test_the_fusion_of_two_streams():
    for change in (
        lambda model: model.ts_attn.pop(0),
        lambda model: setattr(model, "ts_attn", nn.Identity()),
    ):
        model = MOTIONBERT.make()
        change(model)
        assert "one ts_attn for each pair of blocks" in missing("MotionBERT DSTformer", model)
    model = MOTIONBERT.make()
    model.att_fuse = False  # the fusion is there all the same
    assert PROBES["MotionBERT DSTformer"](model).depth == 3
    model.ts_attn.pop(0)
    assert missing("MotionBERT DSTformer", model) == ("one ts_attn for each pair of blocks",)
    plain = hosts.PLAIN.make()
    assert PROBES["MotionBERT DSTformer"](plain).depth == 3


def test_a_block_that_says_its_order_by_a_flag():
    # As our own DSTformer's.
    model = hosts.OURS[2].make()
    assert PROBES["MotionBERT DSTformer"](model).depth == 3
    model.blocks_st[1].spatial_first = False
    assert missing("MotionBERT DSTformer", model) == ("blocks_st.1 as a stage_st block",)
    model.blocks_st[1].spatial_first = 1
    assert missing("MotionBERT DSTformer", model) == ("blocks_st.1 as a stage_st block",)
    model = MOTIONBERT.make()
    del model.blocks_st[1].st_mode
    assert missing("MotionBERT DSTformer", model) == ("blocks_st.1 as a stage_st block",)


def test_what_a_probe_gives_for_what_is_not_there():
    host = nn.Module()
    host.flag, host.table = True, torch.zeros(2, 3)
    probe = Probe(host, "Host")
    assert [probe.number(path) for path in ("flag", "none", "none.deeper")] == [0, 0, 0]
    assert [probe.table(path, 3) for path in ("table", "none")] == [(0, 0, 0), (0, 0, 0)]
    assert probe.module("flag") is None
    assert len(probe.missing) == probe.looked == 6


def test_a_message_names_three_differences_and_each_of_many_blocks_once():
    probe = Probe(nn.Module(), "Host")
    for what in ("a.0.x", "a.1.x", "b", "c.10.x"):
        probe.require(False, what)
    with pytest.raises(UnrecognisedHostError, match=r"not found: a\.0\.x; b; c\.10\.x$") as caught:
        probe.finish()
    assert caught.value.likeness == 1 - 4 / 6
    probe.require(False, "d")
    with pytest.raises(UnrecognisedHostError, match=r"not found: a\.0\.x; b; c\.10\.x; and 1 more$"):
        probe.finish()
