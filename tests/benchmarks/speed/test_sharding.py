"""Several processes that share a measurement."""

import subprocess
import sys

import pytest
import throughput_runs
import torch

from adapters.clock import Timing
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.models.config import DenoiserConfig
from htp_diffusion.speed.counting import count_denoiser
from htp_diffusion.speed.result import ThroughputResult
from htp_diffusion.speed.roofline import MatmulRate, Roofline
from htp_diffusion.speed.sharding import Shards, shards
from htp_diffusion.speed.timing import slowest, summed

SIZES = [
    *("--frames", "9", "--dim", "16", "--depth", "4", "--heads", "2", "--num-sft-layers", "1"),
    *("--repeats", "2"),
]


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
    path = tmp_path / "throughput.json"
    command = [sys.executable, throughput_runs.__file__, str(tmp_path), *SIZES, "--matmul-sizes", "16"]
    done = subprocess.run(
        [*command, "--batch-size", "3", "--out", str(tmp_path)],
        env={
            "PATH": "",
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # One of the two speaks.
    printed, silent = ((tmp_path / f"printed{rank}.txt").read_text() for rank in (0, 1))
    assert silent == ""
    assert printed.count("Speed: ") == printed.count(f"written: {path}") == 1
    assert "2 processes" in printed
    result = read_json(path, ThroughputResult)
    assert result.processes == 2
    [group] = result.groups
    d3dp = DenoiserConfig(kind="d3dp", num_frames=9, dim=16, depth=4, num_heads=2)
    assert group.rows[0].true_gmacs == pytest.approx(3 * count_denoiser(d3dp.build, 9).true_macs / 1e9)
    assert [len(row.seconds) for row in group.rows] == [2, 2]
