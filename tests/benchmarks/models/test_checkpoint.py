"""Checkpoints: the names of their tensors, and how much of a file is read."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_runs import micro_denoiser, small_motions, trainer_in

import adapters
import publish_checkpoint
from htp_diffusion.base import tensors as tensors_module
from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json, write_json
from htp_diffusion.base.tensors import sha256_of
from htp_diffusion.models import checkpoint as checkpoint_module
from htp_diffusion.models.checkpoint import load_checkpoint, load_denoiser, read_record, save_checkpoint
from htp_modules import HTPConfig

SHIPPED = sorted((Path(__file__).resolve().parents[3] / "benchmarks" / "checkpoints").glob("*.json"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("run")
    list(trainer_in(folder, small_motions()).run())
    return folder


def published(run, target):
    run_command(publish_checkpoint.main, publish_checkpoint.Options, [str(run), str(target)])
    return target.with_name(json.loads(target.read_text())["tensors"])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_file_fits_its_model_whole(path):
    try:
        checkpoint, expected = load_denoiser(path)
    except BenchmarkError as error:
        if "before version 0.2" not in str(error):
            raise
        pytest.skip(str(error))
    model = checkpoint.build()
    report = adapters.load_checkpoint(model, path.with_name(checkpoint.tensors))
    assert (set(report.matched), report.missing) == (set(model.state_dict()), ())
    assert (report.unexpected, report.resized) == ((), ())
    assert all(torch.equal(value, expected.state_dict()[name]) for name, value in model.state_dict().items())


def test_what_is_published_are_the_averaged_weights_by_plain_names(run, tmp_path):
    file = published(run, tmp_path / "htp.json")
    names = set(micro_denoiser("htp").build().state_dict())
    in_run = load_file(run / read_record(run / "last.json").tensors)
    stored = load_file(file)
    assert stored.keys() == names
    assert all(torch.equal(stored[name], in_run[f"ema.{name}"]) for name in names)
    model = micro_denoiser("htp").build()
    model.load_state_dict(stored)
    assert set(adapters.load_checkpoint(model, file).matched) == names
    for path in (tmp_path / "htp.json", run / "last.json"):
        loaded = load_denoiser(path)[1].state_dict()
        assert all(torch.equal(loaded[name], stored[name]) for name in names)


def test_a_run_is_not_written_over(run, tmp_path, capsys):
    kept = sorted((path.name, path.read_bytes()) for path in run.iterdir())
    for name in ("last.json", "best.json"):
        with pytest.raises(SystemExit):
            published(run, tmp_path / name)
        assert f"{name} is the name of a run's own file" in capsys.readouterr().err
    assert sorted((path.name, path.read_bytes()) for path in run.iterdir()) == kept


def test_a_file_with_the_prefix_of_runs_is_read_and_published_anew(run, tmp_path):
    file = published(run, tmp_path / "htp.json")
    plain = load_file(file)
    save_file({f"ema.{name}": value for name, value in plain.items()}, file)
    record = json.loads((tmp_path / "htp.json").read_text())
    (tmp_path / "htp.json").write_text(json.dumps(record | {"sha256": sha256_of(file)}))
    loaded = load_denoiser(tmp_path / "htp.json")[1].state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in plain.items())
    again = published(tmp_path / "htp.json", tmp_path / "again.json")
    assert load_file(again).keys() == plain.keys()


@pytest.mark.parametrize(("weights", "prefix"), [("averaged", "ema."), ("last", "model.")])
def test_scoring_reads_one_models_tensors(run, monkeypatch, weights, prefix):
    opened, read = tensors_module.safe_open, []

    def watched(*given, **named):
        file = opened(*given, **named)

        class Watched:
            def __enter__(self):
                self.inside = file.__enter__()
                return self

            def __exit__(self, *reason):
                return file.__exit__(*reason)

            def keys(self):
                return self.inside.keys()

            def get_tensor(self, name):
                read.append(name)
                return self.inside.get_tensor(name)

        return Watched()

    monkeypatch.setattr(tensors_module, "safe_open", watched)
    load_denoiser(run / "last.json", weights=weights)
    assert {name.removeprefix(prefix) for name in read} == set(micro_denoiser("htp").build().state_dict())
    assert all(name.startswith(prefix) for name in read)
    read.clear()
    load_checkpoint(run / "last.json")
    assert any(name.startswith("optimizer.") for name in read)


def test_a_published_checkpoint_has_no_last_weights(run, tmp_path):
    published(run, tmp_path / "htp.json")
    with pytest.raises(BenchmarkError, match="holds no last weights: it is a published checkpoint"):
        load_denoiser(tmp_path / "htp.json", weights="last")


@pytest.mark.parametrize("depth", [10**7, 10**20])
def test_more_blocks_than_there_are_tensors_are_refused_before_they_are_built(run, tmp_path, depth):
    path = tmp_path / "htp.json"
    published(run, path)
    stated = json.loads(path.read_text())
    stated["denoiser"]["depth"] = depth
    path.write_text(json.dumps(stated))
    with pytest.raises(BenchmarkError, match=f"do not fit its model: it states {depth:,} pairs of blocks"):
        load_denoiser(path)


def test_a_config_written_before_frames_could_be_required(tmp_path):
    path, config = tmp_path / "config.json", HTPConfig(num_keep=9, required=("centre", 3))
    write_json(path, config)
    assert read_json(path, HTPConfig) == config
    written = json.loads(path.read_text())
    del written["required"]
    path.write_text(json.dumps(written))
    assert read_json(path, HTPConfig) == HTPConfig(num_keep=9)


def test_saving_leaves_the_tensors_of_a_checkpoint_whose_name_begins_alike(run, tmp_path):
    others = [published(run, tmp_path / f"{name}.json") for name in ("htp-small", "htp-000001")]
    first = published(run, tmp_path / "htp.json")
    cut_short = tmp_path / f".{first.name}.0123abcd.partial"
    cut_short.touch()
    second = published(run, tmp_path / "htp.json")
    assert all(path.exists() for path in (*others, second))
    assert not first.exists()
    assert cut_short.exists()  # newer than the JSON file before: it may be of another process
    third = published(run, tmp_path / "htp.json")
    assert all(path.exists() for path in (*others, third))
    assert not second.exists()
    assert not cut_short.exists()


def test_saving_leaves_tensors_that_another_json_file_names(run, tmp_path):
    path, keep = tmp_path / "htp.json", tmp_path / "keep.json"
    first = published(run, path)
    shutil.copy(path, keep)
    (tmp_path / "broken.json").write_text('{"tensors": ')
    (tmp_path / "other.json").write_text("[1]")
    second = published(run, path)
    assert load_checkpoint(keep)[0].tensors == first.name
    third = published(run, path)
    assert load_checkpoint(keep)[0].tensors == first.name
    assert (first.exists(), second.exists(), third.exists()) == (True, False, True)
    keep.unlink()
    published(run, path)
    assert not first.exists()  # of this checkpoint, and unnamed by now


def test_a_save_leaves_the_tensors_of_another_process_that_is_about_to_name_them(run, tmp_path, monkeypatch):
    path = tmp_path / "last.json"
    checkpoint, tensors = load_checkpoint(run / "last.json")
    save_checkpoint(path, checkpoint, tensors)
    write = checkpoint_module.write_json

    def while_another_saves(path, result):
        monkeypatch.setattr(checkpoint_module, "write_json", write)
        save_checkpoint(path, checkpoint, tensors)
        write(path, result)

    monkeypatch.setattr(checkpoint_module, "write_json", while_another_saves)
    written = save_checkpoint(path, checkpoint, tensors)
    assert load_checkpoint(path)[0] == written


def test_a_link_to_nowhere_is_a_name_that_is_taken(run, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    (tmp_path / "htp-000007.safetensors").symlink_to(elsewhere)
    assert published(run, tmp_path / "htp.json").name == "htp-000007-1.safetensors"
    assert not elsewhere.exists()


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_tensors_with_a_name_that_no_file_has_are_one_error(run, tmp_path, name):
    record = json.loads((run / "last.json").read_text())
    (tmp_path / "htp.json").write_text(json.dumps(record | {"tensors": name}))
    with pytest.raises(BenchmarkError, match=r"htp\.json names tensors that no file can be called"):
        load_denoiser(tmp_path / "htp.json")


def damaged(run, tmp_path, change):
    """A published checkpoint whose tensors are changed, and its hash with them."""
    file = published(run, tmp_path / "htp.json")
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)
    record = json.loads((tmp_path / "htp.json").read_text())
    (tmp_path / "htp.json").write_text(json.dumps(record | {"sha256": sha256_of(file)}))
    return tmp_path / "htp.json"


@pytest.mark.parametrize(
    ("value", "dtype"), [(math.nan, torch.float32), (-math.inf, torch.float32), (1e300, torch.float64)]
)
def test_weights_that_are_not_finite_are_refused(run, tmp_path, value, dtype):
    def change(tensors):
        tensors["head.1.bias"] = tensors["head.1.bias"].to(dtype)
        tensors["head.1.bias"][1] = value

    with pytest.raises(BenchmarkError, match=r"the weights of .*htp\.json are not finite: head\.1\.bias"):
        load_denoiser(damaged(run, tmp_path, change))


def test_an_embedding_of_another_rank_is_refused(run, tmp_path):
    def change(tensors):
        tensors["Spatial_patch_to_embedding.convolution.weight"] = torch.zeros(3)

    with pytest.raises(BenchmarkError, match="do not fit its model"):
        load_denoiser(damaged(run, tmp_path, change))


def test_a_run_is_not_published_onto_itself(run, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    (tmp_path / "folder.json").mkdir()
    for target, message in (
        (run / "last.json", "is what is to be cut down: name another file"),
        (".", "target expects the name of a JSON file, got ."),
        (tmp_path / "folder.json", "target expects the name of a JSON file"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run_command(publish_checkpoint.main, publish_checkpoint.Options, [str(run), str(target)])
        assert stopped.value.code == 2
        assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
