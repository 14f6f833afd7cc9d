"""The script that times the models: what it runs, checks, writes and refuses, at sizes that take no time."""

import sys
from copy import deepcopy
from functools import partial
from itertools import product
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "adapters"))

import standins_priors

from htp_diffusion.base.command import run_command
from htp_diffusion.base.results import read_json
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.speed import lineup
from htp_diffusion.speed.commands import throughput
from htp_diffusion.speed.counting import count_denoiser
from htp_diffusion.speed.result import ThroughputResult
from htp_diffusion.speed.sharding import Shards
from htp_diffusion.speed.timing import Draw, Setting, timed_call
from htp_modules import HTPConfig

SIZES = ["--frames", "9", "--dim", "16", "--depth", "4", "--motionbert-depth", "4", "--heads", "2"]
ONE = ["--num-sft-layers", "1"]  # one pruned model of each host
SMALL = [*SIZES, "--repeats", "3", "--matmul-sizes", "16", "--device", "cpu"]
# Another's 2D poses in and 3D poses out, under the public classes' calls: ours times a factor.
PUBLIC = {
    "JinluZhang1126+MixSTE/common/model_cross.py": """
from htp_diffusion.models.mixste import MixSTE

class MixSTE2(MixSTE):
    def __init__(self, num_frame, num_joints, in_chans, embed_dim_ratio, depth, num_heads, mlp_ratio,
                 qkv_bias, drop_path_rate):
        super().__init__(num_frame, num_joints, in_chans, embed_dim_ratio, depth, num_heads, mlp_ratio)

    def forward(self, *inputs):
        return FACTOR * super().forward(*inputs)
""",
    "Walter0807+MotionBERT/lib/model/DSTformer.py": """
import htp_diffusion.models.dstformer as ours

class DSTformer(ours.DSTformer):
    def __init__(self, dim_in, dim_out, dim_feat, dim_rep, depth, num_heads, mlp_ratio, num_joints, maxlen,
                 qkv_bias, drop_path_rate, norm_layer, att_fuse):
        super().__init__(dim_in, dim_out, dim_feat, dim_rep, depth, num_heads, mlp_ratio, maxlen, num_joints)

    def forward(self, *inputs):
        return FACTOR * super().forward(*inputs)
""",
}


ENTRANTS = {}


@pytest.fixture(autouse=True)
def _built_once(monkeypatch):
    """Models are built and counted once for all tests, which takes most of a run."""

    def entrant(*told):
        if told not in ENTRANTS:
            ENTRANTS[told] = build(*told)
        return deepcopy(ENTRANTS[told])

    build = lineup._entrant
    monkeypatch.setattr(lineup, "_entrant", entrant)


def run(arguments, tmp_path):
    path = tmp_path / "throughput.json"
    run_command(throughput.main, throughput.Options, [*SMALL, *arguments, "--out", str(tmp_path)])
    return read_json(path, ThroughputResult)


