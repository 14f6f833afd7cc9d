"""Formats, and what lies beside the weights. Oracles: the saved weights; files that leave a trace."""

import argparse
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import pickle
import random
import types
import uuid
import zipfile
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from dataclasses import dataclass

import pytest
import torch
from loading import HOST, refused, same
from torch import nn

from adapters import load_checkpoint


class Config:
    def __init__(self, **options):
        self.__dict__.update(options)


class Slotted:
    __slots__ = ("depth",)

    def __init__(self):
        self.depth = 3


class Bag(dict):
    """As easydict's, yacs's and addict's."""

    def __getattr__(self, name):
        if name not in self:
            raise AttributeError(name)
        return self[name]


class Log(list):
    pass


class Mode(enum.Enum):
    TRAIN = 1


@dataclass
class Options:
    lr: float = 0.1


Point = types.new_class("Point", (tuple,))


BESIDE = {
    "argparse.Namespace": argparse.Namespace(lr=0.1, frames=243),
    "types.SimpleNamespace": types.SimpleNamespace(lr=[0.1]),
    "pathlib": pathlib.Path("runs") / "a",
    "datetime.datetime": datetime.datetime.now(datetime.timezone.utc),
    "decimal.Decimal": decimal.Decimal("0.1"),
    "fractions.Fraction": fractions.Fraction(1, 3),
    "uuid.UUID": uuid.uuid4(),
    "random.Random": random.Random(3),
    "functools.partial": functools.partial(print, 3),
    "Config": Config(lr=0.1, inner=Config(depth=8)),
    "Slotted": Slotted(),
    "Bag": Bag(lr=0.1, inner=Bag(depth=8)),
    "Log": Log([1, 2]),
    "Mode": Mode.TRAIN,
    "Options": Options(),
    "LBFGS": torch.optim.LBFGS([nn.Parameter(torch.zeros(2))]),
    "Linear": nn.Linear(2, 2),
}
PLAIN = {
    "containers": [
        deque([1]),
        {1, 2},
        frozenset([3]),
        Counter("ab"),
        OrderedDict(a=1),
        defaultdict(list, a=[1]),
    ],
    "numbers": [1j, 2**80, -1.5, range(3), slice(1, 2), b"bytes", bytearray(b"b"), None, True],
    "PyTorch's": [torch.float16, torch.device("cpu"), torch.Size([1]), torch.strided],
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", [*BESIDE, *PLAIN])
def test_objects_beside_the_weights_are_skipped(tmp_path, name, legacy):
    if name == "functools.partial":
        BESIDE[name] = functools.partial(Config, lr=3)
    source, target = HOST.make(), HOST.make()
    if legacy and name == "Linear":
        pytest.skip("the old format keeps modules with their source; the test below")
    content = {"epoch": 3, "args": BESIDE.get(name, PLAIN.get(name)), "state_dict": source.state_dict()}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    report = load_checkpoint(target, tmp_path / "a.pt")
    assert same(target, source.state_dict())
    if name in PLAIN:
        assert report.skipped == ()
    else:
        assert any(name in skipped for skipped in report.skipped)
        assert "objects skipped: " in str(report)


def test_weights_in_a_class_of_dictionaries_load(tmp_path):
    source, target = HOST.make(), HOST.make()
    torch.save({"epoch": 1, "state_dict": Bag(source.state_dict())}, tmp_path / "a.pt")
    load_checkpoint(target, tmp_path / "a.pt")
    assert same(target, source.state_dict())
    torch.save({"state_dict": defaultdict(list, source.state_dict())}, tmp_path / "b.pt")
    load_checkpoint(target, tmp_path / "b.pt")


def test_objects_that_cannot_be_skipped_are_named(tmp_path):
    torch.save(
        {"log": Log([1, 2]), "bag": Bag(a=1), "state_dict": HOST.make().state_dict()}, tmp_path / "a.pt"
    )
    refused(tmp_path / "a.pt", match=r"cannot be skipped, of .*Bag, .*Log; nothing of it was run")
    torch.save({"a": nn.Linear(2, 2)}, tmp_path / "c.pt", _use_new_zipfile_serialization=False)
    refused(tmp_path / "c.pt", match=r"cannot be skipped, of .*torch.nn.modules.linear.Linear; nothing")
    torch.save({"state_dict": UserDict(HOST.make().state_dict())}, tmp_path / "b.pt")
    refused(tmp_path / "b.pt", match=r"no tensor by name, but state_dict \(collections.UserDict\)")


class Trap:
    def __init__(self, function, *arguments):
        self.made_by = function, arguments

    def __reduce__(self):
        return self.made_by


TRAPS = {
    "builtins.eval": lambda mark: Trap(eval, f"open({str(mark)!r}, 'w')"),
    "builtins.exec": lambda mark: Trap(exec, f"open({str(mark)!r}, 'w')"),
    "_?io.open": lambda mark: Trap(open, str(mark), "w"),
    "builtins.getattr": lambda mark: Trap(getattr, mark, "touch"),
    "posix.system": lambda mark: Trap(__import__("os").system, f"touch {mark}"),
    "subprocess": lambda mark: Trap(__import__("subprocess").getoutput, f"touch {mark}"),
    "runpy": lambda mark: Trap(__import__("runpy").run_path, str(mark)),
    "importlib": lambda mark: Trap(__import__("importlib").import_module, "antigravity"),
    "urllib.request": lambda mark: Trap(__import__("urllib.request").request.urlopen, mark.as_uri()),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", TRAPS)
def test_a_file_that_would_run_something_is_refused_by_name(tmp_path, name, legacy):
    mark = tmp_path / "it ran"
    content = {"model": HOST.make().state_dict(), "args": TRAPS[name](mark)}
    torch.save(content, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
    refused(tmp_path / "a.pt", match=rf"more than weights: {name}.*, which could run something; nothing was")
    assert not mark.exists()


@pytest.mark.parametrize("unsafe", ["0", "1"])
def test_code_of_a_package_does_not_run(tmp_path, monkeypatch, unsafe):
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", unsafe)  # PyTorch's default becomes the unsafe one
    mark = tmp_path / "it ran"
    torch.save({"model": HOST.make().state_dict(), "x": Trap(nn.init.zeros_, Config())}, tmp_path / "a.pt")
    torch.save({"model": HOST.make().state_dict(), "x": Trap(_leave, str(mark))}, tmp_path / "b.pt")
    for name in ("a.pt", "b.pt"):
        load_checkpoint(HOST.make(), tmp_path / name)
    assert not mark.exists()


def _leave(mark):
    pathlib.Path(mark).touch()


@pytest.mark.parametrize("name", ["a.bin", "a.pt", "a.pth", "a.pth.tar", "a.ckpt", "model"])
@pytest.mark.parametrize("legacy", [False, True])
def test_any_name_and_both_formats(tmp_path, name, legacy):
    source, target = HOST.make(), HOST.make()
    torch.save(source.state_dict(), tmp_path / name, _use_new_zipfile_serialization=not legacy)
    load_checkpoint(target, tmp_path / name)
    assert same(target, source.state_dict())


def test_folders(tmp_path):
    refused(tmp_path, match="a folder that holds no checkpoint; name one file")
    source, target = HOST.make(), HOST.make()
    torch.save(source.state_dict(), tmp_path / "best.pt")
    load_checkpoint(target, tmp_path)
    assert same(target, source.state_dict())
    torch.save(source.state_dict(), tmp_path / "last.pt")
    refused(tmp_path, match="a folder that holds best.pt, last.pt; name one file")


def test_files_of_other_kinds(tmp_path):
    path = tmp_path / "a.pt"
    for start, said in (
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\n <html>", "a web page"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        (b"", "is empty"),
        (b"{}", "no index of shards"),
        (b"some text", "damaged, or no checkpoint"),
    ):
        path.write_bytes(start)
        refused(path, match=said)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
    refused(path, match="a zip archive, but not one of torch.save")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**6))
    refused(path, match="packed tighter than torch.save does")
    torch.save(HOST.make().state_dict(), path, pickle_protocol=4)
    refused(path, match="saved with pickle protocol 4")
    path.write_bytes(pickle.dumps({"a": [1, 2]}, 2))
    refused(path, match="damaged, or no checkpoint")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of TorchScript
def test_a_torchscript_program(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "a.pt")
    refused(tmp_path / "a.pt", match="a TorchScript program")
