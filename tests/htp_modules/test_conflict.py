"""The other distribution that has a package called adapters: the two are not mixed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from htp_modules import ConflictError, HTPError
from htp_modules.conflict import check_no_conflict

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path):
    """Site packages in which AdapterHub's adapters is installed, as pip leaves it."""
    told = tmp_path / "adapters-1.2.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: adapters\nVersion: 1.2.0\n")
    package = tmp_path / "adapters"
    package.mkdir()
    (package / "__init__.py").write_text("AutoAdapterModel = object\n")
    return tmp_path


def test_it_is_named_with_what_to_do(site, monkeypatch):
    check_no_conflict()
    monkeypatch.syspath_prepend(site)
    with pytest.raises(
        ConflictError, match=r"adapters 1\.2\.0 \(AdapterHub\).*pip uninstall adapters"
    ) as error:
        check_no_conflict()
    assert "\n" not in str(error.value)
    assert isinstance(error.value, ImportError)
    assert isinstance(error.value, HTPError)


@pytest.mark.parametrize(
    ("ours_first", "statement"),
    [(True, "import adapters"), (False, "import htp_modules"), (False, "import adapters.patching")],
)
def test_importing_ours_beside_it_fails_in_one_line(site, ours_first, statement):
    for module in ("adapters/patching.py", "adapters/adapter.py"):  # as where theirs was installed over ours
        (site / module).write_text((ROOT / module).read_text(encoding="utf-8"), encoding="utf-8")
    paths = [str(ROOT), str(site)] if ours_first else [str(site), str(ROOT)]
    done = subprocess.run(
        [sys.executable, "-c", statement],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "htp_modules.errors.ConflictError: the distribution adapters 1.2.0"
    )
