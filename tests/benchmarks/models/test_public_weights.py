"""Checkpoints in the forms that their authors save, made here with random weights.

Oracle: the forward of the network that the weights were taken from, of the public class where HTP_UPSTREAM
names checkouts.
"""

import os
from argparse import Namespace
from dataclasses import replace

import pytest
import torch
from published_forms import assert_pruned_without_training, saved, shaken
from torch import nn
from torch.testing import assert_close

import adapters
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json, write_json
from htp_diffusion.models.contender import Pruning
from htp_diffusion.models.denoiser import D3DPDenoiser
from htp_diffusion.models.dstformer import DSTformer
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.models.public_config import PublicConfig
from htp_diffusion.models.public_sizes import read_config
from htp_diffusion.models.public_weights import PublicWeights
from htp_diffusion.pose.space import CAMERA_METRES, MOTIONBERT_IMAGE
from htp_diffusion.speed import public_code

FRAMES, DIM, HEADS, DEPTH = 9, 16, 2, 4
SIZES = {"num_frames": FRAMES, "dim": DIM, "depth": DEPTH, "num_heads": HEADS}
UPSTREAM = os.environ.get("HTP_UPSTREAM", "")
POSE = torch.randn(2, FRAMES, 17, 2)
NOISY, TIME = torch.randn(2, FRAMES, 17, 3), torch.tensor([999, 20])


def motionbert(ratio=2, rep=12, depth=DEPTH, **options):
    return DSTformer(
        dim_feat=DIM, dim_rep=rep, depth=depth, num_heads=HEADS, mlp_ratio=ratio, maxlen=FRAMES, **options
    )


def lifted(network):
    """What a network makes of the poses; a DSTformer with confidences of 1, about the root."""
    if len(getattr(network, "blocks_st", ())) == 0:
        return network(POSE)
    poses = network(torch.cat((POSE, torch.ones(2, FRAMES, 17, 1)), dim=-1))
    return poses - poses[:, :, :1]


def denoised(network):
    return network(POSE, NOISY, TIME)


NETWORKS = {
    "mixste": (lambda: MixSTE(**SIZES), lifted),
    "d3dp": (lambda: D3DPDenoiser(**SIZES), denoised),
    "motionbert": (motionbert, lifted),
    "motionbert-lite": (lambda: motionbert(ratio=4, rep=24), lifted),
}
PUBLIC = {
    "mixste": (
        lambda: public_code.public_mixste(UPSTREAM, frames=FRAMES, dim=DIM, depth=DEPTH, heads=HEADS),
        lifted,
    ),
    "d3dp": (
        lambda: public_code.public_d3dp(UPSTREAM, frames=FRAMES, dim=DIM, depth=DEPTH, heads=HEADS),
        denoised,
    ),
    "motionbert": (
        lambda: public_code.public_motionbert(UPSTREAM, frames=FRAMES, dim=DIM, depth=DEPTH, heads=HEADS),
        lifted,
    ),
}


def given(path, model, **options):
    return PublicWeights(weights=path, model=model, weights_heads=HEADS, **options)


def poses_of(contender):
    with torch.no_grad():
        return contender.denoiser(POSE, NOISY, TIME)


@pytest.mark.parametrize("model", NETWORKS)
def test_the_network_computes_what_it_did(model, tmp_path):
    build, run = NETWORKS[model]
    network = shaken(build())
    contender, report = given(saved(tmp_path / "best_epoch.bin", network, model), model).contender()
    with torch.no_grad():
        assert_close(poses_of(contender), run(network))
    assert len(report.matched) >= len(network.state_dict())
    assert not report.missing + report.unexpected + report.resized
    config = contender.config
    assert (config.num_frames, config.dim, config.depth, config.num_heads) == (FRAMES, DIM, DEPTH, HEADS)
    assert contender.space == (MOTIONBERT_IMAGE if model.startswith("motionbert") else CAMERA_METRES)


