"""Checkpoints made to do harm: one error, at once, in little memory. Each is made by hand."""

import io
import json
import pickle
import struct
import warnings
import zipfile

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import nn

from adapters import CheckpointError, load_checkpoint
from adapters.keys import prefixes
from adapters.opcodes import follow

MAGIC = 0x1950A86A20F9469CFC6C
NUMBERS = struct.pack("<4f", 1, 2, 3, 4)
ESCAPE = "\x1b[2J\x1b]52;c;aGk=\x07\nerror: all is well"


def text(words):
    return b"X" + struct.pack("<I", len(words)) + words.encode()


def weight(key, view=b""):
    """A (1, 4) tensor of the storage of this key; files from before 1.6 tell a view of it, too."""
    storage = (
        b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text(key) + text("cpu") + b"K\x04" + view + b"tQ"
    )
    shape = b"K\x01K\x04\x86K\x04K\x01\x86\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + b"tR"


def dictionary(*entries):
    return b"\x80\x02}(" + b"".join(key + value for key, value in entries) + b"u."


def write_legacy(path, content, keys=(), storages=b"", system=b"}."):
    parts = [*(pickle.dumps(one, 2) for one in (MAGIC, 1001)), system, content, pickle.dumps(list(keys), 2)]
    path.write_bytes(b"".join((*parts, storages)))
    return path


def write_zip(path, content, records):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")  # two of one name
        archive.writestr("archive/data.pkl", content)
        for name, data in records:
            archive.writestr(f"archive/{name}", data)
        archive.writestr("archive/version", b"3\n")
    return path


def model():
    made = nn.Linear(4, 1, bias=False)
    nn.init.zeros_(made.weight)
    return made


def refused(path, match):
    host = model()
    with pytest.raises(CheckpointError, match=match):
        load_checkpoint(host, path)
    assert torch.equal(host.weight, torch.zeros(1, 4))


@pytest.mark.parametrize(
    ("key", "match"),
    [
        (b")" + b"\x85" * 200_000, "for tuples in one another without end,"),  # overflows the machine's stack
        (b")" + b"q\x00h\x00\x86" * 45, "for tuples in one another without end,"),  # hashed 2^45 times
        (b"(" + b"K\x01" * 5 + b"t\x85", "for a dictionary whose keys are tuples of tuples, or long ones,"),
        (b"(" + b"K\x01" * 200 + b"t", "for a dictionary whose keys are tuples of tuples, or long ones,"),
    ],
    ids=["deep", "doubled", "nested", "long"],
)
@pytest.mark.parametrize("single", [True, False])
def test_keys_that_take_forever_to_hash(tmp_path, key, match, single):
    content = b"\x80\x02}" + key + b"K\x01s." if single else dictionary((key, b"K\x01"))
    refused(write_legacy(tmp_path / "a.pth", content), match)
    refused(write_zip(tmp_path / "b.pth", content, []), match)


@pytest.mark.parametrize("module", [b"builtins", b"__builtin__"])
@pytest.mark.parametrize("arguments", [b"J\x00\x94\x35\x77\x85", b"(J\x00\x94\x35\x77t", b"N"])
def test_memory_for_a_number(tmp_path, module, arguments):
    entry = b"c" + module + b"\nbytearray\n" + arguments + b"R"
    content = dictionary((text("a"), entry), (text("weight"), weight("0")))
    asked = "asks for a bytearray of a stated length, as no file of torch.save does; nothing was run$"
    refused(write_zip(tmp_path / "a.pth", content, [("data/0", NUMBERS)]), asked)


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (b"cbuiltins\nbytearray\nJ\x00\x94\x35\x77\x85R.", "a bytearray of a stated length"),
        (
            b"cposix\nsystem\n" + text("touch /tmp/it-ran") + b"\x85R.",
            "posix.system, which could run something",
        ),
    ],
    ids=["memory", "call"],
)
def test_harm_beside_the_content(tmp_path, call, match):
    content = dictionary((text("weight"), weight("7", view=b"N")))
    stored = struct.pack("<q", 4) + NUMBERS
    refused(write_legacy(tmp_path / "a.pth", content, ["7"], stored, b"\x80\x02" + call), match)


def test_a_bytearray_of_bytes_is_data(tmp_path):
    encoded = b"c_codecs\nencode\n" + text("ab") + text("latin1") + b"\x86R"
    state = b"cbuiltins\nbytearray\n" + encoded + b"\x85R"
    content = dictionary((text("rng"), state), (text("weight"), weight("0")))
    host = model()
    load_checkpoint(host, write_zip(tmp_path / "a.pth", content, [("data/0", NUMBERS)]))
    assert host.weight.tolist() == [[1.0, 2.0, 3.0, 4.0]]


