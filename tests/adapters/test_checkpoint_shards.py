"""safetensors, and weights in several files. Oracle: the saved weights."""

import json

import pytest
import torch
from loading import HOST, refused, same
from safetensors.torch import save_file

from adapters import load_checkpoint


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["a.safetensors", "a.bin"])
def test_safetensors_by_content(tmp_path, name, dtype):
    source, target = HOST.make(), HOST.make()
    save_file({key: value.to(dtype) for key, value in source.state_dict().items()}, tmp_path / name)
    load_checkpoint(target, tmp_path / name)
    assert same(target, {key: value.to(dtype).float() for key, value in source.state_dict().items()})


def test_a_safetensors_file_that_begins_like_a_web_page(tmp_path):
    source, target = HOST.make(), HOST.make()
    state = source.state_dict()
    save_file(state, tmp_path / "a.bin", {"note": ""})
    length = int.from_bytes((tmp_path / "a.bin").read_bytes()[:8], "little")
    wanted = int.from_bytes(b" <", "little")
    save_file(state, tmp_path / "a.bin", {"note": "x" * (wanted - length)})
    assert (tmp_path / "a.bin").read_bytes()[:9] == b" <\0\0\0\0\0\0{"
    load_checkpoint(target, tmp_path / "a.bin")
    assert same(target, state)


def sharded(folder, state, ending):
    """As transformers and diffusers write them."""
    names = [f"model-{number:05}-of-00003.{ending}" for number in (1, 2, 3)]
    places = {key: names[number % 3] for number, key in enumerate(state)}
    for name in names:
        part = {key: state[key].clone() for key, place in places.items() if place == name}
        (save_file if ending == "safetensors" else torch.save)(part, folder / name)
    index = folder / f"model.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
@pytest.mark.parametrize("folder", [False, True])
def test_shards_with_an_index(tmp_path, ending, folder):
    source, target = HOST.make(), HOST.make()
    index = sharded(tmp_path, source.state_dict(), ending)
    load_checkpoint(target, tmp_path if folder else index)
    assert same(target, source.state_dict())


def test_shards_that_are_not_all_there(tmp_path):
    index = sharded(tmp_path, HOST.make().state_dict(), "safetensors")
    content = json.loads(index.read_text())
    places = content["weight_map"]
    first = next(iter(places))
    for place, said in (
        ("other.safetensors", "names the shard other.safetensors, which is not there"),
        (f"../{tmp_path.name}/{places[first]}", "does not lie in its own folder"),
        (next(place for place in places.values() if place != places[first]), "which does not hold it"),
    ):
        index.write_text(json.dumps({**content, "weight_map": {**places, first: place}}))
        refused(index, match=said)
    for other in ({"weight_map": {}}, {"a": 1}):
        index.write_text(json.dumps(other))
        refused(index, match="no index of shards: it has no weight_map")
