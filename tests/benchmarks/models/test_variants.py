"""The ablations' models against what they leave out, and against the paper's multiply-accumulates."""

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.models.variants import UnguidedMGPTP, Variant, VariantConfig
from htp_diffusion.speed.counting import thop_macs
from htp_modules import MGPTP, HTPConfig, KeptFrames, TemporalMask, record

FRAMES = 10
MASKS: tuple[Variant, ...] = ("htp", "mask-pruner", "mask-attention", "mask-neither")
# Table XI to the printed digit, and D3DP by a calibration model.
PAPER: dict[Variant, float] = {
    "d3dp": 139.046,
    "spatial-gcn": 139.044,  # the baseline without the recovery's 4 x 243 x 17 x 512²
    "noisy-gcn": 87.648,
    "baseline": 143.375,
    "tcep": 143.392,
    "tcep-chain": 143.392,
    "tcep-sft": 143.392,
    "mask-pruner": 87.648,
    "mask-attention": 87.648,
    "mask-neither": 87.648,
    "unrefined": 87.631,  # without the batch norms, 4 x 243 x 17 x 512 each
    "htp": 87.648,
}


def config(variant: Variant, **pruning) -> VariantConfig:
    htp = HTPConfig(**{"num_keep": 4, "num_sft_layers": 1, "num_neighbors": 2, **pruning})
    denoiser = DenoiserConfig(kind="htp", num_frames=FRAMES, dim=16, depth=4, num_heads=2, htp=htp)
    return VariantConfig(variant=variant, denoiser=denoiser)


def build(variant: Variant, weights=None, **pruning):
    """A variant in evaluation mode: fresh, so that its TCEP leaves tokens alone, or with these weights."""
    torch.manual_seed(1)
    model = config(variant, **pruning).build().eval()
    if weights is not None:
        model.load_state_dict(weights)
    return model


@pytest.fixture
def clip():
    generator = torch.Generator().manual_seed(4)
    pose_2d = torch.randn(2, FRAMES, 17, 2, generator=generator)
    return pose_2d, torch.randn(2, FRAMES, 17, 3, generator=generator), torch.tensor([3, 700])


def run(model, clip):
    with torch.no_grad():
        return model(*clip)


def by_hand(model, clip, *, time_first):
    """The blocks one after the other, every frame attending to all, and the recovery before the head."""
    pose_2d, noisy, timestep = clip
    time = model.time_mlp(timestep)[:, None, None]
    x = model.Spatial_patch_to_embedding(torch.cat((pose_2d, noisy), dim=-1)) + model.Spatial_pos_embed
    x = x + time if time_first else x
    for number, (spatial, temporal) in enumerate(zip(model.STEblocks, model.TTEblocks, strict=True)):
        x = torch.stack([model.Spatial_norm(spatial(x[:, frame])) for frame in range(FRAMES)], dim=1)
        if number == 0:
            x = x + model.Temporal_pos_embed[:, :, None] + (0 if time_first else time)
        x = model.Temporal_norm(torch.stack([temporal(x[:, :, [j]])[:, :, 0] for j in range(17)], dim=2))
    recovered = model.head.recovery(x, KeptFrames.all(2, FRAMES))
    return model.head.head(recovered)


@pytest.mark.parametrize("variant", PAPER)
def test_multiply_accumulates_at_the_papers_sizes(variant):
    with torch.device("meta"):
        model = VariantConfig(variant=variant, denoiser=DenoiserConfig(kind="htp")).build()
        shape = (1, 243, 17)
        inputs = (torch.empty(*shape, 2), torch.empty(*shape, 3), torch.zeros(1, dtype=torch.int64))
    assert thop_macs(model, inputs) / 1e9 == pytest.approx(PAPER[variant], abs=6e-4)


@pytest.mark.parametrize(("variant", "time_first"), [("baseline", True), ("tcep", False)])
def test_full_length_variants_are_the_plain_stack_and_the_recovery(variant, time_first, clip):
    model = build(variant)
    with torch.no_grad():
        expected = by_hand(model, clip, time_first=time_first)
    torch.testing.assert_close(run(model, clip), expected, rtol=1e-4, atol=1e-5)


def test_the_spatial_gcn_alone_is_d3dp_with_another_embedding(clip):
    model = build("spatial-gcn")
    with torch.no_grad():
        tokens = model.embed(*clip[:2]) - model.Spatial_pos_embed
        expected = model.Spatial_patch_to_embedding(torch.cat(clip[:2], dim=-1))
    torch.testing.assert_close(tokens, expected)
    plain = build("d3dp")
    plain.load_state_dict(model.state_dict(), strict=False)
    plain.Spatial_patch_to_embedding = model.Spatial_patch_to_embedding
    assert torch.equal(run(plain, clip), run(model, clip))


