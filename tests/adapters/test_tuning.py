"""What a tuning prints and draws. Oracle: a tuning of three settings, written by hand."""

from dataclasses import replace

import pytest

from adapters.benchmark import Benchmark, Cost
from adapters.clock import Timing
from adapters.deviation import Deviation
from adapters.tuning import Trade, Tuning
from htp_modules import HTPConfig

MIB = 2**20


def trade(config, macs, deviation, seconds, peak=None):
    cost = None if seconds is None else Cost(timing=Timing(seconds), macs=macs, peak_memory=peak)
    return Trade(
        config=config, macs=macs, deviation=None if deviation is None else Deviation(**deviation), cost=cost
    )


def setting(keep):
    return HTPConfig(num_keep=keep, num_sft_layers=1, num_neighbors=6)


UNPRUNED = trade(None, 4_000_000_000, {"mean": 1.0, "p95": 2.0}, (0.4, 0.5, 0.4), 30 * MIB)
FAST = trade(setting(3), 1_500_000_000, {"mean": 3.0, "p95": 4.5}, (0.1, 0.125, 0.1))
CLOSE = trade(setting(6), 2_500_000_000, {"mean": 1.5, "p95": 2.25}, (0.2, 0.25, 0.2), 20 * MIB)
BEATEN = trade(setting(2), 1_000_000_000, {"mean": 9.0, "p95": 9.5}, (0.3, 0.3, 0.3), MIB)
GIVEN_UP = trade(setting(1), 900_000_000, None, None)
TUNING = Tuning(
    host="MixSTE2, a MixSTE",
    device="cpu (x86, 1 thread)",
    frames=9,
    clips=5,
    batch_size=4,
    metric="p95",
    tolerance=2.5,
    with_truth=True,
    unpruned=UNPRUNED,
    settings=(GIVEN_UP, BEATEN, FAST, CLOSE),
    best=(UNPRUNED, CLOSE, FAST),
    chosen=FAST,
    before=None,
)


def test_the_table():
    assert str(TUNING).splitlines() == [
        "MixSTE2, a MixSTE, 9 frames, 5 clips against the truth, batches of 4 on cpu (x86, 1 thread)",
        "  setting        error, mean  error, 95 %      ms              speed  GMACs/clip  peak MiB",
        "  unpruned                 1            2  400.00  1.00 [1.00, 1.00]       4.000      30.0",
        "  n=1, f=6, k=6          1.5         2.25  200.00  2.00 [2.00, 2.00]       2.500      20.0",
        "* n=1, f=3, k=6            3          4.5  100.00  4.00 [4.00, 4.00]       1.500         -",
        "4 settings tried; what is not listed is beaten by one that is",
        "tolerance 2.5 by the 95th percentile; chosen: n=1, f=3, k=6",
    ]
    lines = str(replace(TUNING, with_truth=False, chosen=None, metric="mean")).splitlines()
    assert "5 clips against the unpruned output, batches" in lines[0]
    assert lines[1].split("  ")[1:5] == ["setting", "", "", ""]
    assert "  off, mean  off, 95 %  " in lines[1]
    assert lines[4].startswith("  n=1, f=3, k=6")
    assert lines[6] == (
        "tolerance 2.5 by the mean; none is faster and within the tolerance: the model is left as it was, "
        "unpatched"
    )


def test_what_a_setting_is_beside_the_unpruned_model():
    assert [TUNING.excess(one) for one in (UNPRUNED, CLOSE, FAST)] == [0.0, 0.25, 2.5]
    assert TUNING.excess(GIVEN_UP) is None
    assert TUNING.speed_up(GIVEN_UP) is None
    assert TUNING.speed_up(CLOSE).paired == 2.0
    bare = replace(TUNING, unpruned=trade(None, 1, None, None))
    assert bare.excess(FAST) is None
    assert bare.speed_up(FAST) is None


