"""The cost of a training step: what is timed, what is counted, and what a step does."""

import copy
from dataclasses import replace

import pytest
import torch

from adapters.clock import Timing
from htp_diffusion.base.command import run_command
from htp_diffusion.base.computing import Precise
from htp_diffusion.base.results import read_json
from htp_diffusion.speed.commands import training
from htp_diffusion.speed.counting import Count
from htp_diffusion.speed.step_cost import TrainingCost
from htp_diffusion.training.noising import denoising_loss

SMALL = ["--frames", "9", "--dim", "16", "--depth", "4", "--heads", "2", "--repeats", "3", "--device", "cpu"]


def test_the_step_is_measured_written_and_printed(tmp_path, capsys):
    path = tmp_path / "training-cost.json"
    run_command(training.main, training.Options, [*SMALL, "--out", str(tmp_path)])
    result = read_json(path, TrainingCost)
    baseline, htp = result.models
    assert (baseline.model, htp.model) == ("D3DP", "HTP n=3")
    assert (result.frames, result.dim, result.batch, result.device) == (9, 16, 1, "cpu")
    ratios = sorted(a / b for a, b in zip(baseline.seconds, htp.seconds, strict=True))
    assert htp.speed_up.paired == ratios[1]
    configs = training.denoiser_configs(training.Options(frames=9, dim=16, depth=4, heads=2))
    for model, config in zip(result.models, configs.values(), strict=True):
        parameters = list(config.build().parameters())
        counted = sum(parameter.numel() for parameter in parameters)
        # Weights and two moments, a step count each, and a few buffers, in float32.
        assert 0 <= model.resident - 4 * (3 * counted + len(parameters)) < 4 * 9 * 16 * 16
    printed = capsys.readouterr().out
    ratio = htp.speed_up.cell(len(htp.seconds))
    assert (ratio if isinstance(ratio, str) else f"{ratio:.2f}") in printed
    assert "times as fast as D3DP" in printed
    assert str(path) in printed


def test_a_step_moves_the_weights_as_adamw_does():
    options = training.Options(frames=5, dim=8, depth=4, heads=2, batch_size=2)
    model = training.denoiser_configs(options)["D3DP"].build().train()
    expected, batch = copy.deepcopy(model), training.random_batch(2, 5)
    rate = {"lr": 1e-3, "weight_decay": 0.1}
    step = training.training_step(model, torch.optim.AdamW(model.parameters(), **rate), batch, "fp32")
    optimizer = torch.optim.AdamW(expected.parameters(), **rate)
    loss = denoising_loss(expected, batch)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(expected.parameters(), 1.0)
    optimizer.step()
    assert step() == float(loss.detach())
    for ours, theirs in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        assert ours.grad is None


def test_every_model_is_told_by_its_own_time_memory_and_cost(monkeypatch):
    asked, seconds = [], {"D3DP": (8.0, 8.0, 8.0), "HTP n=3": (2.0, 4.0, 2.0)}

    def peak(step, _):
        asked.append(step)
        return 100 * (1 + asked.index(step))

    monkeypatch.setattr(training, "peak_memory", peak)
    monkeypatch.setattr(
        training, "interleaved", lambda steps, **_: {name: Timing(seconds[name]) for name in steps}
    )
    counts = {"d3dp": Count(thop_macs=1, true_macs=5 * 10**9, params=1)}
    counts["htp"] = replace(counts["d3dp"], true_macs=3 * 10**9)
    monkeypatch.setattr(training, "count_denoiser", lambda build, _: counts[build.__self__.kind])
    options = training.Options(
        frames=5, dim=8, depth=4, heads=2, batch_size=2, num_keep=2, computing=Precise(device="cpu")
    )
    baseline, htp = training.measure(options).models
    assert (baseline.peak_memory, htp.peak_memory) == (100, 200)
    assert (baseline.true_gmacs, htp.true_gmacs) == (10.0, 6.0)  # two sequences
    assert (baseline.median, baseline.iqr, baseline.speed_up.paired) == (8.0, 0.0, 1.0)
    assert (htp.seconds, htp.median, htp.speed_up.paired) == ([2.0, 4.0, 2.0], 2.0, 4.0)


def test_a_loss_that_is_not_finite_is_not_timed(monkeypatch):
    monkeypatch.setattr(training, "training_step", lambda *_: lambda: float("nan"))
    with pytest.raises(training.BenchmarkError, match="loss of D3DP is nan: nothing is timed"):
        training.measure(training.Options(frames=5, dim=8, depth=4, heads=2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "0"], "batch-size expects at least 1, got 0"),
        ([*SMALL, "--depth", "3"], "num_sft_layers=3 needs at least 4 pairs"),
        ([*SMALL, "--repeats", "0"], "repeats expects at least 1, got 0"),
    ],
)
def test_a_wrong_option_ends_with_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as left:
        run_command(training.main, training.Options, arguments)
    told = capsys.readouterr().err
    assert left.value.code == 2
    assert told.count("\n") == 1
    assert message in told
