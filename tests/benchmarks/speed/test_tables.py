"""The tables of a run, from figures made up so that every cell can be computed by hand."""

from dataclasses import replace

import pytest

from adapters.clock import Timing, speed_up
from htp_diffusion.base.provenance import provenance
from htp_diffusion.base.results import read_json, write_json
from htp_diffusion.speed.drift import Drift
from htp_diffusion.speed.result import Group, Row, ThroughputResult
from htp_diffusion.speed.roofline import MatmulRate, Roofline
from htp_diffusion.speed.tables import throughput_tables

PLAIN = [2.0, 4.0, 3.0]


def row(model, seconds, true_gmacs, public=False):
    return Row(
        model=model,
        host="d3dp",
        seconds=seconds,
        speed_up=speed_up(Timing(tuple(PLAIN)), Timing(tuple(seconds))),
        thop_gmacs=true_gmacs - 1,
        true_gmacs=true_gmacs,
        moved_bytes=6e9,
        peak_memory=3 << 20,
        fused_difference=None if public else 1e-15,
        difference=2e-6,
    )


def group(precision, pruned):
    return Group(
        frames=10,
        batch=6,
        hypotheses=None,
        steps=None,
        precision=precision,
        mode="eager",
        roofline=Roofline(
            square=MatmulRate(rows=64, inner=64, columns=64, flops=50e9),
            own=MatmulRate(rows=100, inner=4, columns=12, flops=25e9),
            copied=12e9,
        ),
        rows=[
            row("D3DP", PLAIN, 30.0),
            row("HTP n=1", pruned, 15.0),
            row("D3DP, public code", [6.0] * 3, 30.0, True),
        ],
    )


def result(*groups, drift=()):
    return ThroughputResult(
        dim=16,
        depth=4,
        motionbert_depth=5,
        heads=2,
        num_keep=2 / 9,
        device="cpu",
        processes=1,
        groups=list(groups),
        drift=list(drift),
        provenance=replace(provenance(), threads=2),
    )


def cells(table, index):
    return {column.name: cell for column, cell in zip(table.columns, table.rows[index], strict=True)}


def test_the_figures_of_a_row():
    speed, limits = throughput_tables(result(group("fp32", [1.0, 2.0, 1.0])))
    assert speed.title == "Speed: one pass, T=10, batch 6, fp32, eager, D=16, cpu, 2 threads"
    pruned = cells(speed, 1)
    assert pruned["median, ms"] == 1000.0
    assert pruned["IQR, ms"] == 500.0
    assert (pruned["frames/s"], pruned["clips/s"]) == (60.0, 6.0)
    # Ratios of the rounds: 2, 2 and 3.
    assert pruned["times as fast as the plain host"] == 2.0
    assert pruned["quartiles"] == "2.00 to 2.50"
    assert pruned["MAC ratio"] == 2.0
    assert (pruned["THOP GMACs"], pruned["true GMACs"], pruned["peak memory, MiB"]) == (14.0, 15.0, 3.0)
    assert not any("does not pay" in note for note in speed.notes)
    reached = cells(limits, 1)
    # 30 G operations in a second; 50 G a second are possible, 25 G in the models' own shape; 6 GB at 12 GB/s.
    assert reached["GFLOP/s"] == pytest.approx(30.0)
    assert reached["% of square matmul"] == pytest.approx(60.0)
    assert reached["% of matmul of own shape"] == pytest.approx(120.0)
    assert reached["time at matmul rate, ms"] == pytest.approx(600.0)
    assert reached["time at copy rate, ms"] == pytest.approx(500.0)
    rates = "fp32, T=10, batch 6: matmul 50.0 GFLOP/s (64 x 64 x 64), own shape 25.0 GFLOP/s (100 x 4 x 12)"
    assert limits.notes[0] == f"{rates}; copy 12.0 GB/s."


def test_several_precisions_are_held_against_the_first_ones_public_code():
    speed, _ = throughput_tables(result(group("fp32", [1.0] * 3), group("bf16", [0.5] * 3)))
    over = "times as fast as the public code in fp32, eager"
    assert [cells(speed, index)[over] for index in range(6)] == [2.0, 6.0, 1.0, 2.0, 12.0, 1.0]
    assert [cells(speed, index)["precision"] for index in (0, 5)] == ["fp32", "bf16"]


def test_a_loss_is_shown_and_named():
    speed, _ = throughput_tables(result(group("fp32", [1.0] * 3), group("bf16", [4.0, 8.0, 6.0])))
    assert cells(speed, 4)["times as fast as the plain host"] == 0.5
    assert "Pruning does not pay in: HTP n=1 bf16." in speed.notes


def test_the_drift_names_its_checkpoints(tmp_path):
    moved = Drift(
        model="HTP",
        checkpoint="htp-small.json",
        precision="bf16",
        mode="compiled",
        hypotheses=5,
        steps=3,
        windows=12,
        mpjpe=60.5,
        mpjpe_fp32=60.75,
        distance=1.5,
        median=0.5,
    )
    made = result(group("fp32", [1.0] * 3), drift=[moved])
    write_json(tmp_path / "made.json", made)
    assert read_json(tmp_path / "made.json", ThroughputResult) == made
    table = throughput_tables(made)[2]
    assert table.title == "Drift from fp32, eager: H=5, K=3, eta 1, flip, cpu"
    assert table.rows == (("HTP", "bf16", "compiled", 60.75, 60.5, 0.25, 1.5, 0.5),)
    assert "htp-small.json" in table.notes[0]
