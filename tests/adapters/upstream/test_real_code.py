"""What only the real checkouts can show; the contract in the folder beside this one runs over them too."""

import warnings
from argparse import Namespace

import checkouts
import hosts
import pytest
import standins
import standins_agformer
import standins_priors
import torch
from torch.testing import assert_close

import adapters

pytestmark = pytest.mark.skipif(not checkouts.ROOT, reason="HTP_UPSTREAM names no folder of checkouts")

PRUNED = {"num_neighbors": 4, "num_keep": 3, "num_sft_layers": 1}


def test_the_contract_runs_over_every_checkout():
    assert {host.name.removeprefix("real ") for host in hosts.REAL} == set(checkouts.BUILDERS)


PROMPTS = dict(zip(standins_priors.PROMPTS, (7, 12, 10, 10, 10, 14, 14), strict=True))  # words of FinePOSE's
FINEPOSE = {"text": (4, 2048), "prompts": PROMPTS, "kept": 4}
STANDINS = {
    "MixSTE": lambda: standins.MixSTE2(9, 17, 8, 3, 2),
    "D3DP": lambda: standins.Denoiser(9, 17, 8, 3, 2),
    "D3DP hypotheses": lambda: standins.Denoiser(9, 17, 8, 3, 2, is_train=False),
    "FinePOSE": lambda: standins_priors.FinePOSE(9, 17, 512, 3, 8, **FINEPOSE),
    "FinePOSE hypotheses": lambda: standins_priors.FinePOSE(9, 17, 512, 3, 8, is_train=False, **FINEPOSE),
    "KTPFormer": lambda: standins_priors.KTPFormer(9, 17, 8, 3, 2),
    "STCFormer": lambda: standins_priors.STCFormer(9, 17, 16, 3, 8),
    "MotionAGFormer": lambda: standins_agformer.MotionAGFormer(9, 17, 8, 3, 2),
}


