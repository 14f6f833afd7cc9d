"""The wheel and the sdist: what they hold, that they work without the checkout, and that types are found."""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

import htp_modules

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("htp_modules", "adapters")
VERSION = htp_modules.__version__
_BUILD = (
    "import sys; from setuptools import build_meta; out = sys.argv[1]; "
    "build_meta.build_sdist(out); build_meta.build_wheel(out)"
)
USER = """
from dataclasses import replace

import torch
from torch import nn

import adapters
from htp_modules import MGPTP, TCEP, CrossMHSA, HTPConfig, record


class Lifter(nn.Module): ...


model = adapters.patch(Lifter(), recovery="interpolate")
reveal_type(model)
reveal_type(adapters.describe(model).macs_after)
reveal_type(adapters.load_checkpoint(model, "best.bin").missing)
htp = adapters.htp_of(model)
htp.config = replace(htp.config, num_keep=9)
with record(model) as seen:
    model(torch.randn(1, 27, 17, 2))
reveal_type(seen.kept[0].index)
refined, mask = TCEP(dim=64, num_frames=27)(torch.randn(2, 27, 17, 64))
reveal_type(mask)
few, kept = MGPTP(num_keep=9)(refined, mask)
reveal_type(kept)
reveal_type(CrossMHSA(dim=64, num_frames=27)(few, kept))
reveal_type(adapters.unpatch(model))

HTPConfig(num_kept=9)
adapters.patch(model, num_keep="9")
"""


def sources():
    """What is in the two packages, as the repository has it."""
    return {
        f"{package}/{path.relative_to(ROOT / package).as_posix()}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def run(*command, cwd, **options):
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of both, built from a copy of the tree."""
    pytest.importorskip("setuptools", minversion="77")
    tree, out = tmp_path_factory.mktemp("tree") / "htp-modules", tmp_path_factory.mktemp("dist")
    ignored = shutil.ignore_patterns(
        ".*", "__pycache__", "*.egg-info", "build", "dist", "site", "runs", "mutants"
    )
    shutil.copytree(ROOT, tree, ignore=ignored)
    run(sys.executable, "-W", "ignore", "-c", _BUILD, out, cwd=tree)
    return out


@pytest.fixture(scope="module")
def environment(built, tmp_path_factory):
    """An environment with the wheel and its dependencies, and not the checkout."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    site = Path(
        run(
            folder / "bin" / "python", "-c", "import site; print(site.getsitepackages()[0])", cwd=folder
        ).strip()
    )
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return folder


def test_the_wheel_holds_the_packages_and_nothing_else(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        held = set(wheel.namelist())
    told = f"htp_modules-{VERSION}.dist-info"
    about = {"METADATA", "RECORD", "WHEEL", "licenses/LICENSE", "top_level.txt"}
    assert held == sources() | {f"{told}/{name}" for name in about}
    assert {"htp_modules/py.typed", "adapters/py.typed"} <= held


def test_the_sdist_holds_the_packages_and_what_builds_them(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if archive.getmember(name).isfile()}
    beside = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md"}
    beside |= {"pyproject.toml", "setup.cfg"}
    assert {name for name in held if not name.startswith("htp_modules.egg-info/")} == sources() | beside


def test_it_is_the_version_of_the_changelog_and_the_citation():
    first = re.search(r"^## (\S+) \((\S+)\)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.M)
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert first
    assert first[1] == VERSION
    assert f"version: {VERSION}\n" in cited
    assert f'date-released: "{first[2]}"' in cited


def test_it_is_used_where_the_checkout_is_not(environment):
    said = run(environment / "bin" / "python", "-W", "error", "-I", "-m", "htp_modules", cwd=environment)
    assert f"htp-modules {VERSION}," in said
    assert "all is well" in said
    where = run(
        environment / "bin" / "python", "-I", "-c", "import adapters as a; print(a.__file__)", cwd=environment
    )
    assert where.startswith(str(environment))


def test_the_types_of_a_users_file_are_found(environment, tmp_path):
    pyright = shutil.which("pyright")
    if pyright is None:
        pytest.skip("no pyright")
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "basic"}')
    command = [pyright, "--pythonpath", environment / "bin" / "python", "user.py"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300).stdout
    assert re.findall(r'Type of ".*" is "(.*)"', said) == [
        "Lifter",
        "int",
        "tuple[str, ...]",
        "Tensor",
        "TemporalMask",
        "KeptFrames",
        "Tensor",
        "Lifter",
    ]
    wrong = re.findall(r"user.py:(\d+):\d+ - error: (.*)", said)
    assert [USER.splitlines()[int(line) - 1] for line, _ in wrong] == USER.strip().splitlines()[-2:]
    assert wrong[0][1].startswith('No parameter named "num_kept"')
