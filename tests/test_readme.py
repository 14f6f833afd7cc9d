"""The README's code runs as it stands, and names what exists."""

import re
from pathlib import Path

import pytest
import torch

from htp_diffusion.models.mixste import MixSTE

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_blocks_run_one_after_the_other(capsys):
    names = {"model": MixSTE(num_frames=9, dim=32, depth=5, num_heads=2)}
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) >= 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["few"].shape == (2, 27, 17, 64)
    assert torch.equal(names["few"], names["kept"].gather(names["attended"]))
    assert names["restored"].shape == names["out"].shape == (2, 81, 17, 64)
    assert len(names["seen"].kept[0].index[0]) == 27
    assert capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README))))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()


def test_commands_name_scripts_that_exist():
    scripts = set(re.findall(r"python ((?:benchmarks|examples)/\w+\.py)", README))
    assert scripts
    assert all((ROOT / script).exists() for script in scripts)


def test_the_test_command_is_one_line_that_ci_finds():
    lines = README.split("<!-- command: test -->")[1].splitlines()
    assert next(line for line in lines if line.startswith("pip install")).count("pytest") == 2
