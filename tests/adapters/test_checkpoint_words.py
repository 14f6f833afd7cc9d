"""What is said of a checkpoint, word for word, and which of several sets is taken. Oracle: by hand."""

import argparse
import importlib
import json
import os
import tarfile
import zipfile
from io import BytesIO

import hosts
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from adapters import CheckpointError, load_checkpoint
from adapters.keys import fit, plain_keys, prefixes
from adapters.weight_file import read_weights

HOST = hosts.PUBLIC[0]
weight_file = importlib.import_module("adapters.weight_file")


class Pair(nn.Module):
    """Two layers: four keys."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(2, 2), nn.Linear(2, 3)


class Bag(dict):
    """A class of dictionaries."""


class Log(list):
    """A class of lists."""


@pytest.fixture
def file(tmp_path):
    """Saves content and gives the file's path."""

    def save(content, name="a.pt"):
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return save


def refused(path, model=None, **options):
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(model or Pair(), path, **options)
    return str(caught.value)


def numbers(**shapes):
    return {name.replace("_", "."): torch.zeros(*shape) for name, shape in shapes.items()}


def test_what_does_not_fit(file):
    path = file(numbers(first_weight=(2, 2), first_bias=(3,), other_bias=(1,)))
    assert refused(path) == (
        f"{path} does not fit Pair: 1 matched; 2 missing: last.weight, last.bias; "
        "1 unexpected: other.bias; 1 resized: first.bias [3] for [2]"
    )
    path = file({"net": numbers(other_bias=(1,))})
    assert refused(path) == (
        f"no weight of {path} fits Pair: 0 matched; "
        "4 missing: first.weight, first.bias, last.weight, last.bias; 1 unexpected: other.bias"
    )


def test_a_few_of_many_keys_are_named(file):
    for count, more in ((8, ""), (9, " and 1 more"), (11, " and 3 more")):
        state = {**Pair().state_dict(), **{f"k{number}": torch.zeros(1) for number in range(count)}}
        listed = ", ".join(f"k{number}" for number in range(8))
        assert refused(file(state)).endswith(f": 4 matched; {count} unexpected: {listed}{more}")


def test_a_patched_models_file_is_told_from_another(file):
    patched = HOST.patch(HOST.make(), num_sft_layers=1)
    hint = "; the file is of a patched model: patch this one before loading"
    for prefix in ("", "model."):
        path = file({prefix + key: value for key, value in patched.state_dict().items()})
        assert refused(path, HOST.make()).endswith(hint)
    assert not refused(file({**HOST.make().state_dict(), "k": torch.zeros(1)}), HOST.make()).endswith(hint)
    # The model is patched already: with other options, then.
    path = file({**patched.state_dict(), "htp.more": torch.zeros(1)})
    hint = "; patch this one with the options that the file's model was patched with"
    assert refused(path, patched).endswith(f" matched; 1 unexpected: htp.more{hint}")
    path = file({**patched.state_dict(), "more": torch.zeros(1)})
    assert refused(path, patched).endswith(" matched; 1 unexpected: more")


def test_the_sets_that_there_are(file):
    state = Pair().state_dict()
    path = file({"a": state, "b": Pair().state_dict(), "c": Pair().state_dict()})
    assert refused(path) == (
        f"{path} holds several sets of weights that fit: 'a', 'b', 'c'; choose one, as key='a'"
    )
    assert refused(path, key="d") == f"{path} has no weights at key='d'; it has some at 'a', 'b', 'c'"
    for key in "abc":
        assert load_checkpoint(Pair(), path, key=key).key == key


def test_two_sets_from_before_the_patch_are_several(file):
    model = HOST.patch(HOST.make(), num_sft_layers=1)
    path = file({"model": HOST.make().state_dict(), "ema": HOST.make().state_dict()})
    assert "several sets of weights that fit: 'model', 'ema'" in refused(path, model)
    assert load_checkpoint(model, path, key="ema").key == "ema"