def test_storages_left_as_the_memory_was(tmp_path):
    content = dictionary((text("weight"), weight("7", view=b"N")))
    stored = struct.pack("<q", 4) + NUMBERS
    host = model()
    load_checkpoint(host, write_legacy(tmp_path / "whole.pth", content, ["7"], stored))
    assert host.weight.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    for name, keys in (("none", []), ("other", ["8"]), ("more", ["7", "8"])):
        refused(write_legacy(tmp_path / f"{name}.pth", content, keys, stored), "does not hold the storages")
    stated = pickle.dumps(["7"], 2)
    for name, keys in (
        ("text", b"\x80\x02" + text("7") + b"."),
        ("popped", b"\x80\x02]" + text("7") + b"0."),
    ):
        whole = (tmp_path / "whole.pth").read_bytes()
        (tmp_path / f"{name}.pth").write_bytes(whole.replace(stated, keys))
        refused(tmp_path / f"{name}.pth", "does not hold the storages")


def test_a_storage_read_once_for_each_spelling_of_its_name(tmp_path):
    content = dictionary((text("weight"), weight("ab")), (text("more"), weight("AB")))
    refused(write_zip(tmp_path / "a.pth", content, [("data/ab", NUMBERS)]), "does not hold the storages")
    twice = [("data/ab", NUMBERS), ("data/AB", NUMBERS)]
    refused(write_zip(tmp_path / "b.pth", content, twice), "two members of one name")
    unnamed = dictionary((text("weight"), weight("0").replace(text("0"), b"K\x00")))
    refused(
        write_zip(tmp_path / "c.pth", unnamed, [("data/0", NUMBERS)]),
        "asks for storages that it does not name,",
    )


def test_an_index_of_indexes(tmp_path):
    for level in range(3):
        places = {"weight": f"{level + 1}.json", "bias": f"{level + 1}.json"}
        (tmp_path / f"{level}.json").write_text(json.dumps({"weight_map": places}))
    refused(tmp_path / "0.json", r"1\.json is an index of shards, and another index names it as a shard")


def test_what_a_file_says_does_not_steer_a_terminal(tmp_path):
    torch.save({ESCAPE: torch.zeros(2), "weight": torch.ones(1, 4)}, tmp_path / "a.pth")
    host = model()
    report = str(load_checkpoint(host, tmp_path / "a.pth", strict=False))
    with pytest.raises(CheckpointError) as stopped:
        load_checkpoint(host, tmp_path / "a.pth")
    torch.save({ESCAPE: 1, (1, 2): 3, "k" * 999: 4}, tmp_path / "b.pth")
    with pytest.raises(CheckpointError) as empty:
        load_checkpoint(host, tmp_path / "b.pth")
    for told in (report, str(stopped.value), str(empty.value)):
        assert told.isprintable()
        assert r"\x1b[2J" in told
        assert "k" * 81 not in told
    assert "a tuple (int)" in str(empty.value)


@pytest.mark.parametrize(("version", "reads"), [("2.6.0", False), ("2.9.1+cu130", False), ("2.10.0", True)])
def test_pickles_need_a_pytorch_that_reads_them_safely(tmp_path, monkeypatch, version, reads):
    torch.save(model().state_dict(), tmp_path / "a.pth")
    save_file(model().state_dict(), tmp_path / "a.safetensors")
    monkeypatch.setattr(torch, "__version__", version)
    load_checkpoint(model(), tmp_path / "a.safetensors")
    if reads:
        load_checkpoint(model(), tmp_path / "a.pth")
        return
    with pytest.raises(CheckpointError, match=r"CVE-2026-24747\): update to PyTorch 2\.10 .* safetensors"):
        load_checkpoint(model(), tmp_path / "a.pth")


NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=5).map(".".join)


@given(st.lists(NAMES), st.sets(NAMES))
def test_prefixes_are_those_of_every_way_to_cut_a_key(keys, own):
    cuts = [(key[:at], key[at:]) for key in keys for at in range(len(key)) if at == 0 or key[at - 1] == "."]
    assert set(prefixes(keys, own)) == {front for front, end in cuts if end in own}


def test_a_key_of_many_parts_takes_no_longer_than_it_is():
    front = "a." * 300_000
    assert prefixes([f"{front}weight"], ["weight", "bias"]) == [front]


PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()


def containers(inner):
    few = {"max_size": 4}
    return inner | st.lists(inner, **few) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, **few)


VALUES = containers(containers(containers(PLAIN)))


@given(VALUES, st.integers(0, 4), st.binary())
def test_a_pickle_of_data_is_followed_to_its_end(value, protocol, behind):
    whole = pickle.dumps(value, protocol)
    file = io.BytesIO(whole + behind)
    found = follow(file)
    assert file.tell() == len(whole)
    assert found.harm is None
    assert not found.storages
    if isinstance(value, str | int) and not isinstance(value, bool):
        assert found.result == value
