"""The paper's other systems, timed and counted. Oracle: checkouts that the tests write, of known cost."""

import json
import os
from pathlib import Path

import pytest
import torch

import count_macs
from htp_diffusion.base.command import run_command
from htp_diffusion.base.results import read_json
from htp_diffusion.speed.commands import systems
from htp_diffusion.speed.paper_systems import SystemRow, count_again
from htp_diffusion.speed.public_systems import PUBLIC_SYSTEMS
from htp_diffusion.speed.system_times import SystemTimes, system_times_table

SMALL = ["--frames", "9", "--dim", "16", "--depth", "4", "--heads", "2", "--repeats", "2"]
# Of each: a linear layer on each joint of a clip.
CODE = """
import torch_dct
from torch import nn

class {name}(nn.Module):
    def __init__(self, *args, **options):
        super().__init__()
        self.only = nn.Linear({channels}, 3)

    def forward(self, x):
        return self.only(x)
"""
FILES = {
    "HoT w/ MixSTE": ("NationalGAILab+HoT/model/mixste/hot_mixste.py", "Model", 2),
    "MHFormer": ("Vegetebird+MHFormer/model/mhformer.py", "Model", 2),
    "PoseFormer": ("zczcwh+PoseFormer/common/model_poseformer.py", "PoseTransformer", 2),
    "PoseFormerV2": ("QitaoZhao+PoseFormerV2/common/model_poseformer.py", "PoseTransformerV2", 2),
    "P-STMO": ("paTRICK-swk+P-STMO/model/stmo.py", "Model", 1),
}


@pytest.fixture
def public(tmp_path):
    for file, name, channels in FILES.values():
        path = tmp_path / "public" / file
        path.parent.mkdir(parents=True)
        path.write_text(CODE.format(name=name, channels=channels))
    return tmp_path / "public"


def test_the_systems_are_timed_in_turn_with_mixste(public, tmp_path):
    threads = torch.get_num_threads()
    try:
        run_command(systems.main, systems.Options, [*SMALL, "--public", str(public), "--out", str(tmp_path)])
    finally:
        torch.set_num_threads(threads)
    result = read_json(tmp_path / "system-times.json", SystemTimes)
    assert [row.system for row in result.rows] == [
        "MixSTE",
        "HTP w/ MixSTE n=1",
        "HTP w/ MixSTE n=3",
        *PUBLIC_SYSTEMS,
    ]
    assert result.provenance.threads == 1
    assert all(len(row.seconds) == 2 and row.seconds[0] > 0 for row in result.rows)
    for row in result.rows[3:]:
        system, channels = PUBLIC_SYSTEMS[row.system], FILES[row.system][2]
        per_joint = 2 * 3 if channels == 2 else 2 * 1 * 3  # two channels at once, or one by one
        assert row.thop_gmacs == pytest.approx(system.frames * 17 * per_joint / 1e9)
        assert row.params_m == pytest.approx((channels + 1) * 3 / 1e6)
        assert (row.frames, row.frames_out) == (system.frames, system.frames_out)
    text = system_times_table(result).to_markdown()
    assert "| MHFormer | public | 351 | 1 |" in text
    assert "1 thread of" in text


def test_a_system_that_is_not_among_them_is_told(public, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_command(
            systems.main, systems.Options, [*SMALL, "--public", str(public), "--systems", "TCN", "MHFormer"]
        )
    assert "systems expects some of HoT w/ MixSTE, MHFormer, PoseFormer" in capsys.readouterr().err


@pytest.mark.skipif("HTP_UPSTREAM" not in os.environ, reason="HTP_UPSTREAM names no folder of checkouts")
def test_the_committed_counts_are_those_of_the_public_code():
    rows = [SystemRow(**row) for row in json.loads(count_macs._SYSTEMS.read_text())]
    rows = [row for row in rows if row.system in PUBLIC_SYSTEMS]
    assert len(rows) == len(PUBLIC_SYSTEMS)
    for before, after in zip(rows, count_again(rows, Path(os.environ["HTP_UPSTREAM"])), strict=True):
        assert after.counted_gmacs == pytest.approx(before.counted_gmacs, abs=0.006), before.system
        assert after.counted_params_m == pytest.approx(before.counted_params_m, abs=0.006), before.system
