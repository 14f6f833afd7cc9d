"""KTPFormer's and FinePOSE's checkpoints in the forms that their authors save, made here with random weights.

Oracle: the forward of the network that the weights were taken from, of the public class where HTP_UPSTREAM
names checkouts.
"""

import os
import warnings
from argparse import Namespace
from functools import partial

import pytest
import torch
from published_forms import assert_pruned_without_training, saved, shaken
from torch import nn
from torch.testing import assert_close

import adapters
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json, write_json
from htp_diffusion.models.clip_text import Clip
from htp_diffusion.models.contender import Pruning
from htp_diffusion.models.finepose import PROMPTS, FinePOSEDenoiser
from htp_diffusion.models.ktpformer import KTPFormer, KTPFormerDenoiser
from htp_diffusion.models.public_config import PublicConfig
from htp_diffusion.models.public_sizes import Shapes
from htp_diffusion.models.public_weights import PublicWeights
from htp_diffusion.models.told import ToldDenoiser
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.speed import public_code

FRAMES, DIM, HEADS, DEPTH = 9, 16, 2, 3
SIZES = {"num_frames": FRAMES, "dim": DIM, "depth": DEPTH, "num_heads": HEADS}
UPSTREAM = os.environ.get("HTP_UPSTREAM", "")
POSE = torch.randn(2, FRAMES, 17, 2)
NOISY, TIME = torch.randn(2, FRAMES, 17, 3), torch.tensor([999, 20])
VOCABULARY, WORDS = 49408, 77  # of CLIP
# clip.tokenize of CLIP's own package: of "WalkDog", and of "A person", "speed", "head", "body", "arm", "leg".
WALK_DOG = (49406, 8588, 1929, 49407)
FIXED = ((320, 2533), (4163,), (1375,), (1774,), (4793,), (4924,))
H36M_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)


def tokens(*texts):
    rows = torch.zeros(len(texts), WORDS, dtype=torch.int64)
    for row, text in zip(rows, texts, strict=True):
        row[: len(text)] = torch.tensor(text)
    return rows


def told(network):
    """A FinePOSE told "WalkDog", each sample its own text, as the public code does."""
    sentences = tokens(*((49406, *text, 49407) for text in FIXED))
    return network(POSE, NOISY, TIME, tokens(WALK_DOG, WALK_DOG), sentences.expand(2, -1, -1))


def lifted(network):
    return network(POSE)


def finepose():
    encoder = Clip(VOCABULARY, WORDS, DIM, depth=2, heads=1, image=False)
    return FinePOSEDenoiser(FRAMES, 17, 2, DIM, DEPTH, HEADS, clip=encoder)


def small_clip(name, device):
    return Clip(depth=1, image=False), None


def public_finepose():
    """Its prompts and their attention are 512 wide in its code; one block of the encoder is enough here."""
    code = public_code.load_public(UPSTREAM, "FinePOSE")
    code.MixSTE2.__init__.__globals__["clip"] = Namespace(load=small_clip)
    with warnings.catch_warnings():  # PyTorch, about the order of axes in the text transformer
        warnings.simplefilter("ignore", UserWarning)
        return code.MixSTE2(FRAMES, 17, 2, 512, 2, HEADS, drop_path_rate=0.0)


def graph(parents):
    """As ``common/graph_utils.py`` of KTPFormer has it: links shared out by rows, then ones for oneself."""
    links = torch.zeros(len(parents), len(parents))
    for child, parent in enumerate(parents):
        if parent >= 0:
            links[child, parent] = links[parent, child] = 1
    return links / links.sum(dim=1, keepdim=True) + torch.eye(len(parents))


def public_ktpformer():
    code = public_code.load_public(UPSTREAM, "KTPFormer")
    graphs = graph(H36M_PARENTS), graph(range(-1, FRAMES - 1))
    return code.KTPFormer(*graphs, FRAMES, 17, 2, DIM, DEPTH - 1, HEADS, drop_path_rate=0.0)


NETWORKS = {"ktpformer": (partial(KTPFormer, **SIZES), lifted), "finepose": (finepose, told)}
PUBLIC = {"ktpformer": (public_ktpformer, lifted), "finepose": (public_finepose, told)}


def given(path, model, **options):
    action = "WalkDog" if model == "finepose" else None
    return PublicWeights(
        **{"weights": path, "model": model, "weights_heads": HEADS, "weights_action": action, **options}
    )


@torch.no_grad()
def poses_of(contender):
    return contender.denoiser(POSE, NOISY, TIME)