@pytest.mark.parametrize("model", PUBLIC)
def test_it_computes_what_the_public_code_does(model, tmp_path):
    if not UPSTREAM:
        pytest.skip("HTP_UPSTREAM names no checkouts")
    build, run = PUBLIC[model]
    network = shaken(build())
    folder = tmp_path / "folder"
    folder.mkdir()
    saved(folder / "model.pth", network, model)
    contender, _ = given(folder, model).contender()
    with torch.no_grad():
        assert_close(poses_of(contender), run(network), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", NETWORKS)
def test_pruned_without_training(model, tmp_path):
    build, _ = NETWORKS[model]
    path = saved(tmp_path / "best_epoch.bin", shaken(build()), model)
    assert_pruned_without_training(given(path, model), poses_of)


@pytest.mark.parametrize(("model", "depth"), [("mixste", 6), ("d3dp", 6), ("motionbert", 5), ("mixste", 3)])
def test_pruning_begins_where_it_does_in_a_network_that_is_patched(model, depth, tmp_path):
    """After the layers of the adapter's own settings, or before the last one of a network that has fewer."""
    sizes = {**SIZES, "depth": depth}
    networks = {"mixste": MixSTE, "d3dp": D3DPDenoiser, "motionbert": lambda **_: motionbert(depth=depth)}
    network = networks[model](**sizes)
    contender, _ = given(saved(tmp_path / "x.bin", shaken(network), model), model).contender(Pruning())
    told = adapters.htp_of(contender.denoiser).config.num_sft_layers
    if depth == 3:
        assert told == 2
    else:
        adapters.patch(network)
        assert told == adapters.htp_of(network).config.num_sft_layers < depth - 1


def test_streams_that_are_not_fused(tmp_path):
    network = shaken(motionbert(att_fuse=False))
    contender, _ = given(saved(tmp_path / "x.bin", network, "motionbert"), "motionbert").contender()
    with torch.no_grad():
        assert_close(poses_of(contender), lifted(network))


def test_a_config_comes_back_from_json(tmp_path):
    config = read_config(
        saved(tmp_path / "x.bin", NETWORKS["motionbert-lite"][0](), "motionbert"), "motionbert", 2
    )
    assert (config.mlp_ratio, config.dim_rep, config.att_fuse) == (4.0, 24, True)
    write_json(tmp_path / "config.json", config)
    assert read_json(tmp_path / "config.json", PublicConfig) == config


def test_what_they_were_trained_for_can_be_overridden(tmp_path):
    path = saved(tmp_path / "x.bin", NETWORKS["motionbert"][0](), "motionbert")
    space = replace(CAMERA_METRES, unit="millimetre")
    options = given(path, "motionbert", weights_unit="millimetre", weights_frame="camera, root-relative")
    contender, _ = options.contender()
    assert contender.space == space
    contender.require_space(space, "motion")
    with pytest.raises(
        BenchmarkError, match=r"x.bin is not made for motion: unit metre, expected millimetre"
    ):
        contender.require_space(CAMERA_METRES, "motion")


def wrong(tmp_path):
    """Files that are not what they are said to be, and what is told."""
    other = MixSTE(**SIZES, num_joints=14)
    mixste, d3dp, bert = (saved(tmp_path / m, NETWORKS[m][0](), m) for m in ("mixste", "d3dp", "motionbert"))
    more = tmp_path / "more"
    torch.save({"model_pos": {**NETWORKS["mixste"][0]().state_dict(), "extra": torch.ones(2)}}, more)
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "none")
    return {
        "skeleton": (
            saved(tmp_path / "14", other, "mixste"),
            "mixste",
            "is of a skeleton of 14 joints, expected 17",
        ),
        "d3dp": (d3dp, "mixste", "embeds 5 coordinates a joint, a MixSTE 2: is it of another --model"),
        "mixste": (mixste, "d3dp", "embeds 2 coordinates a joint, a D3DP 5"),
        "bert": (bert, "mixste", "taken for a MixSTE, holds no Temporal_pos_embed: is it of another --model"),
        "extra": (more, "mixste", "does not fit MixSTE: 108 matched; 1 unexpected: extra"),
        "none": (tmp_path / "none", "mixste", "holds no Temporal_pos_embed"),
        "missing": (tmp_path / "nowhere", "mixste", "cannot read .*nowhere"),
    }


@pytest.mark.parametrize("case", ["skeleton", "d3dp", "mixste", "bert", "extra", "none", "missing"])
def test_files_that_are_something_else(case, tmp_path):
    path, model, message = wrong(tmp_path)[case]
    with pytest.raises((BenchmarkError, adapters.CheckpointError), match=message) as error:
        given(path, model).contender()
    assert "\n" not in str(error.value)


def test_heads_that_do_not_divide(tmp_path):
    path = saved(tmp_path / "x.bin", NETWORKS["mixste"][0](), "mixste")
    with pytest.raises(BenchmarkError, match="weights heads expects a divisor of 16 channels, got 3"):
        PublicWeights(weights=path, model="mixste", weights_heads=3).contender()


def test_one_of_several_sets(tmp_path):
    first, second = (shaken(NETWORKS["mixste"][0]()) for _ in range(2))
    sets = {"net": first, "net_ema": second}
    torch.save(
        {f"{name}.{key}": x for name, net in sets.items() for key, x in net.state_dict().items()},
        tmp_path / "x.bin",
    )
    for name, network in sets.items():
        contender, report = given(tmp_path / "x.bin", "mixste", weights_key=name).contender()
        assert (report.key, report.unexpected) == (name, ())
        with torch.no_grad():
            assert_close(poses_of(contender), network(POSE))
    with pytest.raises(BenchmarkError, match="holds no Temporal_pos_embed"):
        given(tmp_path / "x.bin", "mixste", weights_key="ne").contender()


@pytest.mark.parametrize(
    ("options", "missing"), [({"model": "d3dp"}, "--weights"), ({"weights": "x"}, "--model")]
)
def test_both_or_neither(options, missing):
    assert PublicWeights().contenders() == []
    with pytest.raises(BenchmarkError, match=f"missing is {missing}"):
        PublicWeights(**options).contenders()
    with pytest.raises(BenchmarkError, match="no public weights are given: --weights FILE --model NAME"):
        PublicWeights().contender()


def test_the_file_of_the_public_sampler(tmp_path):
    if not UPSTREAM:
        pytest.skip("HTP_UPSTREAM names no checkouts")
    options = Namespace(
        number_of_frames=FRAMES, test_time_augmentation=False, timestep=1000, scale=1.0, cs=16, dep=DEPTH
    )
    sampler = public_code.load_public(UPSTREAM, "D3DP sampler").D3DP(options, [4], [1], True)
    shaken(sampler.pose_estimator)
    torch.save({"model_pos": nn.DataParallel(sampler).state_dict()}, tmp_path / "h36m_best_epoch.bin")
    weights = PublicWeights(weights=tmp_path / "h36m_best_epoch.bin", model="d3dp")  # 8 heads
    contender, report = weights.contender()
    assert "betas" in report.matched
    with torch.no_grad():
        assert_close(poses_of(contender), denoised(sampler.pose_estimator), rtol=1e-4, atol=1e-5)