def refused(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        run_command(throughput.main, throughput.Options, arguments)
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.count("\n") == 1
    return told


def checkouts(root, factor):
    for name, code in PUBLIC.items():
        path = root / name
        path.parent.mkdir(parents=True)
        path.write_text(f"FACTOR = {factor}\n{code}")
    return root


def test_the_run_is_timed_written_and_printed(tmp_path, capsys):
    result = run([], tmp_path)
    [group] = result.groups
    assert [row.model for row in group.rows] == ["D3DP", "HTP n=1", "HTP n=3"]
    assert (group.frames, group.batch, group.precision, group.mode) == (9, 1, "fp32", "eager")
    assert (result.dim, result.device, result.processes, result.drift) == (16, "cpu", 1, [])
    baseline = group.rows[0]
    assert baseline.speed_up.paired == 1.0
    for row in group.rows:
        ratios = sorted(a / b for a, b in zip(baseline.seconds, row.seconds, strict=True))
        assert row.speed_up.paired == ratios[1]
        assert row.fused_difference < 1e-12
        assert 0 < row.difference < 1e-4
    # n=1 runs fewer layers on every frame than n=3.
    assert group.rows[1].true_gmacs < group.rows[2].true_gmacs
    assert group.rows[1].thop_gmacs < group.rows[1].true_gmacs
    printed = capsys.readouterr().out
    ratio = group.rows[1].speed_up.cell(len(group.rows[1].seconds))
    assert (ratio if isinstance(ratio, str) else f"{ratio:.2f}") in printed
    assert "times as fast as the plain host" in printed
    assert f"{group.rows[1].flops / 1e9:.1f}" in printed
    assert str(tmp_path / "throughput.json") in printed


def test_every_combination_is_timed(tmp_path):
    result = run(
        [
            *("--frames", "9", "12", "--batch-size", "1", "2", "--precision", "fp32", "bf16"),
            *("--repeats", "1", *ONE),
        ],
        tmp_path,
    )
    found = [(group.frames, group.batch, group.precision) for group in result.groups]
    assert found == list(product((9, 12), (1, 2), ("fp32", "bf16")))
    for one, two in zip(result.groups[:2], result.groups[2:4], strict=True):
        for row, twice in zip(one.rows, two.rows, strict=True):
            assert twice.true_gmacs == pytest.approx(2 * row.true_gmacs)
    single, half = result.groups[0].rows[0], result.groups[1].rows[0]
    assert half.moved_bytes == single.moved_bytes / 2
    assert half.difference > 10 * single.difference


def test_a_sampling_costs_its_passes(tmp_path):
    result = run(["--sampling", "pass", "2x3", "--repeats", "1", "--num-keep", "2", *ONE], tmp_path)
    one, drawn = result.groups
    assert (one.timed, drawn.timed) == ("one pass", "H=2, K=3")
    for row, whole in zip(one.rows, drawn.rows, strict=True):
        # With flip, each hypothesis and step takes two passes.
        assert whole.true_gmacs == pytest.approx(2 * 2 * 3 * row.true_gmacs)
    pruning = HTPConfig(num_sft_layers=1, num_keep=2)  # as asked for
    config = DenoiserConfig(kind="htp", num_frames=9, dim=16, depth=4, num_heads=2, htp=pruning)
    assert one.rows[1].true_gmacs == pytest.approx(count_denoiser(config.build, 9).true_macs / 1e9)


def test_every_host_is_timed_against_itself_and_its_public_code(tmp_path):
    public = checkouts(tmp_path / "public", factor=1.0)
    result = run(["--hosts", "mixste", "motionbert", "--public", str(public)], tmp_path)
    [group] = result.groups
    assert [row.model for row in group.rows] == [
        "MixSTE",
        "HTP w/ MixSTE n=1",
        "HTP w/ MixSTE n=3",
        "MixSTE, public code",
        "MotionBERT",
        "HTP w/ MotionBERT n=1",
        "HTP w/ MotionBERT n=3",
        "MotionBERT, public code",
    ]
    for plain, rows in ((group.rows[0], group.rows[:4]), (group.rows[4], group.rows[4:])):
        for row in rows:
            ratios = sorted(a / b for a, b in zip(plain.seconds, row.seconds, strict=True))
            assert row.speed_up.paired == ratios[1]
        assert rows[3].true_gmacs == plain.true_gmacs
        assert rows[3].fused_difference is None


@pytest.mark.parametrize(("host", "name"), [("ktpformer", "KTPFormer"), ("stcformer", "STCFormer")])
def test_a_host_that_is_public_alone_is_timed_plain_and_pruned(host, name, monkeypatch, tmp_path):
    build = partial(getattr(standins_priors, name), 9, 17, 16, 4, 8)
    monkeypatch.setitem(lineup._PUBLIC_PATCHED, host, lambda root, **sizes: build())
    arguments = ["--hosts", host, "--recovery", "interpolate", "--public", str(tmp_path)]
    result = run(arguments, tmp_path)
    assert result.recovery == "interpolate"
    [group] = result.groups
    pruned = group.rows[1:]
    assert [row.model for row in group.rows] == [name, *(f"HTP w/ {name} n={layers}" for layers in (1, 3))]
    assert pruned[0].true_gmacs < pruned[1].true_gmacs
    assert {row.fused_difference for row in group.rows} == {None}
    assert all(row.difference < 1e-4 for row in group.rows)


def test_our_denoisers_of_two_more_hosts_are_timed(tmp_path):
    arguments = ["--hosts", "finepose", "ktpformer-denoiser", "--sampling", "pass", "1x1", "--repeats", "1"]
    one, drawn = run(arguments, tmp_path).groups
    told = ["FinePOSE", "HTP w/ FinePOSE n=1", "HTP w/ FinePOSE n=3", "KTPFormer denoiser"]
    assert [row.model for row in one.rows] == told
    assert one.rows[1].true_gmacs < one.rows[0].true_gmacs
    assert [row.model for row in drawn.rows] == told
    assert drawn.rows[-1].true_gmacs == pytest.approx(2 * one.rows[-1].true_gmacs)
    # FinePOSE's words are encoded once in the two passes: CLIP's 12 blocks, 4 more, and a projection.
    words, dim, hidden = 77, 16, 2048
    attention = 4 * words * dim**2 + 2 * words**2 * dim
    once = 12 * (attention + 8 * words * dim**2) + 4 * (attention + 2 * words * dim * hidden) + dim**2
    for single, whole in zip(one.rows[:3], drawn.rows[:3], strict=True):
        assert whole.true_gmacs == pytest.approx(2 * single.true_gmacs - once / 1e9, rel=1e-9)


@torch.no_grad()
def test_finepose_samples_as_when_it_is_told_in_every_pass():
    device, shards = torch.device("cpu"), Shards()
    sizes = lineup.Sizes(frames=9, dim=16, depth=4, motionbert_depth=4, heads=2)
    prunings = [HTPConfig(num_sft_layers=1, num_keep=4)]
    setting = Setting(
        sizes=sizes, batch=2, draw=Draw(hypotheses=2, steps=2), precision="fp32", mode="eager",
        memory_budget=None,
    )  # fmt: skip
    pose_2d, _, _, *words = lineup.random_inputs("finepose", 2, 9)
    sampling = setting.sampling(2, device)
    first, last = ([part[:1] for part in words], [part[1:] for part in words])
    for entrant in lineup.line_up(["finepose"], sizes, prunings, None, device):
        drawn = timed_call(entrant, setting, device, shards)()
        expected = sampling.draw(lambda *clip, model=entrant.model: model(*clip, *first), pose_2d)
        assert torch.equal(drawn, expected)
        assert not torch.equal(
            drawn, sampling.draw(lambda *clip, model=entrant.model: model(*clip, *last), pose_2d)
        )


def test_public_code_that_computes_something_else_is_not_timed(tmp_path, capsys):
    public = checkouts(tmp_path / "public", factor=1.01)
    for host, name in (("mixste", "MixSTE"), ("motionbert", "MotionBERT")):
        told = refused([*SMALL, *ONE, "--hosts", host, "--public", str(public)], capsys)
        assert f"the public {name} and ours, with the same weights, differ by 1.0e-02" in told


@pytest.mark.parametrize(("text", "draw"), [("pass", None), ("20x10", Draw(hypotheses=20, steps=10))])
def test_samplings_are_read(text, draw):
    assert throughput.parse_sampling(text) == draw


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "frames expects at least 1, got 0"),
        (["--batch-size", "4", "-1"], "batch-size expects at least 1, got -1"),
        (["--threads", "0"], "threads expects at least 1, got 0"),
        (["--batch-size", "1", "1"], "batch-size expects at least one value, each once, got [1, 1]"),
        ([*SMALL, "--depth", "3"], "num_sft_layers=3 needs at least 4 pairs"),
        ([*SMALL, "--dim", "15"], "got dim=15, num_heads=2"),
        ([*SMALL, "--matmul-sizes", "0"], "matmul-sizes expects at least 1, got 0"),
        ([*SMALL, "--precision", "fp32", "tf32"], "precision tf32 needs a CUDA device"),
        ([*SMALL, "--mode", "cuda-graph"], "mode cuda-graph needs a CUDA device, got cpu"),
        ([*SMALL, "--sampling", "20*10"], "sampling expects pass or HxK, as 20x10, got '20*10'"),
        ([*SMALL, "--sampling", "0x1"], "got '0x1'"),
        (["--sampling", "pass", "1x5000"], "expected 1 to 1000 sampling steps, got 5000"),
        (["--precision", "fp32", "bf16", "--drift", "--drift-sampling", "1x2000"], "got 2000"),
        (
            [*SMALL, "--hosts", "mixste", "--sampling", "1x1"],
            "only d3dp, finepose, ktpformer-denoiser sample",
        ),
        (
            [*SMALL, "--hosts", "d3dp", "ktpformer", "stcformer"],
            "KTPFormer, STCFormer: there is public code alone",
        ),
        ([*SMALL, "--drift-sampling", "pass"], "drift sampling expects HxK, as 20x10, got 'pass'"),
        ([*SMALL, "--drift"], "drift compares with fp32, eager: name another precision or mode as well"),
        (["--device", "tpu"], "device expects auto, cpu, cuda or cuda:N, got 'tpu'"),
    ],
)
def test_a_wrong_option_ends_with_one_line(arguments, message, capsys):
    assert message in refused(arguments, capsys)


def test_the_drift_is_told_beside_the_speed(tmp_path, monkeypatch, capsys):
    asked = {}

    def no_time(fast, **options):
        asked.update(options, fast=fast)
        return []

    monkeypatch.setattr(throughput, "measure_drift", no_time)
    arguments = ["--precision", "fp32", "bf16", "--drift", "--drift-sampling", "2x4", "--repeats", "1", *ONE]
    assert run(arguments, tmp_path).drift == []
    assert asked["fast"] == [("bf16", "eager")]
    assert (asked["hypotheses"], asked["steps"], asked["device"]) == (2, 4, torch.device("cpu"))
