"""Prefixes, containers and the meta device. Oracle: the weights that were saved, read back."""

import pytest
import standins
import torch
from hosts import PUBLIC
from loading import same
from torch import nn
from torch.optim.swa_utils import AveragedModel

import adapters
from adapters import CheckpointError, load_checkpoint

HOST = PUBLIC[0]
PREFIXES = ["model.", "pose_estimator.", "backbone.", "net.lifter.", "module.model.module.", "ema."]


def put_under(state, prefix):
    return {prefix + key: value for key, value in state.items()}


@pytest.fixture
def saved(tmp_path):
    """Saves content and gives the file's path."""

    def save(content):
        torch.save(content, tmp_path / "a.pt")
        return tmp_path / "a.pt"

    return save


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_one_prefix_in_front_of_every_key(saved, prefix, strict):
    source, target = HOST.make(), HOST.make()
    report = load_checkpoint(target, saved(put_under(source.state_dict(), prefix)), strict=strict)
    assert same(target, source.state_dict())
    assert report.matched == tuple(source.state_dict())
    assert report.missing == report.unexpected == report.resized == ()
    assert report.prefix == prefix.replace("module.", "")
    assert str(report) == f"{len(report.matched)} matched; without the prefix {report.prefix}"


def test_a_prefix_of_a_patched_model(saved):
    source = HOST.patch(HOST.make(), num_sft_layers=1)
    target = HOST.patch(HOST.make(), num_sft_layers=1)
    report = load_checkpoint(target, saved(put_under(source.state_dict(), "model.")))
    assert report.missing == ()
    assert same(target, source.state_dict())


def test_keys_under_a_prefix_beside_others(saved):
    # MotionBERT's action network: the backbone's keys under backbone., its head's beside them.
    source, target = HOST.make(), HOST.make()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    path = saved({**put_under(source.state_dict(), "backbone."), "head.fc.weight": torch.zeros(2, 2)})
    with pytest.raises(CheckpointError, match=r"1 unexpected: head.fc.weight; without the prefix backbone\."):
        load_checkpoint(target, path)
    assert same(target, before)
    report = load_checkpoint(target, path, strict=False)
    assert (report.prefix, report.unexpected) == ("backbone.", ("head.fc.weight",))
    assert load_checkpoint(target, path, key="backbone").unexpected == ()  # the backbone alone was asked for
    assert same(target, source.state_dict())


@pytest.mark.parametrize("word", ["module", "_orig_mod"])
def test_names_of_wrappers_anywhere_in_the_files_keys(saved, word):
    source, target = HOST.make(), HOST.make()
    state = {}
    for number, (key, value) in enumerate(source.state_dict().items()):
        parts = key.split(".")
        parts.insert(number % len(parts), word)
        state[".".join(parts)] = value
    report = load_checkpoint(target, saved(state))
    assert same(target, source.state_dict())
    assert report.prefix == ""


def test_names_of_wrappers_anywhere_in_the_models_keys(saved):
    source = HOST.make()
    path = saved(source.state_dict())
    compiled = HOST.make()
    compiled.STEblocks[0].attn = torch.compile(compiled.STEblocks[0].attn, backend="eager")
    compiled.head = nn.DataParallel(compiled.head)
    for target in (compiled, nn.DataParallel(torch.compile(HOST.make(), backend="eager"))):
        assert load_checkpoint(target, path).missing == ()
        for (_, found), expected in zip(
            target.state_dict().items(), source.state_dict().values(), strict=True
        ):
            assert torch.equal(found, expected)
    # And what such a model saves goes into a plain one.
    plain = HOST.make()
    load_checkpoint(plain, saved(compiled.state_dict()))
    assert same(plain, source.state_dict())


class Modular(nn.Module):
    """A model whose own name for a part is a wrapper's."""

    def __init__(self):
        super().__init__()
        self.module, self.part = nn.Linear(2, 2), nn.Linear(2, 2)
        self.weight = nn.Parameter(torch.zeros(2, 2))
        self.bias = nn.Parameter(torch.zeros(2))


def test_a_models_own_part_called_module(saved):
    source, target = Modular(), Modular()
    load_checkpoint(target, saved(source.state_dict()))
    assert same(target, source.state_dict())


CONTAINERS = {
    "ema": lambda state: {"epoch": 3, "ema": state},
    "net": lambda state: {"net": state, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}},
    "0": lambda state: [state, {"lr": 0.1}],
    "1": lambda state: ({"lr": 0.1}, state, [torch.zeros(2)]),
    "trainer.models.0": lambda state: {"trainer": {"models": [state], "step": torch.tensor(3)}},
    "state_dict.model": lambda state: {"state_dict": put_under(state, "model.")},
    "module": lambda state: {"module": state, "mp_world_size": 1},
}


@pytest.mark.parametrize("where", CONTAINERS)
def test_the_weights_are_found_in_any_container(saved, where):
    source, target = HOST.make(), HOST.make()
    report = load_checkpoint(target, saved(CONTAINERS[where](source.state_dict())))
    assert same(target, source.state_dict())
    assert report.key == where


