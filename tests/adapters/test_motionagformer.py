"""What MotionAGFormer's graph over frames does once frames are gone. Oracle: PyTorch's batch norm."""

import copy

import hosts
import pytest
import torch
from torch import nn
from torch.testing import assert_close

import adapters
from adapters.motionagformer import frame_norm, temporal_graph
from adapters.verify import shorten
from htp_modules import KeptFrames, record

(HOST, _) = hosts.AGFORMERS
FRAMES, JOINTS, DIM = 9, 5, 8


def norm(momentum=0.1, **options):
    made = nn.BatchNorm1d(FRAMES, momentum=momentum, **options)
    with torch.no_grad():
        for values in (made.weight, made.bias, made.running_mean, made.running_var):
            values.uniform_(0.5, 1.5)
    return made


def like(made, frames, **options):
    """The batch norm of these frames alone."""
    other = nn.BatchNorm1d(len(frames), momentum=made.momentum, **options)
    for name, values in made.state_dict().items():
        other.state_dict()[name].copy_(values[frames] if values.ndim else values)
    return other.train(made.training)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_frames_kept_alike_are_normalised_as_pytorch_does(training, momentum):
    made = norm(momentum).train(training)
    frames = torch.tensor([1, 2, 5, 8])
    other = like(made, frames)
    before = {name: values.clone() for name, values in made.state_dict().items()}
    for _ in range(2):
        x = torch.randn(3, JOINTS, 4, DIM)
        expected = other(x.flatten(0, 1)).unflatten(0, (3, JOINTS))
        assert_close(frame_norm(made, x, frames.expand(3, -1)), expected, rtol=1e-5, atol=1e-5)
    gone = [0, 3, 4, 6, 7]
    for name in ("running_mean", "running_var"):
        found = made.state_dict()[name]
        assert_close(found[frames], other.state_dict()[name])
        assert torch.equal(found[gone], before[name][gone])
    assert made.num_batches_tracked == other.num_batches_tracked


def test_samples_that_keep_different_frames():
    # Each frame's statistics are those of the samples that have it.
    made = norm().train()
    index = torch.tensor([[0, 1, 4], [1, 2, 4]])
    x = torch.randn(2, JOINTS, 3, DIM)
    found = frame_norm(made, x, index)
    for frame, places in {0: [(0, 0)], 1: [(0, 1), (1, 0)], 2: [(1, 1)], 4: [(0, 2), (1, 2)]}.items():
        tokens = torch.stack([x[sample, :, place] for sample, place in places])
        scaled = (tokens - tokens.mean()) / (tokens.var(correction=0) + made.eps).sqrt()
        expected = scaled * made.weight[frame] + made.bias[frame]
        for number, (sample, place) in enumerate(places):
            assert_close(found[sample, :, place], expected[number], rtol=1e-5, atol=1e-5)


