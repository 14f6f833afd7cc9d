"""Parts of a long run: found again, refused if made otherwise, and never half written."""

from dataclasses import dataclass, replace

import pytest
import torch

from htp_diffusion.base import files, tensors
from htp_diffusion.base import parts as parts_module
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.parts import Parts, differences
from htp_diffusion.base.results import write_json
from htp_diffusion.base.tensors import read_tensors, sha256_of, write_tensors


@dataclass(frozen=True)
class Recipe:
    steps: int
    motions: list[str]


@dataclass(frozen=True)
class Asked:
    name: str
    recipe: Recipe


@dataclass(frozen=True)
class Loss:
    value: float


ASKED = Asked("htp", Recipe(7, ["walk", "run"]))


def test_a_part_is_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return Loss(0.1 + 0.2)

    for _ in range(2):
        parts = Parts(tmp_path / "parts")
        assert parts.find_or_make("one", ASKED, Loss, make) == Loss(0.1 + 0.2)
    assert made == [1]
    assert parts.find("other", ASKED, Loss) is None


def test_a_part_made_otherwise_is_refused_and_stays(tmp_path):
    parts = Parts(tmp_path)
    parts.store("one", ASKED, Loss(1.0))
    other = replace(ASKED, recipe=Recipe(8, ["walk"]))
    with pytest.raises(BenchmarkError, match=r"recipe\.steps 7, asked for 8; recipe\.motions; name another"):
        parts.find("one", other, Loss)
    assert parts.find("one", ASKED, Loss) == Loss(1.0)


def test_differences_of_equal_values_are_none():
    assert list(differences(ASKED, ASKED)) == []
    assert list(differences(None, ASKED, "htp")) == [f"htp None, asked for {ASKED!r}"]


def test_tensors_come_back_bit_for_bit(tmp_path):
    weights = {"a": torch.randn(3, 2).T, "b": torch.arange(4), "c": torch.randn(2).bfloat16()}
    parts = Parts(tmp_path)
    parts.store("one", ASKED, Loss(1.0), weights)
    found = parts.tensors("one")
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[name], value) for name, value in weights.items())


@pytest.mark.parametrize("cut", [0, 5, -1])
@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_cut_file_is_one_clear_error(tmp_path, suffix, cut):
    parts = Parts(tmp_path)
    parts.store("one", ASKED, Loss(1.0), {"a": torch.ones(9)})
    path = tmp_path / f"one.{suffix}"
    # JSON ends in a newline, without which it is whole.
    path.write_bytes(path.read_bytes()[: cut - 1 if cut < 0 else cut])

    def resume():
        return parts.find("one", ASKED, Loss), parts.tensors("one")

    with pytest.raises(BenchmarkError, match=f"one.{suffix} is (not JSON|not a safetensors file)"):
        resume()


def test_a_kill_between_the_files_leaves_the_part_undone(tmp_path, monkeypatch):
    parts = Parts(tmp_path)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(parts_module, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            parts.store("one", ASKED, Loss(1.0), {"a": torch.ones(9)})
    assert parts.find("one", ASKED, Loss) is None
    parts.store("one", ASKED, Loss(2.0), {"a": torch.zeros(9)})
    assert parts.find("one", ASKED, Loss) == Loss(2.0)
    assert parts.tensors("one")["a"].sum() == 0


def test_a_kill_while_tensors_are_written_leaves_the_file_before(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    digest = write_tensors(path, {"a": torch.ones(9)})
    assert sha256_of(path) == digest

    def half(_, target):
        target.write_bytes(path.read_bytes()[:20])
        raise KeyboardInterrupt

    monkeypatch.setattr(tensors, "save_file", half)
    with pytest.raises(KeyboardInterrupt):
        write_tensors(path, {"a": torch.zeros(9)})
    assert sha256_of(path) == digest
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_what_is_not_wanted_stays_on_the_disk(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    write_tensors(path, {"model.a": torch.ones(2), "optimizer.0": torch.ones(3)})
    opened, read = tensors.safe_open, []

    class Watched:
        def __init__(self, *given, **named):
            self.file = opened(*given, **named)

        def __enter__(self):
            self.inside = self.file.__enter__()
            return self

        def __exit__(self, *given):
            return self.file.__exit__(*given)

        def keys(self):
            return self.inside.keys()

        def get_tensor(self, name):
            read.append(name)
            return self.inside.get_tensor(name)

    monkeypatch.setattr(tensors, "safe_open", Watched)
    assert list(read_tensors(path, lambda names: [name for name in names if name[0] == "m"])) == ["model.a"]
    assert read == ["model.a"]


def test_files_that_cannot_be_read_or_written_are_told(tmp_path):
    with pytest.raises(BenchmarkError, match=r"cannot read .*none\.safetensors"):
        read_tensors(tmp_path / "none.safetensors")
    with pytest.raises(BenchmarkError, match=r"cannot write .*a\.safetensors"):
        write_tensors(tmp_path / "none" / "a.safetensors", {"a": torch.ones(1)})
    with pytest.raises(BenchmarkError, match=r"cannot write .*none"):
        write_json(tmp_path / "none" / "a.json", ASKED)
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchmarkError, match="cannot make the folder"):
        Parts(tmp_path / "file")
    assert files.make_folder(tmp_path / "new").is_dir()