@pytest.mark.parametrize("model", NETWORKS)
def test_the_network_computes_what_it_did(model, tmp_path):
    build, run = NETWORKS[model]
    network = shaken(build())
    contender, report = given(saved(tmp_path / "best_epoch.bin", network, model), model).contender()
    with torch.no_grad():
        assert_close(poses_of(contender), run(network), rtol=1e-5, atol=1e-5)
    assert len(report.matched) >= len(network.state_dict())
    assert not report.missing + report.unexpected + report.resized
    config = contender.config
    assert (config.num_frames, config.dim, config.depth, config.num_heads) == (FRAMES, DIM, DEPTH, HEADS)
    assert contender.space == CAMERA_METRES
    write_json(tmp_path / "config.json", config)
    assert read_json(tmp_path / "config.json", PublicConfig) == config


@pytest.mark.parametrize("model", PUBLIC)
def test_it_computes_what_the_public_code_does(model, tmp_path):
    if not UPSTREAM:
        pytest.skip("HTP_UPSTREAM names no checkouts")
    build, run = PUBLIC[model]
    network = shaken(build())
    path = saved(tmp_path / "best_epoch.bin", network, model)
    plain, _ = given(path, model).contender()
    with torch.no_grad():
        expected = run(network)
    assert_close(poses_of(plain), expected, rtol=1e-4, atol=1e-4)
    whole, _ = given(path, model).contender(Pruning(num_keep=1.0, num_neighbors=1.0, num_sft_layers=1))
    assert_close(poses_of(whole), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", NETWORKS)
def test_pruned_without_training(model, tmp_path):
    build, _ = NETWORKS[model]
    path = saved(tmp_path / "best_epoch.bin", shaken(build()), model)
    assert_pruned_without_training(given(path, model), poses_of)


def test_what_finepose_is_told_counts(tmp_path):
    path = saved(tmp_path / "x.bin", shaken(finepose()), "finepose")
    one, other = (
        given(path, "finepose", weights_action=name).contender()[0] for name in ("Walking", "Sitting")
    )
    assert not torch.allclose(poses_of(one), poses_of(other), atol=1e-4)


def test_the_published_sizes_of_finepose():
    with torch.device("meta"):
        published = FinePOSEDenoiser()
        shapes = {name: tuple(x.shape) for name, x in published.state_dict().items()}
        config = Shapes(shapes, "finepose", "best_epoch_20_10.bin").config(8, "Walking")
        built = config.build()
    assert isinstance(built, ToldDenoiser)
    assert {name: tuple(x.shape) for name, x in built.network.state_dict().items()} == shapes
    assert config.text is not None
    assert (config.text.prompts, config.text.kept, config.text.image) == (tuple(PROMPTS.values()), 4, True)
    assert (config.num_frames, config.dim, config.depth, config.mlp_ratio) == (243, 512, 8, 2.0)


def wrong(tmp_path):
    """Files that are not what they are said to be, and what is told."""
    lifter, words = (saved(tmp_path / m, NETWORKS[m][0](), m) for m in ("ktpformer", "finepose"))
    denoiser = saved(tmp_path / "denoiser", KTPFormerDenoiser(**SIZES), "ktpformer")
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "none")
    names = "--weights-action, one of Directions, .*, WalkTogether"
    return {
        "denoiser": (denoiser, "ktpformer", {}, "embeds 5 coordinates a joint, a KTPFormer 2"),
        "lifter": (lifter, "mixste", {}, "taken for a MixSTE, holds no Spatial_pos_embed as that has"),
        "none": (tmp_path / "none", "ktpformer", {}, "holds no tpattention.attn.Temporal_pos_embed"),
        "words": (words, "d3dp", {}, "does not fit Sampler: .* unexpected: .*ctx_subject"),
        "untold": (words, "finepose", {"weights_action": None}, f"and nothing is: {names}"),
        "unknown": (words, "finepose", {"weights_action": "Flying"}, f"'Flying' is no such name: {names}"),
    }


@pytest.mark.parametrize("case", ["denoiser", "lifter", "none", "words", "untold", "unknown"])
def test_files_that_are_something_else(case, tmp_path):
    path, model, options, message = wrong(tmp_path)[case]
    with pytest.raises((BenchmarkError, adapters.CheckpointError), match=message) as error:
        given(path, model, **options).contender()
    assert "\n" not in str(error.value)


def test_an_action_that_is_none():
    with pytest.raises(BenchmarkError, match="FinePOSE knows no action 'Flying'; there are Directions, "):
        ToldDenoiser(finepose(), "Flying")
