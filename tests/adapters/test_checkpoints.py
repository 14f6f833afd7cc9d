"""load_checkpoint. Oracles: the weights that were saved; files that leave a trace if anything runs."""

import pickle
import sys
from collections import OrderedDict

import hosts
import numpy as np
import pytest
import torch
from loading import same
from safetensors.torch import save_file
from torch import nn

import adapters
from adapters import CheckpointError, load_checkpoint

HOST = hosts.PUBLIC[0]


@pytest.mark.parametrize(
    "container", [None, "model_pos", "model", "model_state_dict", "state_dict", "nested"]
)
@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod."])
def test_containers_and_prefixes(tmp_path, container, prefix):
    source, target = HOST.make(), HOST.make()
    state = OrderedDict((prefix + key, value) for key, value in source.state_dict().items())
    content = state if container is None else {"epoch": 3, "lr": 1e-4, container: state}
    if container == "nested":
        content = {"model": {"state_dict": state}}
    torch.save(content, tmp_path / "a.bin")
    report = load_checkpoint(target, tmp_path / "a.bin")
    assert same(target, source.state_dict())
    assert report.matched == tuple(source.state_dict())
    assert report.missing == report.unexpected == report.resized == ()
    assert str(report) == f"{len(report.matched)} matched"


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_checkpoint_as_d3dp_saves_it(tmp_path, protocol):
    source, target = HOST.make(), HOST.make()
    optimizer = torch.optim.AdamW(source.parameters())
    source(*HOST.inputs()).sum().backward()
    optimizer.step()
    content = {
        "epoch": 7,
        "random_state": np.random.RandomState(1234),
        "generator": np.random.default_rng(3),
        "best": np.float64(35.4),
        "losses": np.arange(3.0),
        "optimizer": optimizer.state_dict(),
        "model_pos": source.state_dict(),
    }
    path = tmp_path / "best.bin"
    torch.save(content, path)
    before = set(torch.serialization.get_safe_globals())
    load_checkpoint(target, path)
    assert same(target, source.state_dict())
    assert set(torch.serialization.get_safe_globals()) == before


def test_numpy_is_not_needed_to_read_its_objects(tmp_path, monkeypatch):
    source, target = HOST.make(), HOST.make()
    torch.save(
        {"random_state": np.random.RandomState(1), "model_pos": source.state_dict()}, tmp_path / "a.pt"
    )
    for name in [name for name in sys.modules if name.partition(".")[0] == "numpy"]:
        monkeypatch.setitem(sys.modules, name, None)
    load_checkpoint(target, tmp_path / "a.pt")
    assert same(target, source.state_dict())


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


class Kind:
    pass


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_that_would_run_something_is_refused(tmp_path, legacy):
    target = HOST.make()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    mark = tmp_path / "it ran"
    content = {"model_pos": HOST.make().state_dict(), "random_state": Trap(mark)}
    torch.save(content, tmp_path / "a.bin", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(CheckpointError, match="holds more than weights"):
        load_checkpoint(target, tmp_path / "a.bin")
    assert not mark.exists()
    assert same(target, before)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (Kind(), "Kind"),
        (HOST.make(), "MixSTE2"),
        ({"model_pos": HOST.make()}, "MixSTE2"),
        ({"f": np.testing.assert_equal}, "numpy"),
    ],
)
def test_a_file_of_objects_alone_names_them(tmp_path, content, named):
    torch.save(content, tmp_path / "a.bin")
    with pytest.raises(CheckpointError, match=rf"no tensor by name.*{named}.* not made: save the state_dict"):
        load_checkpoint(HOST.make(), tmp_path / "a.bin")


def test_a_stand_in_for_numpy_cannot_be_made_to_run_anything(tmp_path):
    # numpy.core.multiarray.scalar and numpy.dtype, called with arguments that are themselves a trap.
    mark = tmp_path / "it ran"

    class Scalar:
        def __reduce__(self):
            return np._core.multiarray.scalar, (np.dtype("O"), Trap(mark))

    (tmp_path / "a.bin").write_bytes(pickle.dumps(Scalar(), 2))
    with pytest.raises(CheckpointError):
        load_checkpoint(HOST.make(), tmp_path / "a.bin")
    assert not mark.exists()