def test_a_part_of_the_weights_beside_all_of_them(file):
    state = Pair().state_dict()
    three, two, one = (dict(list(state.items())[:count]) for count in (3, 2, 1))
    for part in (three, two, one):
        path = file({"part": {key: value + 1 for key, value in part.items()}, "whole": state})
        assert load_checkpoint(Pair(), path).key == "whole"
        if part is three:
            assert "several sets of weights that fit: 'whole', 'part'" in refused(path, strict=False)
        else:
            assert load_checkpoint(Pair(), path, strict=False).key == "whole"


def test_tensors_that_share_a_name_or_more_are_each_told(file):
    with torch.device("meta"):
        model = Pair()
    buffer = torch.empty(1, device="meta")
    model.register_buffer("one", buffer, persistent=False)
    model.register_buffer("two", buffer, persistent=False)
    path = file(Pair().state_dict())
    assert refused(path, model) == (
        f"{path} has no values for 2 tensors of a model on the meta device: one, two; load before patching, "
        "or build the model on a device"
    )


def test_what_a_patch_added_has_no_values_from_before_it(file):
    model = HOST.patch(HOST.make().to("meta"), num_sft_layers=1)
    added = {*dict(model.named_parameters()), *dict(model.named_buffers())} - {*HOST.make().state_dict()}
    path = file(HOST.make().state_dict())
    assert f"{path} has no values for {len(added)} tensors of a model on the meta" in refused(path, model)


def test_prefixes_the_most_frequent_first():
    own = ["a.w", "b.w"]
    assert prefixes(["x.a.w", "y.a.w", "y.b.w", "b.w.more"], own) == ["y.", "x."]
    assert prefixes(["none"], own) == []


def test_names_of_wrappers_that_two_keys_differ_by_stay():
    assert plain_keys(["module.a", "b"]) == {"a": "module.a", "b": "b"}
    assert plain_keys(["module.a", "a"]) == {"module.a": "module.a", "a": "a"}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
def test_what_keeps_a_tensor_from_being_loaded():
    own, x = torch.zeros(2), torch.zeros(2)
    kinds = {
        "[3] for [2]": torch.zeros(3),
        "without values": x.to("meta"),
        "torch.sparse_coo for torch.strided": x.to_sparse(),
        "quantized for torch.strided": torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        "torch.int64 for torch.float32": x.long(),
        "torch.complex64 for torch.float32": x.to(torch.complex64),
    }
    for said, found in kinds.items():
        result = fit("net", {"x.w": found, "y": x}, {"w": own, "v": own}, "x.")
        assert (result.name, result.prefix) == ("net.x", "x.")
        assert (result.matched, result.missing, result.unexpected) == ((), ("v",), ("y",))
        assert result.resized == (f"w {said}",)
    assert fit("", {"w": x.half()}, {"w": own}, "").matched == ("w",)


def test_files_of_other_kinds(tmp_path, file):
    for name, form in (("a.tar", tarfile.GNU_FORMAT), ("b.pt", tarfile.PAX_FORMAT)):
        with tarfile.open(tmp_path / name, "w", format=form) as archive:
            archive.addfile(tarfile.TarInfo("weights"), BytesIO())
        assert refused(tmp_path / name) == (
            f"{tmp_path / name} is a tar archive; unpack it, and load the file inside"
        )
    half = os.urandom(40_000) + bytes(60_000)  # packs to 40 %
    with zipfile.ZipFile(tmp_path / "c.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", half)
    assert refused(tmp_path / "c.pt").endswith(
        "is packed tighter than torch.save does; unpack and save it again"
    )