@pytest.mark.parametrize("lacking", [{"cost": None}, {"deviation": None}])
def test_what_was_not_timed_is_in_no_table(lacking):
    with pytest.raises(AssertionError, match="what nothing beats was timed"):
        str(replace(TUNING, best=(replace(CLOSE, **lacking),)))


def test_the_picture(monkeypatch, tmp_path):
    figure_class = pytest.importorskip("matplotlib.figure").Figure
    figures = []
    monkeypatch.setattr(
        figure_class, "savefig", lambda self, *given, **options: figures.append((self, given, options))
    )
    TUNING.draw("a.png")
    replace(TUNING, chosen=None, with_truth=False, metric="mean").draw("b.png")
    (figure, given, options), (other, _, _) = figures
    assert (given, options) == (("a.png",), {"dpi": 150})
    assert tuple(figure.get_size_inches()) == (7.0, 4.5)
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    (axes,), (plain,) = figure.axes, other.axes

    def drawn(axes):
        return {
            line.get_label(): (
                line.get_marker(),
                line.get_linestyle(),
                line.get_color(),
                [*zip(*line.get_data(), strict=True)],
            )
            for line in axes.lines
        }

    best = [(100.0, 2.5), (200.0, 0.25), (400.0, 0.0)]
    assert drawn(axes) == {
        "beaten": ("o", "None", "0.7", [*best[:2], (300.0, 7.5), best[2]]),
        "nothing beats these": ("o", "-", "tab:blue", best),
        "chosen": ("*", "None", "tab:red", [(100.0, 2.5)]),
        "tolerance, 2.5": ("None", "--", "0.4", [(0.0, 2.5), (1.0, 2.5)]),
    }
    assert axes.lines[2].get_markersize() == 16
    assert list(drawn(plain)) == ["beaten", "nothing beats these", "tolerance, 2.5"]
    notes = [(note.get_text(), note.xy, note.xyann, note.anncoords) for note in axes.texts]
    labels = ("unpruned", "n=1, f=6, k=6", "n=1, f=3, k=6")
    assert notes == [
        (label, point, (5, 5), "offset points") for label, point in zip(labels, reversed(best), strict=True)
    ]
    assert axes.get_xlabel() == "ms for a batch of 4, cpu (x86, 1 thread)"
    assert axes.get_ylabel() == "error more than unpruned\n(95th percentile over joints, the output's unit)"
    assert plain.get_ylabel() == "deviation from the unpruned output\n(mean over joints, the output's unit)"
    assert axes.get_title() == "MixSTE2, a MixSTE"
    assert axes.get_xlim()[0] == 0
    assert [text.get_text() for text in axes.get_legend().texts] == list(drawn(axes))
    sizes = [part.get_fontsize() for part in (axes.title, axes.texts[0], axes.get_legend().texts[0])]
    assert sizes == [10, 8, 8]


def test_the_table_of_a_benchmark():
    plain = Cost(timing=Timing((0.4, 0.5, 0.4)), macs=2_000_000_000, peak_memory=3 * MIB)
    pruned = Cost(timing=Timing((0.0, 0.2, 0.2)), macs=1_000_000_000, peak_memory=None)
    found = Benchmark(
        host="MixSTE2, a MixSTE",
        device="cpu",
        batch_size=2,
        frames=9,
        config=setting(3),
        plain=plain,
        pruned=pruned,
    )
    shown = replace(found, pruned=replace(pruned, timing=Timing((0.2, 0.25, 0.2))))
    assert str(shown).splitlines() == [
        "MixSTE2, a MixSTE, 3 of 9 frames kept, batches of 2, on cpu",
        "            ms  spread  clips/s  GMACs/clip  peak MiB",
        "plain   400.00   50.00      5.0       2.000       3.0",
        "pruned  200.00   25.00     10.0       1.000         -",
        "pruned / plain speed: 2.00 [2.00, 2.00]",
    ]
    none = replace(found, pruned=replace(pruned, timing=Timing((0.0,))))
    assert none._cells(none.pruned)[2] == "-"  # too short for the clock