def test_noise_goes_through_the_rectifier_of_the_noisy_gcn_alone(clip):
    # Tokens of one joint and frame along the noise: a line, or bent where the rectifier begins.
    pose_2d, noisy, _ = clip
    for variant, bent in (("noisy-gcn", True), ("htp", False)):
        embedding = build(variant).Spatial_patch_to_embedding
        with torch.no_grad():
            low, middle, high = (embedding(torch.cat((pose_2d, s * noisy), dim=-1)) for s in (0.0, 1.0, 2.0))
        assert bool((low + high - 2 * middle).abs().max() > 1e-2) is bent


def test_a_chain_is_tcep_as_it_begins_and_learns_nothing_of_single_frames(clip):
    whole, chain = build("tcep"), build("tcep-chain")
    learned, of_whole = (dict(model.named_parameters()) for model in (chain, whole))
    tables = [f"htp.tcep.layers.{n}.{table}" for n in (0, 1) for table in ("adjacency", "modulation")]
    assert sorted(set(of_whole) - set(learned)) == tables
    assert set(learned) < set(of_whole)
    weights = {name: torch.randn_like(value) * 0.1 for name, value in learned.items()}
    for model in (whole, chain):
        model.load_state_dict(weights, strict=False)
    assert torch.equal(run(chain, clip), run(whole, clip))


def test_sft_on_every_frame_is_the_mask_in_the_first_blocks(clip):
    weights = build("tcep").state_dict()
    plain = run(build("tcep", weights), clip)
    # A dense mask changes nothing, a sparse one does; without the mask, k changes nothing.
    dense = run(build("tcep-sft", weights, num_neighbors=1.0), clip)
    torch.testing.assert_close(dense, plain, rtol=1e-4, atol=1e-5)
    assert (run(build("tcep-sft", weights), clip) - plain).abs().max() > 1e-3
    assert torch.equal(run(build("tcep", weights, num_neighbors=1.0), clip), plain)
    # n says how many blocks attend under it.
    more = run(build("tcep-sft", weights, num_sft_layers=2), clip)
    assert (more - run(build("tcep-sft", weights), clip)).abs().max() > 1e-4


def test_under_a_dense_mask_all_four_are_htp(clip):
    weights = build("htp").state_dict()
    whole = run(build("htp", weights, num_neighbors=1.0), clip)
    for variant in MASKS[1:]:
        torch.testing.assert_close(
            run(build(variant, weights, num_neighbors=1.0), clip), whole, rtol=1e-4, atol=1e-5
        )


def test_without_the_refinement_htp_is_as_it_begins(clip):
    # A fresh TCEP leaves tokens alone.
    assert torch.equal(run(build("unrefined"), clip), run(build("htp"), clip))


def test_attention_that_sees_no_mask_does_not_change_with_it(clip):
    # Nothing pruned, so that the mask could enter through the attention alone.
    weights = build("htp").state_dict()
    for variant in ("mask-pruner", "mask-neither"):
        sparse, dense = (
            run(build(variant, weights, num_keep=1.0, num_neighbors=k), clip) for k in (1, FRAMES)
        )
        assert torch.equal(sparse, dense), variant
    for variant in ("htp", "mask-attention"):
        sparse, dense = (
            run(build(variant, weights, num_keep=1.0, num_neighbors=k), clip) for k in (1, FRAMES)
        )
        assert (sparse - dense).abs().max() > 1e-3, variant


def test_a_pruner_that_sees_no_mask_keeps_the_same_frames_under_any(clip):
    weights = build("htp").state_dict()

    def kept(variant, neighbors):
        model = build(variant, weights, num_neighbors=neighbors)
        with record(model) as seen:
            run(model, clip)
        return seen.kept[0].index.tolist()

    # The attention before the pruner is unmasked in both, so that only the pruner can tell.
    assert kept("mask-neither", 1) == kept("mask-neither", FRAMES) == kept("mask-pruner", FRAMES)
    assert kept("mask-pruner", 1) != kept("mask-neither", 1)


@given(seed=st.integers(0, 1000), neighbors=st.integers(1, 9))
@settings(max_examples=15)
def test_the_unguided_pruner_is_the_pruner_under_a_dense_mask(seed, neighbors):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 9, 3, 8, generator=generator)
    keep = torch.rand(2, 3, 9, 9, generator=generator) < neighbors / 9
    mask = TemporalMask(keep | keep.transpose(-2, -1) | torch.eye(9, dtype=torch.bool))
    tokens, kept = UnguidedMGPTP(4)(x, mask)
    _, expected = MGPTP(4)(x, TemporalMask.dense(2, 3, 9))
    assert torch.equal(kept.index, expected.index)
    assert torch.equal(tokens, expected.gather(x))


@pytest.mark.parametrize("variant", PAPER)
def test_every_variant_trains_and_takes_its_weights_at_another_pruning(variant, clip):
    model = config(variant).build()
    model(*clip).square().mean().backward()
    # What stands behind a batch norm of weight 0 gets zeros, which is more than nothing.
    assert all(parameter.grad is not None for parameter in model.parameters())
    changed = dataclasses.replace(
        config(variant), denoiser=config(variant, num_keep=3, num_sft_layers=2, num_neighbors=5).denoiser
    )
    changed.build().load_state_dict(model.state_dict())