SEVERAL = {
    "in two containers": (lambda a, b: {"model": a, "model_ema": b}, "model", "model_ema"),
    "by two prefixes": (
        lambda a, b: {"state_dict": {**put_under(a, "student."), **put_under(b, "teacher.")}},
        "state_dict.student",
        "state_dict.teacher",
    ),
    "at the top and deeper": (lambda a, b: {**a, "ema": b}, "", "ema"),
    "at the top and under a prefix": (lambda a, b: {**a, **put_under(b, "ema.")}, "", "ema"),
    "in a list": (lambda a, b: [a, b], "0", "1"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", SEVERAL)
def test_several_sets_that_fit(saved, case, strict):
    first, second, target = HOST.make(), HOST.make(), HOST.make()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    arrange, one, other = SEVERAL[case]
    path = saved(arrange(first.state_dict(), second.state_dict()))
    with pytest.raises(
        CheckpointError, match=rf"several sets .*{one!r}, {other!r}; choose one, as key={one!r}"
    ):
        load_checkpoint(target, path, strict=strict)
    assert same(target, before)
    for key, source in ((one, first), (other, second)):
        report = load_checkpoint(target, path, key=key, strict=strict)
        assert report.key == key
        assert report.unexpected == ()
        assert same(target, source.state_dict())
    with pytest.raises(CheckpointError, match=rf"no weights at key='best'; it has some at .*{other!r}"):
        load_checkpoint(target, path, key="best")


def test_a_set_beside_one_of_another_model(saved):
    source, target = HOST.make(), HOST.make()
    path = saved({"discriminator": PUBLIC[3].make().state_dict(), "generator": source.state_dict()})
    assert load_checkpoint(target, path).key == "generator"
    assert same(target, source.state_dict())


def test_the_same_set_twice_is_one(saved):
    source, target = HOST.make(), HOST.make()
    state = source.state_dict()
    assert load_checkpoint(target, saved({"model": state, "best": state})).key == "model"


def test_an_average_of_weights(saved):
    source, target = HOST.make(), HOST.make()
    averaged = AveragedModel(source)
    report = load_checkpoint(target, saved(averaged.state_dict()), strict=False)
    assert report.unexpected == ("n_averaged",)
    assert same(target, source.state_dict())


def on_meta(patched=False):
    with torch.device("meta"):
        model = standins.MixSTE2(9, 5, 8, 3, 2)
    return HOST.patch(model, num_sft_layers=1) if patched else model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_model_on_the_meta_device_gets_the_values(saved, dtype):
    source, target = HOST.make(), on_meta()
    target.head.requires_grad_(False)
    learns = {name: p.requires_grad for name, p in target.named_parameters()}
    path = saved({key: value.to(dtype) for key, value in source.state_dict().items()})
    report = load_checkpoint(target, path)
    assert report.matched == tuple(source.state_dict())
    assert not any(p.is_meta for p in target.parameters())
    assert all(p.dtype == torch.float32 for p in target.parameters())
    assert same(target, {key: value.to(dtype).float() for key, value in source.state_dict().items()})
    assert {name: p.requires_grad for name, p in target.named_parameters()} == learns
    assert target.eval()(*HOST.inputs()).isfinite().all()


def test_a_model_half_on_the_meta_device(saved):
    source, target = HOST.make(), HOST.make()
    target.head.to("meta")
    kept = target.Spatial_pos_embed
    load_checkpoint(target, saved(source.state_dict()))
    assert same(target, source.state_dict())
    assert target.Spatial_pos_embed is kept


def test_a_patched_model_on_the_meta_device(saved):
    source = HOST.make()
    path, target = saved(source.state_dict()), on_meta(patched=True)
    with pytest.raises(CheckpointError, match=r"no values for \d+ tensors .* meta device: htp\."):
        load_checkpoint(target, path)
    assert all(p.is_meta for p in target.parameters())
    report = load_checkpoint(target, path, strict=False)
    assert {name for name, p in target.named_parameters() if p.is_meta} <= set(report.missing)
    assert not any(target.get_parameter(key).is_meta for key in report.matched)
    whole = HOST.patch(HOST.make(), num_sft_layers=1)
    with pytest.raises(CheckpointError, match=r"no values for 1 tensors .*: htp\.spatial_gcn\.skeleton"):
        load_checkpoint(on_meta(patched=True), saved(whole.state_dict()))  # no file holds the skeleton


def test_a_buffer_that_no_file_holds(saved):
    source, target = HOST.make(), on_meta()
    target.register_buffer("scale", torch.empty(1, device="meta"), persistent=False)
    with pytest.raises(CheckpointError, match=r"no values for 1 tensors .*: scale"):
        load_checkpoint(target, saved(source.state_dict()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_converted(saved, dtype):
    source, target = HOST.make(), HOST.make()
    load_checkpoint(target, saved(source.to(dtype).state_dict()))
    assert all(p.dtype == torch.float32 for p in target.parameters())
    assert same(target, {key: value.float() for key, value in source.state_dict().items()})


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x.to(torch.int8), "int8 for torch.float32"),
        (lambda x: x.to(torch.complex64), "complex64 for torch.float32"),
        (lambda x: x.to("meta"), "without values"),
        (lambda x: x.to_sparse(), "sparse_coo for torch.strided"),
        (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "quantized"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_tensor_of_another_kind_is_not_called_loaded(saved, change, said, strict):
    source, target = HOST.make(), HOST.make()
    before = target.head[1].weight.detach().clone()
    path = saved({**source.state_dict(), "head.1.weight": change(source.head[1].weight.detach())})
    if strict:
        with pytest.raises(CheckpointError, match=rf"1 resized: head.1.weight .*{said}"):
            load_checkpoint(target, path)
    else:
        report = load_checkpoint(target, path, strict=False)
        assert "head.1.weight" not in report.matched
        assert len(report.resized) == 1
        assert all(torch.equal(target.state_dict()[key], source.state_dict()[key]) for key in report.matched)
    assert torch.equal(target.head[1].weight, before)


@pytest.mark.unhooked
def test_what_is_no_model(saved):
    with pytest.raises(adapters.UnrecognisedHostError, match="got dict"):
        load_checkpoint({}, saved({"a": torch.zeros(1)}))
