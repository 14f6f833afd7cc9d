"""The code of the site's pages runs as it stands, page by page, and what pages name exists."""

import re
from pathlib import Path

import pytest
import torch

from htp_diffusion.models.mixste import MixSTE

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
EXECUTED = ("index", "adapters", "modules", "choose", "training", "precision")
BUILDS = re.compile(r"^```python\n(.*?)^```", re.S | re.M)


def names(tmp_path):
    """What the pages take as given."""
    pose_2d = torch.randn(2, 27, 17, 2)
    model = MixSTE(num_frames=27, dim=16, depth=5, num_heads=2)
    path = tmp_path / "best_epoch.bin"
    torch.save({"model_pos": model.state_dict()}, path)
    return {
        "model": model,
        "pose_2d": pose_2d,
        "clips": pose_2d,
        "batches": [(pose_2d, torch.randn(2, 27, 17, 3))],
        "path": path,
    }


@pytest.mark.parametrize("page", EXECUTED)
def test_the_code_of_a_page_runs(page, tmp_path):
    blocks = BUILDS.findall((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))
    assert blocks
    given = names(tmp_path)
    for block in blocks:
        exec(compile(block, f"{page}.md", "exec"), given)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_name_scripts_and_options_that_exist(path):
    for script in re.findall(r"python ((?:benchmarks|examples)/\w+\.py)", path.read_text(encoding="utf-8")):
        assert (ROOT / script).exists(), script


def test_every_page_is_in_the_navigation():
    told = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert all(re.search(rf": {path.name}$", told, re.M) for path in PAGES)


def test_the_reference_names_everything_public():
    import adapters
    import htp_modules

    for package, page in ((htp_modules, "api-modules.md"), (adapters, "api-adapters.md")):
        told = (ROOT / "docs" / page).read_text(encoding="utf-8")
        listed = set(re.findall(rf"^::: {package.__name__}\.(?:[a-z_]+\.)?(\w+)$", told, re.M))
        partial_or_instance = {name for name in package.__all__ if name.isupper() or name.startswith("patch")}
        left_out = partial_or_instance - {"patch_with", "HTP", "TCEP", "SFTMHSA", "MGPTP"}
        assert listed == set(package.__all__) - left_out


def test_the_pictures_are_drawn(tmp_path):
    import draw_pictures

    draw_pictures.main(draw_pictures.Options(out=tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"flow.png", "mask.png", "kept.png"}
