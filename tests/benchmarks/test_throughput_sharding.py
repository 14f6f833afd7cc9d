"""Several processes that share a measurement."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import measure_throughput
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.report.measure import Timing
from htp_diffusion.report.roofline import MatmulRate, Roofline
from htp_diffusion.report.schema import read_json
from htp_diffusion.report.throughput import ThroughputResult
from htp_diffusion.sharding import Shards, shards
from htp_diffusion.timing import slowest, summed

ROOT = Path(__file__).resolve().parents[2]
SIZES = ["--frames", "9", "--dim", "16", "--depth", "4", "--heads", "2", "--repeats", "3"]


class Told(Shards):
    """The first of two processes; the other one's numbers are these."""

    def gather(self, numbers):
        return [list(numbers), self.other]


def told(other):
    pair = Told(count=2)
    object.__setattr__(pair, "other", other)
    return pair


def test_the_slowest_process_counts():
    assert slowest(Timing((1.0, 2.0, 5.0)), told([3.0, 1.0, 4.0])) == Timing((3.0, 2.0, 5.0))


def test_rates_add_up():
    rate = MatmulRate(rows=2, inner=2, columns=2, flops=10.0)
    mine = Roofline(square=rate, own=rate, copied=100.0)
    both = summed(mine, told([1.0, 2.0, 3.0]))
    assert (both.square.flops, both.own.flops, both.copied) == (11.0, 12.0, 103.0)


def test_every_clip_goes_to_one_process():
    clips = torch.arange(5)
    parts = [Shards(rank=rank, count=3).share((clips, -clips)) for rank in range(3)]
    assert torch.cat([part for part, _ in parts]).tolist() == [0, 1, 2, 3, 4]
    assert torch.cat([part for _, part in parts]).tolist() == [0, -1, -2, -3, -4]
    with pytest.raises(BenchmarkError, match="3 processes share a batch and expect at least 3 clips, got 2"):
        Shards(count=3).share((clips[:2],))


def test_each_process_has_a_gpu_of_its_own():
    assert Shards(rank=3, count=4, local_rank=1).device("cuda") == "cuda:1"
    assert Shards().device("cuda") == "cuda"
    assert Shards(rank=1, count=2, local_rank=1).device("cpu") == "cpu"


def test_one_process_waits_for_nobody():
    with shards() as alone:
        alone.wait()
        assert alone.first
        assert alone.gather([1.0, 2.0]) == [[1.0, 2.0]]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")
def test_two_processes_share_the_clips(tmp_path):
    path = tmp_path / "both.json"
    script = [str(ROOT / "benchmarks" / "measure_throughput.py"), *SIZES, "--matmul-sizes", "16"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launcher, *script, "--batch", "3", "--json", str(path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # One of the two speaks.
    assert done.stdout.count("Speed: ") == done.stdout.count(f"written: {path}") == 1
    assert "2 processes" in done.stdout
    result = read_json(path, ThroughputResult)
    assert result.processes == 2
    [group] = result.groups
    options = measure_throughput.Options(
        frames=(9,), dim=16, depth=4, heads=2, repeats=1, warmup=0, matmul_sizes=(16,)
    )
    [alone] = measure_throughput.measure(options).groups
    for row, one in zip(group.rows, alone.rows, strict=True):
        assert row.true_gmacs == pytest.approx(3 * one.true_gmacs)
        assert len(row.seconds) == 3
