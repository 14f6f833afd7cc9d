import json

import pytest

import count_macs
from htp_diffusion.base.command import run_command
from htp_diffusion.base.results import read_json
from htp_diffusion.speed import paper_macs, paper_systems
from htp_diffusion.speed.paper_tables import printed, printed_tables
from htp_diffusion.speed.system_times import SystemTimes

KEYS = ["model", "setting", "thop_gmacs", "true_gmacs", "params_m", "paper_gmacs", "paper_params_m"]
# THOP's count and the parameters of calibration models built from the paper's tables alone.
EXPECTED = {
    ("MixSTE", "one pass"): (139.038, 33.784),
    ("D3DP", "one pass"): (139.046, 34.835),
    ("MotionBERT", "one pass"): (174.751, 42.466),
    # Of the public class; and of the public lifter with D3DP's time MLP and noisy pose beside it.
    ("FinePOSE", "one pass"): (146.024, 200.590),
    ("KTPFormer", "one pass"): (139.061, 36.267),
    ("baseline: D3DP + Spatial GCN", "one pass, Cross MHSA on all frames"): (143.375, None),
    ("baseline + TCEP", "one pass, Cross MHSA on all frames"): (143.392, 37.45),
    ("HTP", "one pass, n=3, f=54"): (87.648, 37.45),
    ("HTP", "one pass, n=1, f=54"): (60.616, 37.45),
    ("HTP", "one pass, n=2, f=54"): (74.132, 37.45),
    ("HTP", "one pass, n=4, f=54"): (101.164, 37.45),
    ("HTP w/ MixSTE", "one pass, patched"): (87.647, 36.40),
}
PER_FRAME = {
    ("D3DP", "training, one pass"): 0.572,
    ("HTP n=3", "training, one pass"): 0.361,
    ("D3DP", "H=1, K=1, flip"): 1.144,
    ("HTP n=1", "H=1, K=1, flip"): 0.499,
    ("HTP n=3", "H=1, K=1, flip"): 0.721,
    ("D3DP", "HxK=20, flip"): 22.9,
    ("HTP n=1", "HxK=20, flip"): 9.98,
    ("D3DP", "H=20, K=10, flip"): 228.9,
    ("HTP n=1", "H=20, K=10, flip"): 99.8,
    ("HTP n=1", "T=81, f=27, H=20, K=10, flip"): 119.25,
    ("HTP n=1", "T=162, f=54, H=20, K=10, flip"): 119.25,
}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("macs")
    run_command(count_macs.main, count_macs.Options, ["--out", str(folder)])
    return json.loads((folder / "macs.json").read_text())


def test_rows_are_those_of_the_paper(written):
    rows = {(row["model"], row["setting"]): row for row in written}
    assert len(rows) == len(written) == len(EXPECTED) + len(PER_FRAME) + 1
    assert all(list(row) == KEYS for row in written)
    for key, (macs, params) in EXPECTED.items():
        assert rows[key]["thop_gmacs"] == pytest.approx(macs, abs=1e-3), key
        if params is not None:
            assert rows[key]["params_m"] == pytest.approx(params, abs=0.01), key
    for (model, setting), macs in PER_FRAME.items():
        row = rows[model, f"G/frame: {setting}"]
        assert row["thop_gmacs"] == pytest.approx(macs, rel=2e-3), (model, setting)
        assert row["paper_gmacs"] == pytest.approx(row["thop_gmacs"], rel=1.5e-2)


def test_public_code_agrees_with_what_is_printed_of_the_hosts():
    rows = json.loads(count_macs._SYSTEMS.read_text())
    twice = {"PoseFormer", "P-STMO"}  # operations, not multiply-accumulates
    other = {"MHFormer", "PoseFormerV2"}  # at other sizes, as their notes say
    for row in rows:
        if row["system"] not in other:
            times = 2 if row["system"] in twice else 1
            gmacs = printed("Table I", row["system"], "GMACs a pass")
            assert gmacs == pytest.approx(times * row["counted_gmacs"], rel=0.03), row["system"]
    assert len(rows) == 12


def test_the_systems_are_shown_with_every_figure_marked():
    rows = [paper_systems.SystemRow(**row) for row in json.loads(count_macs._SYSTEMS.read_text())]
    times = read_json(count_macs._TIMES, SystemTimes)
    others = paper_systems.other_tables(list(printed_tables().values()))
    tables = [paper_systems.systems_table(rows, times), *others]
    text = "\n".join(table.to_markdown() for table in tables)
    assert "| MixSTE | 243 | 40.9 | - | - | 139 | 139.04 | 33.8 | 33.78 |" in text
    assert "| TCN | 243 | 46.8 | 36.5 | 37.8 | - | - | - | - | - | - | - |" in text
    assert "| HTP n=1 | 243 | - | 0.5 | 10 | 99.8 | 2277.5 | 137 | 2.95 | 1.72 |" in text
    assert all(f"| Table {number} | which rows" in text for number in ("II", "III", "IV", "VI"))
    counted, quoted = ({row.system for row in rows}, {row[0] for row in tables[0].rows})
    assert counted < quoted
    assert {"one pass, ms \\*", "THOP, G ‡", "paper, G †"} <= set(text.split(" | "))
    measured = {row[0] for row in tables[0].rows if row[9] is not None}
    assert measured == {"MixSTE", "HoT w/ MixSTE", "MHFormer", "PoseFormer", "PoseFormerV2", "P-STMO"}


def test_patched_motionbert_is_near_the_papers(written):
    # The paper does not tell where its modules sit in the dual stream; its figures leave this much room.
    [row] = [row for row in written if row["model"] == "HTP w/ MotionBERT"]
    assert row["thop_gmacs"] == pytest.approx(101.7, rel=0.04)
    assert row["params_m"] == pytest.approx(47.6, rel=0.02)


def test_true_count_is_thop_without_norms_and_with_attention(written):
    # D3DP by hand: blocks' linear layers, then scores and mix of both attentions, the ends and the time MLP.
    frames, joints, dim, depth = 243, 17, 512, 8
    tokens = frames * joints
    linear = 2 * depth * tokens * (3 + 1 + 4) * dim * dim
    attention = 2 * depth * tokens * (joints + frames) * dim
    ends = tokens * (5 + 3) * dim + 2 * 2 * dim * dim
    [d3dp] = [row for row in written if (row["model"], row["setting"]) == ("D3DP", "one pass")]
    assert d3dp["true_gmacs"] == pytest.approx((linear + attention + ends) / 1e9, rel=1e-9)


def test_the_table_shows_every_row_and_the_difference(written):
    rows = [paper_macs.MacsRow(**row) for row in written]
    text = paper_macs.macs_table(rows).to_markdown()
    assert "| HTP | one pass, n=3, f=54 | 87.648 | 87.648 | -0.000 |" in text
    assert "| D3DP | one pass | 139.046 | 139.1 | -0.054 |" in text
    assert text.count("\n| ") == len(rows) + 2  # the head and its rule