@pytest.mark.parametrize("name", STANDINS)
@torch.no_grad()
def test_the_stand_ins_are_the_public_classes(name):
    """With the public weights, under the same names, they give the public outputs."""
    host = next(host for host in hosts.REAL if host.name == f"real {name}")
    public, standin = host.make(joints=17), STANDINS[name]().eval()
    standin.load_state_dict(public.state_dict())
    if name == "MotionAGFormer":  # its skeleton is no buffer
        for own, theirs in zip(standin.layers, public.layers, strict=True):
            own.graph_spatial.mixer.adj = theirs.graph_spatial.mixer.adj
    inputs = host.inputs(joints=17)
    assert_close(standin(*inputs), public(*inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", ["MixSTE_seperate", "Cross_Linformer", "MixSTERELA", "MixSTEPooling"])
def test_the_other_classes_of_mixste_are_refused(cls):
    try:
        model = checkouts.mixste(9, 5, cls=cls)
    except Exception as error:
        pytest.skip(f"{cls} cannot be built: {error}")
    keys = list(model.state_dict())
    with pytest.raises(adapters.UnrecognisedHostError):
        adapters.patch(model, **PRUNED)
    assert list(model.state_dict()) == keys
    assert type(model).__name__ == cls


SIZES = {"channel": 32, "d_hid": 64, "n_joints": 17, "out_joints": 17, "frames": 27, "layers": 2}
HOT = {**SIZES, "frames": 9, "token_num": 3, "layer_index": 1}
V2 = {"embed_dim_ratio": 32, "depth": 2, "number_of_frames": 27, "number_of_kept_frames": 3}
REFUSED = {
    "HoT w/ MixSTE": lambda module: module.Model(Namespace(**HOT)),
    "HoT pruned MixSTE": lambda module: module.Model(Namespace(**HOT)),
    "HoT w/ MotionBERT": lambda module: module.Model(Namespace(maxlen=243)),
    "HoT w/ MotionAGFormer": lambda module: module.Model(Namespace(maxlen=243)),
    "MHFormer": lambda module: module.Model(Namespace(**SIZES)),
    "PoseFormer": lambda module: module.PoseTransformer(num_frame=9),
    "PoseFormerV2": lambda module: module.PoseTransformerV2(args=Namespace(number_of_kept_coeffs=3, **V2)),
    "P-STMO": lambda module: module.Model(Namespace(stride_num=[3, 3, 3], **SIZES)),
    "PoseMamba": lambda module: module.PoseMamba(num_frame=9, embed_dim_ratio=32, depth=2),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_pruning_in_time_does_not_apply_to_is_told_why(name):
    model = REFUSED[name](checkouts.load(name))
    kind = "a model that HoT has pruned" if name.startswith("HoT") else name
    with pytest.raises(
        adapters.UnrecognisedHostError, match=f"has the structure of {kind}, to which"
    ) as caught:
        adapters.patch(model, **PRUNED)
    assert "\n" not in str(caught.value)


def sampler(is_train=False):
    args = Namespace(number_of_frames=9, test_time_augmentation=False, timestep=1000, scale=1.0, cs=16, dep=3)
    model = checkouts.load("D3DP sampler").D3DP(
        args, [4], [1], is_train, num_proposals=2, sampling_timesteps=1
    )
    model.device = "cpu"  # the class reads it without setting it
    return model.eval()


def finepose_sampler():
    module = checkouts.load("FinePOSE sampler")
    checkouts.small_clip(module.MixSTE2)
    args = Namespace(
        number_of_frames=9, test_time_augmentation=False, timestep=1000, scale=1.0, cs=512, dep=3
    )
    with warnings.catch_warnings():  # PyTorch, about the order of axes in the host's text transformer
        warnings.simplefilter("ignore", UserWarning)
        model = module.FinePOSE(args, [4], [1], is_train=False, num_proposals=2, sampling_timesteps=1)
    model.device = "cpu"  # the class reads it without setting it
    return model.eval()


@pytest.mark.parametrize("build", [sampler, finepose_sampler])
def test_the_samplers_draw_pruned_poses(build):
    model = build()
    clip = torch.randn(1, 9, 17, 2), torch.zeros(1, 9, 17, 3)
    if build is finepose_sampler:
        words = torch.randint(checkouts.VOCABULARY, (1, 7, checkouts.WORDS))
        clip = *clip, words[:, 0], words[:, 1:]

    def draw():
        torch.manual_seed(3)
        with torch.no_grad():
            return torch.stack(model(*clip))

    expected = draw()
    assert expected.shape == (1, 1, 2, 9, 17, 3)
    adapters.patch(model, num_keep=1.0, num_neighbors=1.0, num_sft_layers=1)
    assert_close(draw(), expected, rtol=1e-4, atol=1e-4)
    model.pose_estimator.htp.config = adapters.D3DP.defaults.__class__(**PRUNED)
    pruned = draw()
    assert pruned.shape == expected.shape
    assert not torch.allclose(pruned, expected)
    adapters.unpatch(model)
    assert torch.equal(draw(), expected)


def test_weights_trained_in_one_mode_of_d3dp_sample_in_the_other():
    training, sampling = sampler(is_train=True), sampler()
    adapters.patch(training, **PRUNED)
    adapters.patch(sampling, **PRUNED)
    sampling.load_state_dict(training.state_dict())
    pose, noisy, time = torch.randn(2, 9, 17, 2), torch.randn(2, 9, 17, 3), torch.tensor([3, 700])
    one = training.pose_estimator(pose, noisy, time)
    assert_close(sampling.pose_estimator(pose, noisy[:, None], time)[:, 0], one)


def test_a_checkpoint_as_main_saves_it(tmp_path):
    np = pytest.importorskip("numpy")
    source, target = sampler(), sampler()
    content = {
        "epoch": 1,
        "random_state": np.random.RandomState(1234),
        "model_pos": torch.nn.DataParallel(source).state_dict(),
    }
    torch.save(content, tmp_path / "best_epoch.bin")
    report = adapters.load_checkpoint(target, tmp_path / "best_epoch.bin")
    assert report.missing == report.unexpected == report.resized == ()
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())


def test_motionbert_inside_its_action_network():
    model = (
        checkouts.load("MotionBERT action")
        .ActionNet(checkouts.motionbert(9, 5), dim_rep=8, num_joints=5)
        .eval()
    )
    clips = torch.randn(2, 2, 9, 5, 3)
    expected = model(clips)
    adapters.patch(model, num_keep=1.0, num_neighbors=1.0)
    assert_close(model(clips), expected, rtol=1e-4, atol=1e-5)
    adapters.unpatch(model)
    assert torch.equal(model(clips), expected)


@pytest.mark.parametrize(
    ("name", "build", "adapter"),
    [
        ("MixSTE", lambda m: m.MixSTE2(243, 17, 2, 512, 8, 8, 2.0, True), adapters.MIXSTE),
        ("D3DP", lambda m: m.MixSTE2(243, 17, 2, 512, 8, 8, 2.0, True), adapters.D3DP),
        ("MotionBERT", lambda m: m.DSTformer(3, 3, 512, 512, 5, 8, 2, 17, 243), adapters.MOTIONBERT),
    ],
)
def test_sizes_of_the_papers(name, build, adapter):
    module = checkouts.load(name)
    try:
        with torch.device("meta"):
            model = build(module)
    except RuntimeError:  # drop path rates are read off a tensor
        model = build(module).to("meta")
    adapters.patch(model)
    assert adapters.adapter_of(model) is adapter
    found = adapters.describe(model)
    assert (found.frames, found.frames_kept) == (243, 54)
    assert found.macs_after < 0.7 * found.macs_before
