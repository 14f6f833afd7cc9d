"""One line a host: the figures are those of the runs, and what was not timed is told."""

import json
import statistics
from pathlib import Path

from htp_diffusion.base.results import read_json
from htp_diffusion.speed.hosts_table import hosts_table
from htp_diffusion.speed.result import ThroughputResult

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"


def test_a_line_is_the_host_beside_the_patch_that_saves_most():
    path = RESULTS / "throughput-hosts.json"
    gpu, hosts = (
        read_json(RESULTS / f"{name}.json", ThroughputResult)
        for name in ("throughput-gpu", "throughput-hosts")
    )
    table = hosts_table([gpu, hosts], ["D3DP", "MixSTE", "MotionBERT", "Other"])
    raw = {row["model"]: row for row in json.loads(path.read_text())["groups"][0]["rows"]}
    plain, pruned = raw["MixSTE"], raw["HTP w/ MixSTE n=1"]
    name, setting, before, after, slow, fast, told, rounds = table.rows[0]
    assert (name, setting, rounds) == ("MixSTE", "n=1, cross_attention", str(len(plain["seconds"])))
    assert (before, after) == (plain["true_gmacs"], pruned["true_gmacs"])
    assert [slow, fast] == [1e3 * statistics.median(row["seconds"]) for row in (plain, pruned)]
    assert str(told).startswith(f"{pruned['speed_up']['paired']:.2f} [")
    assert [row[0] for row in table.rows] == ["MixSTE", "MotionBERT"]  # D3DP was timed on a GPU alone here
    assert table.notes[-1] == "Can be patched, not timed yet: D3DP, Other."