def test_gradients_are_pytorchs():
    made = norm().train()
    frames = torch.tensor([0, 3, 7])
    x = torch.randn(2, JOINTS, 3, DIM, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    frame_norm(made, x, frames.expand(2, -1)).pow(3).sum().backward()
    like(made, frames)(y.flatten(0, 1)).pow(3).sum().backward()
    assert_close(x.grad, y.grad, rtol=1e-4, atol=1e-5)


def test_without_running_statistics():
    made = nn.BatchNorm1d(FRAMES, track_running_stats=False).eval()
    x = torch.randn(2, JOINTS, FRAMES, DIM)
    expected = made(x.flatten(0, 1)).unflatten(0, (2, JOINTS))
    assert_close(frame_norm(made, x, torch.arange(FRAMES).expand(2, -1)), expected, rtol=1e-5, atol=1e-5)


def test_a_frame_of_one_or_two_numbers():
    # PyTorch refuses a single number in training; here a frame that one sample of one joint has is its bias.
    made = norm().train()
    before = {name: values.clone() for name, values in made.state_dict().items()}
    frames = torch.tensor([[2, 5]])
    assert_close(
        frame_norm(made, torch.tensor([[[[3.0], [-4.0]]]]), frames), made.bias[frames][:, None, :, None]
    )
    mean = before["running_mean"][[2, 5]] * 0.9 + torch.tensor([0.3, -0.4])
    assert_close(made.running_mean[[2, 5]], mean)
    assert_close(made.running_var[[2, 5]], before["running_var"][[2, 5]] * 0.9)

    x, other = torch.randn(1, 2, 2, 1), like(made, frames[0])
    assert_close(frame_norm(made, x, frames), other(x.flatten(0, 1)).unflatten(0, (1, 2)))
    assert_close(made.running_var[[2, 5]], other.running_var)


@pytest.mark.parametrize("training", [True, False])
def test_training_without_running_statistics(training):
    made = nn.BatchNorm1d(FRAMES, track_running_stats=False).train(training)
    frames, x = torch.tensor([0, 3, 4]), torch.randn(2, JOINTS, 3, DIM)
    expected = nn.functional.batch_norm(x.flatten(0, 1), None, None, training=True).unflatten(0, (2, JOINTS))
    assert_close(frame_norm(made, x, frames.expand(2, -1)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_statistics_in_other_precisions(dtype):
    made, frames = norm().train(), torch.tensor([1, 4])
    other = like(made, frames)
    made.to(dtype)
    x = torch.randn(2, JOINTS, 2, DIM).to(dtype)
    found = frame_norm(made, x, frames.expand(2, -1))
    assert found.dtype == made.running_mean.dtype == dtype
    rough = 1e-5 if dtype == torch.float64 else 2e-2
    expected = other(x.float().flatten(0, 1)).unflatten(0, (2, JOINTS))
    assert_close(found.float(), expected, rtol=rough, atol=rough)
    assert_close(made.running_mean[frames].float(), other.running_mean, rtol=rough, atol=rough)
    assert_close(made.running_var[frames].float(), other.running_var, rtol=rough, atol=rough)
    # The sums are in float32 at least: 2000 numbers near 1000 have a variance of 1.
    made = nn.BatchNorm1d(2).train()
    wide = (1000 + torch.randn(1, 50, 2, 40)).to(torch.float16)
    exact = nn.functional.batch_norm(wide.float().flatten(0, 1), None, None, training=True)
    assert_close(frame_norm(made, wide, torch.tensor([[0, 1]])).float(), exact[None], rtol=1e-2, atol=1e-2)


def test_training_leaves_the_statistics_of_pruned_frames():
    model, (clip,) = HOST.make(), HOST.inputs(batch=1)
    adapters.patch(model, num_keep=4, num_neighbors=4, num_sft_layers=1)
    model.train()
    before = {name: value.clone() for name, value in model.named_buffers()}
    with record(model) as seen:
        model(clip)
    kept = seen.kept[0].index[0]
    moved = torch.zeros(FRAMES, dtype=torch.bool)
    moved[kept] = True
    for layer, every in ((0, True), (1, True), (2, False)):
        for name in ("running_mean", "running_var"):
            key = f"layers.{layer}.graph_temporal.mixer.batch_norm.{name}"
            changed = model.get_buffer(key) != before[key]
            assert torch.equal(changed, torch.ones_like(moved) if every else moved)


def test_a_clip_of_fewer_frames_is_normalised_by_the_statistics_of_its_own():
    model, (clip,) = HOST.make(), HOST.inputs(frames=6)
    for name, values in model.named_buffers():
        if "running" in name:
            values.uniform_(0.5, 1.5)
    short = copy.deepcopy(model)
    shorten(short, adapters.MOTIONAGFORMER, 6)
    adapters.patch(model, num_keep=1.0, num_neighbors=1.0, num_sft_layers=1)
    assert_close(model(clip), short(clip), rtol=1e-5, atol=1e-5)


def test_the_frames_are_numbered_on_the_device_of_the_tokens(monkeypatch):
    devices, every = [], KeptFrames.all

    def numbered(*given, device=None):
        devices.append(device)
        return every(*given, device=device)

    model, (clip,) = HOST.make(), HOST.inputs()
    adapters.patch(model, num_keep=4, num_neighbors=4, num_sft_layers=1).to("meta")
    monkeypatch.setattr(KeptFrames, "all", numbered)
    assert model(clip.to("meta")).is_meta
    assert devices == [torch.device("meta")] * 2


def test_the_graph_runs_in_float64():
    graph, x = HOST.make().layers[0].graph_temporal.mixer, torch.randn(2, FRAMES, JOINTS, DIM)
    every = torch.arange(FRAMES).expand(2, -1)
    expected = graph(x)
    found = temporal_graph(graph.double(), x.double(), every)
    assert_close(found, expected.double(), rtol=1e-5, atol=1e-5)


def test_a_graph_over_fewer_frames_than_it_has_neighbours():
    model, (clip,) = HOST.make(neighbour_num=4), HOST.inputs()
    adapters.patch(model, num_keep=2, num_neighbors=4, num_sft_layers=1)
    assert bool(model(clip).isfinite().all())


def test_a_representation_comes_out_where_the_host_gives_it():
    model, (clip,) = HOST.make(), HOST.inputs()
    expected = model(clip, return_rep=True)
    adapters.patch(model, num_keep=1.0, num_neighbors=1.0, num_sft_layers=1)
    assert_close(model(clip, return_rep=True), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda layer: setattr(layer.graph_temporal.mixer, "use_temporal_similarity", False),
            "similarity true",
        ),
        (lambda layer: setattr(layer.graph_temporal, "mixer", nn.Conv1d(8, 8, 3)), "mixer.U, a Module"),
        (lambda layer: setattr(layer.graph_temporal.mixer, "batch_norm", nn.BatchNorm2d(9)), "a BatchNorm1d"),
        (lambda layer: delattr(layer, "graph_spatial"), "graph_spatial"),
    ],
)
def test_other_forms_of_it_are_refused(change, message):
    model = HOST.make()
    change(model.layers[1])
    with pytest.raises(adapters.UnrecognisedHostError, match=message):
        adapters.patch(model)
