"""Public code from a checkout: found, imported, forgotten; here with checkouts that the tests write."""

import sys

import pytest

from htp_diffusion.base.command import run_command
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.speed.commands import throughput
from htp_diffusion.speed.public_code import load_public
from htp_diffusion.speed.result import ThroughputResult

SIZES = ["--frames", "9", "--dim", "16", "--depth", "4", "--heads", "2"]
SMALL = [*SIZES, "--repeats", "1", "--matmul-sizes", "16", "--device", "cpu"]
# Ours under the public class's call, its output times a factor.
CODE = """
from timm.models.layers import DropPath
from common.helper import FACTOR
from htp_diffusion.models.denoiser import D3DPDenoiser

class MixSTE2(D3DPDenoiser):
    def __init__(self, num_frame, num_joints, in_chans, embed_dim_ratio, depth, num_heads, mlp_ratio,
                 qkv_bias, drop_path_rate, is_train):
        super().__init__(num_frame, num_joints, in_chans, embed_dim_ratio, depth, num_heads, mlp_ratio)

    def forward(self, *inputs):
        return FACTOR * super().forward(*inputs)
"""


def checkout(root, factor=1.0):
    common = root / "paTRICK-swk+D3DP" / "common"
    common.mkdir(parents=True)
    (common / "helper.py").write_text(f"FACTOR = {factor}\n")
    (common / "mixste.py").write_text(CODE)
    return root


def test_a_checkouts_own_packages_are_forgotten(tmp_path):
    path, modules = list(sys.path), set(sys.modules)
    module = load_public(checkout(tmp_path), "D3DP")
    assert module.MixSTE2.__module__ == "upstream_D3DP"
    assert sys.path == path
    # What stays is under the checkout's name, so that no other checkout's "common" is taken for it.
    assert {name.partition(".")[0] for name in set(sys.modules) - modules} == {"upstream_D3DP"}


def test_a_missing_checkout_is_told(tmp_path):
    with pytest.raises(BenchmarkError, match="clone paTRICK-swk/D3DP there"):
        load_public(tmp_path, "D3DP")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import not_installed_anywhere", "ModuleNotFoundError: No module named 'not_installed_anywhere'"),
        ("def (", "SyntaxError: invalid syntax"),
        ("{}['sizes']", "KeyError: 'sizes'"),
    ],
)
def test_a_checkout_that_does_not_import_is_told(tmp_path, code, message):
    checkout(tmp_path)
    (tmp_path / "paTRICK-swk+D3DP" / "common" / "helper.py").write_text(f"{code}\n")
    with pytest.raises(BenchmarkError, match=f"does not import: {message}"):
        load_public(tmp_path, "D3DP")


def test_the_public_code_is_timed_beside_ours(tmp_path):
    path = tmp_path / "throughput.json"
    arguments = [*SMALL, "--public", str(checkout(tmp_path / "public")), "--out", str(tmp_path)]
    run_command(throughput.main, throughput.Options, arguments)
    [group] = read_json(path, ThroughputResult).groups
    assert [row.model for row in group.rows] == ["D3DP", "HTP n=1", "HTP n=3", "D3DP, public code"]
    assert group.rows[-1].true_gmacs == group.rows[0].true_gmacs
    assert group.rows[-1].fused_difference is None


def test_public_code_that_computes_something_else_is_not_timed(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_command(
            throughput.main,
            throughput.Options,
            [*SMALL, "--public", str(checkout(tmp_path, factor=1.01))],
        )
    assert "the public D3DP and ours, with the same weights, differ by 1.0e-02" in capsys.readouterr().err
