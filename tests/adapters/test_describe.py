"""describe, and the counts of patched models. Oracles: closed forms, and the paper's figures."""

from dataclasses import replace
from functools import partial

import hosts
import pytest
import torch

import adapters
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.speed.counting import count

MIXSTE, D3DP, HYPS, MOTIONBERT = hosts.PUBLIC


def block_macs(sequences, length, dim, ratio=2):
    """Projections, scores and mix, and the MLP of one block."""
    return sequences * (length * dim * dim * (4 + 2 * ratio) + 2 * length * length * dim)


def test_macs_by_hand():
    frames, joints, dim, depth, kept, n = 9, 5, 8, 3, 4, 1
    model = MIXSTE.patch(
        MIXSTE.make(), num_keep=kept, num_sft_layers=n, recovery="interpolate", spatial_gcn=False
    )
    found = adapters.describe(model)

    def pair(length):
        return block_macs(length, joints, dim) + block_macs(joints, length, dim)

    ends = frames * joints * dim * (2 + 3)
    assert found.macs_before == depth * pair(frames) + ends
    # TCEP: the correlation; per layer both projections at once and the neighbours' sum.
    tcep = joints * frames * frames * dim + 2 * (
        joints * frames * 2 * dim * dim + joints * frames * frames * dim
    )
    distances = frames * frames * dim  # of MGPTP
    pruned = (1 + n) * pair(frames) + (depth - 1 - n) * pair(kept)
    assert found.macs_after == pruned + ends + tcep + distances


