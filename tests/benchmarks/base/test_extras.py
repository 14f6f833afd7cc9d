"""A package that is not installed: one line that names pip's command, whatever script asks for it."""

import ast
import configparser
import re
import runpy
import sys
from pathlib import Path

import pytest
import torch

import adapters
from adapters.errors import CheckpointError
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.extras import PACKAGES
from htp_diffusion.training.scalars import tensorboard_scalars

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.fixture(params=SCRIPTS, ids=lambda script: script.stem)
def script(request):
    return request.param


def imported(source):
    """The roots of every package that a module imports, at any depth of it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", ["tyro", "PIL"])
def test_a_script_names_what_is_not_installed(script, package, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "htp_diffusion.base.extras", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # its import fails, and it is not found
    monkeypatch.setattr(sys, "argv", [str(script)])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(script), run_name="__main__")
    assert stopped.value.code == 2
    name = PACKAGES[package]
    told = f'error: not installed: {name}; in the project\'s folder: pip install -e ".[bench]"\n'
    assert capsys.readouterr().err == told


def test_all_that_is_missing_is_named_at_once(monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "htp_diffusion.base.extras", raising=False)
    for package in ("matplotlib", "rich", "htp_modules", "adapters"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit):
        runpy.run_path(str(SCRIPTS[0]), run_name="__main__")
    assert "not installed: htp-modules, matplotlib, rich;" in capsys.readouterr().err


def test_every_package_that_is_imported_is_looked_for():
    """What one function imports alone, it asks for itself: tensorboard, h5py and scipy."""
    files = [*SCRIPTS, *(ROOT / "benchmarks" / "htp_diffusion").rglob("*.py")]
    found = {name for file in files for name in imported(file.read_text(encoding="utf-8"))}
    assert found - set(sys.stdlib_module_names) - {"htp_diffusion"} == set(PACKAGES)


def test_the_extra_installs_what_is_looked_for():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = f"{setup['options']['install_requires']}\n{setup['options.extras_require']['bench']}"
    named = {re.match(r"[\w-]+", line).group() for line in lines.split("\n") if line.strip()}
    assert named == set(PACKAGES.values()) - {"htp-modules"}


def test_what_only_one_option_needs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BenchmarkError, match="pip install tensorboard"), tensorboard_scalars(tmp_path, 0):
        pass
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "model.safetensors").write_bytes(bytes(16))
    with pytest.raises(CheckpointError, match=r"needs safetensors: pip install safetensors$"):
        adapters.load_checkpoint(torch.nn.Linear(2, 2), tmp_path / "model.safetensors")
