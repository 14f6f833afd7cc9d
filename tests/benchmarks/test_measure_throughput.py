import pytest
import torch

import measure_throughput
from htp_diffusion.command import run_command
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.report.schema import read_json
from htp_diffusion.report.throughput import ThroughputResult
from htp_modules import attention

SMALL = ["--frames", "9", "--dim", "16", "--depth", "4", "--heads", "2", "--repeats", "3"]


def test_the_run_is_timed_written_and_printed(tmp_path, capsys):
    path = tmp_path / "throughput.json"
    run_command(measure_throughput.main, measure_throughput.Options, [*SMALL, "--json", str(path)])
    result = read_json(path, ThroughputResult)
    assert [model.model for model in result.models] == ["D3DP", "HTP n=1", "HTP n=3"]
    assert (result.frames, result.dim, result.batch, result.device) == (9, 16, 1, "cpu")
    baseline = result.models[0]
    assert baseline.speed_up.paired == 1.0
    for model in result.models:
        ratios = sorted(a / b for a, b in zip(baseline.seconds, model.seconds, strict=True))
        assert model.speed_up.paired == ratios[1]
        assert model.median == sorted(model.seconds)[1]
        assert model.fused_difference < 1e-12
    # n=1 runs fewer layers on every frame than n=3.
    assert result.models[1].true_gmacs < result.models[2].true_gmacs
    printed = capsys.readouterr().out
    assert f"{result.models[1].speed_up.paired:.2f}" in printed
    assert "times as fast as D3DP" in printed
    assert str(path) in printed


def test_the_batch_multiplies_the_cost():
    options = measure_throughput.Options(frames=5, dim=8, depth=4, heads=2, repeats=1, warmup=0)
    one = measure_throughput.measure(options)
    three = measure_throughput.measure(
        measure_throughput.Options(frames=5, dim=8, depth=4, heads=2, repeats=1, warmup=0, batch=3)
    )
    assert three.models[0].true_gmacs == pytest.approx(3 * one.models[0].true_gmacs)


def test_the_check_measures_the_difference(monkeypatch):
    model = DenoiserConfig(kind="d3dp", num_frames=5, dim=8, depth=1, num_heads=2).build()
    assert measure_throughput.fused_difference(model, torch.device("cpu"), 5) < 1e-12

    def wrong(query, key, value, keep=None):
        return attention.explicit_attention(query, key, value, keep) * 1.01

    monkeypatch.setattr(attention, "fused_attention", wrong)
    with pytest.raises(
        measure_throughput.BenchmarkError, match="fused and written-out attention of D3DPDenoiser"
    ):
        measure_throughput.fused_difference(model, torch.device("cpu"), 5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "frames expects at least 1, got 0"),
        (["--batch", "-1"], "batch expects at least 1, got -1"),
        (["--threads", "0"], "threads expects at least 1, got 0"),
        ([*SMALL, "--depth", "3"], "num_sft_layers=3 needs at least 4 pairs"),
        ([*SMALL, "--dim", "15"], "got dim=15, num_heads=2"),
        ([*SMALL, "--precision", "tf32"], "precision tf32 needs a CUDA device"),
        (["--device", "tpu"], "device expects auto, cpu, cuda or cuda:N, got 'tpu'"),
    ],
)
def test_a_wrong_option_ends_with_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as left:
        run_command(measure_throughput.main, measure_throughput.Options, arguments)
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.count("\n") == 1
    assert message in told