@pytest.mark.parametrize("host", [*hosts.PUBLIC, hosts.PLAIN], ids=lambda host: host.name)
def test_what_it_says(host):
    model = host.make()
    with pytest.raises(adapters.PatchError, match="not patched"):
        adapters.describe(model)
    host.patch(model, num_keep=3, num_neighbors=4, num_sft_layers=1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    torch.manual_seed(5)
    found = adapters.describe(model)
    assert torch.equal(torch.rand(2), torch.rand(2, generator=torch.Generator().manual_seed(5)))
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert (found.frames, found.frames_kept, found.neighbors) == (9, 3, 4)
    assert (found.tokens, found.tokens_kept) == (45, 15)
    assert found.config == model.htp.config
    assert found.macs_after < found.macs_before * 1.5
    assert found.fine_tuning[0].startswith("fine-tuning is needed: the recovery")
    assert len(str(found).splitlines()) == 1 + len(found.places) + 1 + len(found.fine_tuning)

    model.htp.config = replace(model.htp.config, num_keep=1.0, num_sft_layers=0)
    assert adapters.describe(model).fine_tuning[0].startswith("nothing is pruned, but the mask")
    with adapters.unpruned(model), pytest.raises(adapters.PatchError, match="switched off"):
        adapters.describe(model)


def test_what_needs_training():
    model = MIXSTE.patch(MIXSTE.make(), num_keep=3, num_sft_layers=1, recovery="interpolate")
    assert adapters.describe(model).fine_tuning[0].startswith("no fine-tuning is needed")
    assert adapters.describe(model).fine_tuning[1].startswith("tcep, spatial_gcn: the identity at first")
    model = MIXSTE.patch(MIXSTE.make(), num_keep=3, num_sft_layers=1, from_scratch=True)
    assert adapters.describe(model).fine_tuning[0].startswith("training from the beginning")
    model = MOTIONBERT.patch(MOTIONBERT.make(), num_keep=3)
    assert adapters.describe(model).fine_tuning[1].startswith("tcep, initial: the identity at first")


BLOCKS = (
    "TCEP after spatial block 0, then the {}",
    "SFT MHSA: temporal block{} under the mask, with the host's weights",
    "MGPTP before spatial block {}; the blocks from there on see the kept frames",
    "recovery ({}) before the head",
)
PLACES = {  # what is injected, how the blocks up to 0 and up to 1 are told, and what is told of them
    "mixste": ("temporal position", " 0 attends", "s 0 to 1 attend", BLOCKS),
    "d3dp": ("temporal position", " 0 attends", "s 0 to 1 attend", BLOCKS),
    "finepose": ("words of the prompts and temporal position", " 0 attends", "s 0 to 1 attend", BLOCKS),
    "motionbert": (
        *("", "", "; dual blocks 1 to 1 attend along time under the mask, in both streams"),
        (
            "TCEP on the embedded joints{}",
            "SFT MHSA: a new initial block before the backbone{}",
            "MGPTP before dual block {}; the blocks from there on see the kept frames",
            "recovery ({}) before norm, pre_logits and head",
        ),
    ),
    "stcformer": (
        *("", " 0", "s 0 to 1"),
        (
            "TCEP on the embedded joints{}",
            "SFT MHSA: the half of block{} that attends along frames, under the mask",
            "MGPTP before block {}; the blocks from there on see the kept frames as neighbours",
            "recovery ({}) before the head",
        ),
    ),
    "motionagformer": (
        *("", " 0", "s 0 to 1"),
        (
            "TCEP on the embedded joints{}",
            "SFT MHSA: the attention along frames of layer{}, under the mask, with the host's weights",
            "MGPTP before layer {}; from there on, the graph's statistics are those of the kept frames",
            "recovery ({}) before norm, rep_logit and head",
        ),
    ),
}
BEYOND = [hosts.PRIORS[0], hosts.PRIORS[3], hosts.AGFORMERS[0]]


@pytest.mark.parametrize("host", [MIXSTE, D3DP, MOTIONBERT, *BEYOND], ids=lambda host: host.name)
def test_where_the_modules_go(host):
    injected, first, second, lines = PLACES[host.name]
    for n, masked, recovery in ((0, first, "cross_attention"), (1, second, "interpolate")):
        model = host.patch(host.make(), num_sft_layers=n, recovery=recovery)
        filled = zip(lines, (injected, masked, n + 1, recovery), strict=True)
        assert adapters.describe(model).places == tuple(line.format(part) for line, part in filled)


@pytest.mark.parametrize(
    ("n", "masked"),
    [
        (0, "block attends"),
        (1, "block and temporal block 0 attend"),
        (2, "block and temporal blocks 0 to 1 attend"),
    ],
)
def test_where_the_modules_go_in_a_host_whose_first_pair_is_no_block(n, masked):
    ktpformer = hosts.PRIORS[2]
    model = ktpformer.patch(ktpformer.make(), num_sft_layers=n, recovery="interpolate")
    assert adapters.describe(model).places == (
        "TCEP after the KPA block and its norm, then the trajectory prior and temporal position",
        f"SFT MHSA: the TPA {masked} under the mask, with the host's weights",
        f"MGPTP before spatial block {n}; the blocks from there on see the kept frames",
        "recovery (interpolate) before the head",
    )


FEW = {"num_keep": 3, "num_sft_layers": 1}
VERDICTS = {
    "training from the beginning is needed: the Spatial GCN replaces the host's joint embedding": (
        {"from_scratch": True, **FEW},
        "tcep",
    ),
    "fine-tuning is needed: the recovery only blends kept tokens until it has learned": (
        {"spatial_gcn": False, "from_scratch": True, **FEW},
        "tcep",
    ),
    "no fine-tuning is needed to run, interpolation has no parameters; it wins back accuracy": (
        {"recovery": "interpolate", **FEW},
        "tcep, spatial_gcn",
    ),
    "nothing is pruned, but the mask, which needs no fine-tuning to run, changes the output": (
        {"num_keep": 1.0, "num_sft_layers": 1, "num_neighbors": 7},
        "tcep, spatial_gcn",
    ),
    "nothing is pruned or masked: freshly patched, the output is the host's": (
        {"num_keep": 1.0, "num_sft_layers": 1, "num_neighbors": 8},  # of 9 frames
        "tcep, spatial_gcn",
    ),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_what_it_says_of_training(verdict):
    options, added = VERDICTS[verdict]
    found = adapters.describe(MIXSTE.patch(MIXSTE.make(), **options))
    assert found.fine_tuning == (verdict, f"{added}: the identity at first; fine-tuning teaches them")


def test_the_whole_text():
    host = "MixSTE2, a MixSTE"
    options = {"num_keep": 3, "num_neighbors": 4, "num_sft_layers": 1}
    found = adapters.describe(MIXSTE.patch(MIXSTE.make(), **options, required=("first", "last")))
    assert found.host == host
    assert str(replace(found, macs_before=2_345_678_901, macs_after=1_000_000_000)).splitlines() == [
        f"{host}, 3 of 9 frames kept (15 of 45 tokens), at least 4 neighbors each",
        *(f"  {place}" for place in found.places),
        "  always kept: frames 0, 8",
        "  2.346 GMACs before, 1.000 GMACs after",
        *(f"  {sentence}" for sentence in found.fine_tuning),
    ]
    assert "always kept" not in str(replace(found, required=()))


def test_hypotheses_are_counted_one_at_a_time():
    counts = [adapters.describe(host.patch(host.make(), num_sft_layers=1)) for host in (D3DP, HYPS)]
    assert counts[0].macs_before == counts[1].macs_before
    assert counts[0].macs_after == counts[1].macs_after


def patched_on_meta(build, patch, channels):
    with torch.device("meta"):
        model = build()
        clip = torch.empty(1, 243, 17, channels)
    return count(patch(model), (clip,))


def test_the_papers_row_for_mixste():
    # 87.6 G and 36.4 M in print, 87.647 G with THOP. The Spatial GCN replaces the embedding there.
    found = patched_on_meta(MixSTE, partial(adapters.patch_mixste, from_scratch=True), 2)
    assert round(found.thop_macs / 1e9, 3) == 87.647
    assert 36.39e6 <= found.params <= 36.41e6
    # Beside a pretrained embedding: its 2 x 512 products a token more.
    beside = patched_on_meta(MixSTE, adapters.patch_mixste, 2)
    assert beside.thop_macs - found.thop_macs == 243 * 17 * 2 * 512
    assert 36.39e6 <= beside.params <= 36.41e6


def test_the_papers_row_for_motionbert():
    found = patched_on_meta(DSTformer, adapters.patch_motionbert, 3)
    assert abs(found.thop_macs / 101.7e9 - 1) < 0.04
    assert abs(found.params / 47.6e6 - 1) < 0.02


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_host_in_16_bits_is_counted(dtype):
    whole, half = (MIXSTE.patch(MIXSTE.make().to(kind), **FEW) for kind in (torch.float32, dtype))
    assert adapters.describe(half).macs_after == adapters.describe(whole).macs_after