def test_an_index_of_shards(tmp_path, file):
    state, index = Pair().state_dict(), tmp_path / "a.index.json"
    save_file(state, tmp_path / "s.safetensors")
    index.write_text("\n " + json.dumps({"weight_map": dict.fromkeys(state, "s.safetensors")}))
    report = load_checkpoint(Pair(), index)
    assert (report.key, report.matched) == ("", tuple(state))
    assert load_checkpoint(Pair(), tmp_path / "s.safetensors").key == ""
    file({"model": state}, "deeper.pt")
    index.write_text(json.dumps({"weight_map": dict.fromkeys(state, "deeper.pt")}))
    assert refused(index) == f"{index} places first.weight in deeper.pt, which does not hold it"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("\x1b[1;31mbad\x1b[0m magic\nand more"), "bad magic"),
        (KeyError(), "KeyError"),
        (ValueError("  \n "), "ValueError"),
        (RuntimeError("set weights_only=False"), "RuntimeError"),
    ],
)
def test_the_reason_of_a_reader_in_one_line(file, monkeypatch, error, said):
    def fail(_path):
        raise error

    monkeypatch.setattr(weight_file, "load_restricted", fail)
    path = file({})
    assert refused(path) == f"{path} is damaged, or no checkpoint: {said}"


def test_a_pickle_of_another_protocol(tmp_path):
    path = tmp_path / "a.pt"
    for protocol in (1, 4):
        torch.save(Pair().state_dict(), path, pickle_protocol=protocol)
        assert refused(path) == (
            f"{path} was saved with pickle protocol {protocol}, which is not read here; "
            "save it again with torch.save's own"
        )


def test_how_deep_weights_are_looked_for(file):
    for depth, found in ((9, True), (10, False)):
        content = Pair().state_dict()
        for number in range(depth):
            content = {f"k{number}": content}
        if found:
            assert load_checkpoint(Pair(), file(content)).key.count(".") == depth - 1
        else:
            assert "holds no tensor by name" in refused(file(content))


def test_what_a_file_without_weights_holds(file):
    path = file({"epoch": 3, "lr": 0.1})
    assert refused(path) == f"{path} holds no tensor by name, but epoch (int), lr (float)"
    path = file({"f": np.testing.assert_equal, "args": argparse.Namespace(), "bag": Bag(a=1)})
    name = f"{np.testing.assert_equal.__module__}.assert_equal"
    assert refused(path) == (
        f"{path} holds no tensor by name, but f ({name}), args (argparse.Namespace), bag (OrderedDict). "
        f"Its objects (argparse.Namespace, numpy, {Bag.__module__}.Bag) were not made: save the "
        "state_dict() alone"
    )


def test_objects_of_known_packages_beside_a_class_of_dictionaries(file):
    beside = {
        "random": np.random.RandomState(3),
        "generator": np.random.default_rng(3),
        "layer": nn.Linear(2, 2),
        "args": argparse.Namespace(lr=0.1),
        "nothing": Bag(a=1),
    }
    source, target = Pair(), Pair()
    report = load_checkpoint(target, file({**beside, "state_dict": Bag(source.state_dict())}))
    assert report.key == "state_dict"
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())
    assert [name for name in report.skipped if "numpy" in name] == ["numpy"]
    assert {"argparse.Namespace", f"{Bag.__module__}.Bag", "torch.nn.modules.linear.Linear"} <= set(
        report.skipped
    )


def test_an_object_of_pytorch_beside_a_class_of_lists(file):
    source, target = Pair(), Pair()
    report = load_checkpoint(
        target, file({"layer": nn.Linear(2, 2), "log": Log([1]), "state_dict": source.state_dict()})
    )
    assert all(torch.equal(value, source.state_dict()[key]) for key, value in target.state_dict().items())
    assert {f"{Log.__module__}.Log", "torch.nn.modules.linear.Linear"} <= set(report.skipped)


def test_weights_from_a_gpu_come_to_the_cpu(file, monkeypatch):
    with monkeypatch.context() as patches:
        patches.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        path = file(Pair().state_dict())
    assert b"cuda:0" in path.read_bytes()
    (tensors,) = read_weights(path).sets.values()
    assert all(value.device.type == "cpu" for value in tensors.values())