def test_safetensors(tmp_path):
    source, target = HOST.make(), HOST.make()
    save_file(
        {f"module.{key}": value for key, value in source.state_dict().items()}, tmp_path / "a.safetensors"
    )
    load_checkpoint(target, tmp_path / "a.safetensors")
    assert same(target, source.state_dict())
    (tmp_path / "b.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        load_checkpoint(target, tmp_path / "b.safetensors")


def change(state, kind):
    state = dict(state)
    if kind in ("missing", "all"):
        del state["head.1.bias"]
    if kind in ("unexpected", "all"):
        state["head.2.bias"] = torch.zeros(3)
    if kind in ("resized", "all"):
        state["Temporal_pos_embed"] = torch.zeros(1, 27, 8)
    return state


@pytest.mark.parametrize("kind", ["missing", "unexpected", "resized", "all"])
def test_a_checkpoint_that_does_not_fit(tmp_path, kind):
    source, target = HOST.make(), HOST.make()
    before = {key: value.clone() for key, value in target.state_dict().items()}
    torch.save(change(source.state_dict(), kind), tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"does not fit MixSTE2: \d+ matched; 1 ") as caught:
        load_checkpoint(target, tmp_path / "a.pt")
    assert same(target, before)
    for name in ("missing", "unexpected", "resized"):
        assert (f"1 {name}" in str(caught.value)) == (kind in (name, "all"))

    report = load_checkpoint(target, tmp_path / "a.pt", strict=False)
    expected = {
        "missing": ("head.1.bias",) if kind in ("missing", "all") else (),
        "unexpected": ("head.2.bias",) if kind in ("unexpected", "all") else (),
        "resized": ("Temporal_pos_embed [1, 27, 8] for [1, 9, 8]",) if kind in ("resized", "all") else (),
    }
    assert {name: getattr(report, name) for name in expected} == expected
    state = target.state_dict()
    assert all(torch.equal(state[key], source.state_dict()[key]) for key in report.matched)
    left = set(state) - set(report.matched)
    assert all(torch.equal(state[key], before[key]) for key in left)


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_matches(tmp_path, strict):
    torch.save({"model": nn.Linear(2, 2).state_dict()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"no weight of .* fits MixSTE2: 0 matched; .* and 76 more"):
        load_checkpoint(HOST.make(), tmp_path / "a.pt", strict=strict)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3}, r"no tensor by name, but epoch \(int\)"),
        ([1, 2], "no tensor by name, but a list"),
        ({}, "no tensor by name, but an empty dict"),
    ],
)
def test_no_weights(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(HOST.make(), tmp_path / "a.pt")


def test_files_that_are_none(tmp_path):
    target = HOST.make()
    with pytest.raises(CheckpointError, match=r"cannot read .*No such file"):
        load_checkpoint(target, tmp_path / "none.pt")
    torch.save(HOST.make().state_dict(), tmp_path / "whole.pt")
    whole = (tmp_path / "whole.pt").read_bytes()
    for cut in (0, 10, len(whole) // 2, len(whole) - 30):
        (tmp_path / "cut.pt").write_bytes(whole[:cut])
        with pytest.raises(CheckpointError):
            load_checkpoint(target, tmp_path / "cut.pt")


def test_wrapped_and_patched_models(tmp_path):
    source = HOST.make()
    torch.save({"model_pos": source.state_dict()}, tmp_path / "host.pt")

    wrapped = nn.DataParallel(HOST.make())
    load_checkpoint(wrapped, tmp_path / "host.pt")
    assert same(wrapped.module, source.state_dict())

    # A host's checkpoint loads into a patched host, which keeps what was added.
    patched = HOST.patch(HOST.make(), num_sft_layers=1)
    added = {key: value.clone() for key, value in patched.htp.state_dict().items()}
    report = load_checkpoint(patched, tmp_path / "host.pt")
    assert set(report.missing) == {f"htp.{key}" for key in added}
    assert same(patched.htp, added)
    inputs = HOST.inputs()
    with adapters.unpruned(patched):
        assert torch.equal(patched(*inputs), source(*inputs))

    # The patched one's goes into another patched one, not into a host.
    torch.save(patched.state_dict(), tmp_path / "patched.pt")
    other = HOST.patch(HOST.make(), num_sft_layers=1)
    assert load_checkpoint(other, tmp_path / "patched.pt").missing == ()
    assert torch.equal(other(*inputs), patched(*inputs))
    with pytest.raises(CheckpointError, match="patch this one before loading"):
        load_checkpoint(HOST.make(), tmp_path / "patched.pt")

    # Half of what was added is no checkpoint of either.
    half = {key: value for key, value in patched.state_dict().items() if not key.startswith("htp.tcep")}
    torch.save(half, tmp_path / "half.pt")
    with pytest.raises(CheckpointError, match=r"missing: htp\.tcep"):
        load_checkpoint(other, tmp_path / "half.pt")
