"""The README's code runs as it stands, and names what exists."""

import re
from pathlib import Path

import pytest
import torch

import adapters
from htp_diffusion.base.results import read_json
from htp_diffusion.models.mixste import MixSTE
from htp_diffusion.speed.result import ThroughputResult

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_blocks_run_one_after_the_other():
    clips = torch.randn(2, 9, 17, 2)
    names = {
        "model": MixSTE(num_frames=9, dim=32, depth=5, num_heads=2),
        "clips": clips,
        "pose_2d": clips[:1],
    }
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["few"].shape == (2, 27, 17, 64)
    assert torch.equal(names["few"], names["kept"].gather(names["attended"]))
    assert names["restored"].shape == (2, 81, 17, 64)
    assert names["poses"].shape == names["full"].shape
    assert not adapters.is_patched(names["model"])


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README))))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()


def test_commands_name_scripts_that_exist():
    scripts = set(re.findall(r"python ((?:benchmarks|examples)/\w+\.py)", README))
    assert scripts
    assert all((ROOT / script).exists() for script in scripts)


def test_it_is_short():
    assert len(README.splitlines()) <= 120


def test_the_figures_of_the_gpu_are_those_measured():
    def ratio(name: str, precision: str) -> str:
        result = read_json(ROOT / "benchmarks" / "results" / f"{name}.json", ThroughputResult)
        group = next(group for group in result.groups if group.precision == precision)
        d3dp, htp = (next(row for row in group.rows if row.model == name) for name in ("D3DP", "HTP n=1"))
        assert "H200" in (result.provenance.gpu or "")
        assert htp.peak_memory < d3dp.peak_memory
        return f"{htp.speed_up.paired:.2f}"

    eager = [ratio("throughput-gpu", precision) for precision in ("fp32", "tf32", "bf16")]
    told = (
        "(paper's size, H200), HTP with n=1 is {} times as fast as D3DP in float32, {} in TensorFloat-32, "
        "{} in bfloat16 and {} in bfloat16 compiled, in less memory"
    )
    assert told.format(*eager, ratio("throughput-gpu-compiled", "bf16")) in " ".join(README.split())


def test_it_is_cited_as_the_citation_file_says():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    title = re.search(r"title   = \{(.*)\}", README)
    assert title
    assert f"title: {title[1]}\n" in cited
    for name in re.search(r"author  = \{(.*)\}", README)[1].split(" and "):
        family, given = name.split(", ")
        assert f"{{family-names: {family}, given-names: {given}}}" in cited


def test_the_test_command_is_one_line_that_ci_finds():
    lines = README.split("<!-- command: test -->")[1].splitlines()
    assert next(line for line in lines if line.startswith("pip install")).count("pytest") == 2
