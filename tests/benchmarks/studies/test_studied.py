"""What the studies score, and what they tell of it. Oracle: stand-ins that take notes, and sums by hand."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from adapters.clock import SpeedUp, Timing
from htp_diffusion.base.command import run_command
from htp_diffusion.base.provenance import provenance
from htp_diffusion.diffusion.ddim import POSE_LIMIT
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.preset import PRESETS
from htp_diffusion.scoring.clip_scores import Errors
from htp_diffusion.speed.counting import Count
from htp_diffusion.studies import claims as claimed
from htp_diffusion.studies.ablation_table import AblationResult, ablation_tables
from htp_diffusion.studies.commands import ablations, adapters, claims, seeds
from htp_diffusion.studies.commands.adapters import PLAIN, Variant
from htp_diffusion.studies.paper_rows import Recipe, Setting, whole_model
from htp_diffusion.studies.patched_hosts import lift
from htp_diffusion.studies.seeds_table import Run
from htp_diffusion.studies.sweep import Scoring, _stretches

CPU = torch.device("cpu")
TINY = PRESETS["tiny"]
ERRORS = Errors(mpjpe=50.0, p_mpjpe=40.0, mpjve=3.0)
SCORING = Scoring(data="clips", every=2, hypotheses=3, denoising_steps=4, eta=0.5, flip=False)


class NotedError(Exception):
    """Carries what a stand-in was given out of the script."""


def note(*given, **named):
    raise NotedError(given, named)


def test_a_sweep_samples_as_it_was_asked():
    drawn = SCORING.sampling(TINY.denoiser("d3dp"), CPU)
    assert (drawn.hypotheses, drawn.steps, drawn.eta, drawn.flip) == (3, 4, 0.5, False)


def test_the_last_stretch_of_the_losses_is_whole():
    """45 losses in stretches of two: the first is left out, and the last two are averaged."""
    assert _stretches(list(range(45))) == [number + 1.5 for number in range(0, 44, 2)]
    assert _stretches([3.0, 1.0]) == [3.0, 1.0]


@pytest.fixture
def rows():
    """Rows of a filled sweep: HTP trained and sampled, and the same weights sampled with shorter windows."""
    whole = whole_model(TINY)
    short = replace(whole, denoiser=replace(whole.denoiser, num_frames=9))
    told = [
        Setting(table="x", name="whole", model=whole, paper_mpjpe=29.9, paper_gmacs=7.0),
        SimpleNamespace(
            table="x", name="short", model=whole, sampled=short, paper_mpjpe=None, paper_gmacs=None
        ),
    ]
    sweep = SimpleNamespace(
        device=CPU,
        training=lambda model, seed: seed,
        trained=lambda seed: SimpleNamespace(losses=[90.0, 80.0 + seed]),
        errors=lambda seed, sampled: replace(ERRORS, mpjpe=50.0 + seed),
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            ablations,
            "count_denoiser",
            lambda _, frames: Count(thop_macs=frames * 10**9, true_macs=2 * frames * 10**9, params=10**6),
        )
        patched.setattr(
            ablations,
            "time_models",
            lambda whole, models, *_: {
                model: SpeedUp(of_medians=9.0, paired=2.0 + number, paired_low=1.75, paired_high=2.25)
                for number, model in enumerate(models)
            },
        )
        return ablations.table_rows(sweep, told, (0, 4), whole, 3)


def test_a_row_of_an_ablation_is_told_by_what_was_sampled(rows):
    assert [(row.thop_gmacs, row.true_gmacs, row.speed_up) for row in rows] == [
        (27.0, 54.0, 2.0),
        (9.0, 18.0, 3.0),
    ]
    for row in rows:
        assert (row.speed_up_low, row.speed_up_high, row.params_m) == (1.75, 2.25, 1.0)
        assert ([one.mpjpe for one in row.errors], row.final_losses) == ([50.0, 54.0], [80.0, 84.0])
        assert row.true_mmacs_per_frame == 2000.0


def test_every_figure_of_an_ablation_stands_under_its_own_head(rows):
    recipe = Recipe(data=None, motions=("a",), training_steps=7, batch_size=2, learning_rate=1e-3)
    result = AblationResult(
        preset="tiny", whole=rows[0].sampled, recipe=recipe, seeds=(0, 4), scored="clips", every=1, frames=54,
        sampling=SCORING.sampling(TINY.denoiser("d3dp"), CPU), device="cpu", rows=rows,
        provenance=provenance(),
    )  # fmt: skip
    [table] = ablation_tables(result)
    cells = dict(zip([column.name for column in table.columns], table.rows[0], strict=True))
    assert cells == {
        "setting": "whole",
        "MPJPE, mm": "52.0 ± 2.8",
        "paper, mm": 29.9,
        "difference from HTP": 0.0,
        "paper, difference from HTP": 0.0,
        "P-MPJPE, mm": "40.0 ± 0.0",
        "velocity error, mm/frame": "3.0 ± 0.0",
        "GMACs a pass, THOP": 27.0,
        "paper, THOP": 7.0,
        "true": 54.0,
        "true, M/frame": 2000.0,
        "times as fast as D3DP": "2.00 [1.75, 2.25]",
        "training loss, mm": "82.0 ± 2.8",
    }


def test_a_prediction_is_of_the_pose_noised_to_its_time_and_of_anothers_2d_poses():
    """Poses of window i are i / 10 m off; the model answers what it is told, and is told 2 windows on."""
    off = torch.arange(4).reshape(4, 1, 1, 1) / 10
    pose_2d, pose_3d = off.expand(4, 3, 17, 2), torch.cat([off, off * 0, off * 0], -1).expand(4, 3, 17, 3)
    clips = [
        SimpleNamespace(pose_2d=pose_2d[part], pose_3d=pose_3d[part]) for part in (slice(3), slice(3, 4))
    ]
    seen = []

    def answer(condition, noisy, timestep):
        seen.append((noisy, timestep))
        return torch.cat([condition[..., :1], torch.zeros_like(condition)], -1)

    found = claimed.predict(answer, clips, CPU)
    assert found.mpjpe == [0.0] * len(claimed.TIMES)
    assert found.shuffled == pytest.approx(200.0)
    noise = torch.randn(pose_3d.shape, generator=torch.Generator().manual_seed(7))
    for time, (noisy, timestep) in zip((*claimed.TIMES, claimed.TIMES[-1]), seen, strict=True):
        assert timestep.tolist() == [time] * 4
        expected = cosine_schedule().add_noise(pose_3d, timestep, noise)
        assert torch.equal(noisy, expected.clamp(-POSE_LIMIT, POSE_LIMIT))


def test_claims_are_scored_with_the_hypotheses_and_steps_that_their_name_says(monkeypatch):
    drawn = []
    monkeypatch.setattr(claimed, "grade", lambda *given: drawn.append(given[2]) or ERRORS)
    assert claimed.score(None, [], [(5, 2), (1, 3)], CPU) == {"5x2": ERRORS, "1x3": ERRORS}
    assert [(one.hypotheses, one.steps, one.batch_size, one.max_batch) for one in drawn] == [
        (5, 2, 48, 480),
        (1, 3, 48, 96),
    ]


def test_claims_tell_the_frames_that_count_and_the_steps_that_were_done(monkeypatch):
    scored = SimpleNamespace(scored=torch.tensor([[True, True, False]]))
    monkeypatch.setattr(claims, "windows", lambda *_: SimpleNamespace(every=lambda _: scored))
    monkeypatch.setattr(claims, "scored_rows", lambda *_: [])
    found = SimpleNamespace(clips=["one", "two"], description="clips")
    fleet = SimpleNamespace(preset=TINY, step=3)
    result = claims.studied(fleet, [], found, claims.Options(), CPU, Console(), steps=7, seconds=0.5)
    assert (result.frames, result.steps, result.seconds_per_step) == (4, 7, 0.5)


def test_claims_are_trained_on_windows_of_the_length_that_was_asked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(claims, "training_set", lambda *_: [])
    monkeypatch.setattr(claims.Options, "scored", lambda *_: None)
    monkeypatch.setattr(claims, "check_split", lambda *_: None)
    monkeypatch.setattr(claims, "Fleet", note)
    words = ["--preset", "tiny", "--window", "5", "--models", "htp", "--seeds", "3", "--device", "cpu"]
    with pytest.raises(NotedError) as noted:
        run_command(claims.main, claims.Options, [*words, "--out", str(tmp_path)])
    [member] = noted.value.args[0][1]
    assert (member.name, member.window) == ("htp-seed3", 5)


def test_a_patched_host_is_told_by_its_own_errors_and_more_than_one_is_faster(monkeypatch):
    third = Variant(keep=1 / 3, recovery="interpolate", tuned=True)
    monkeypatch.setattr(adapters, "VARIANTS", (PLAIN, third))
    monkeypatch.setattr(adapters.adapters, "patch", lambda model, _: model)
    monkeypatch.setattr(
        adapters, "interleaved", lambda *_, **__: {"0": Timing((8.0, 8.0, 8.0)), "1": Timing((2.0, 4.0, 1.0))}
    )
    monkeypatch.setattr(adapters, "true_macs", lambda *_: 3 * 10**9)
    asked = []
    parts = SimpleNamespace(find_or_make=lambda name, given, *_: asked.append((name, given)) or ERRORS)
    host = SimpleNamespace(
        name="D3DP", story="shipped", model=torch.nn.Identity(), num_frames=27, inputs=lambda _: ()
    )
    options = SimpleNamespace(parts=parts, repeats=2, tune_steps=7, max_windows=1)
    monkeypatch.setattr(adapters, "first_windows", lambda clips, _: clips)
    scored = SimpleNamespace(clips=[], identity="clips 0")
    rows = adapters.study_host(host, [SimpleNamespace(name="walk")], scored, options)
    assert [(row.speed_up, row.frames_kept, row.gmacs) for row in rows] == [(1.0, 27, 3.0), (4.0, 9, 3.0)]
    assert {(row.mpjpe, row.p_mpjpe, row.mpjve) for row in rows} == {(50.0, 40.0, 3.0)}
    assert [name for name, _ in asked] == ["D3DP-plain", "D3DP-interpolate-tuned-0.333"]
    assert [(one.keep, one.motions, one.tune_steps, one.data) for _, one in asked] == [
        (keep, ["walk"], 7, "clips 0") for keep in (None, 1 / 3)
    ]


def test_a_lifted_pose_is_moved_to_its_root():
    pose = torch.rand(2, 3, 17, 3)
    [first, second] = lift(lambda _: pose, None, 0)
    assert torch.equal(first[0], pose[0] - pose[0, :, :1])
    assert torch.equal(second[0], pose[1] - pose[1, :, :1])


def test_a_checkpoint_is_scored_with_the_weights_and_eta_that_were_asked_for(monkeypatch, tmp_path):
    record = SimpleNamespace(
        denoiser=TINY.denoiser("d3dp"), variant=None, seed=5, step=7, steps=9, motions=["a"], sha256="0" * 64
    )
    run = seeds._run(record)
    assert run == Run(
        model="D3DP", denoiser=record.denoiser, seed=5, steps=7, motions=1, sha256=record.sha256
    )
    loaded = []
    monkeypatch.setattr(seeds, "load_denoiser", lambda _, **named: loaded.append(named) or (record, "model"))
    monkeypatch.setattr(
        seeds, "grade", lambda denoiser, clips, sampling, _: replace(ERRORS, mpjve=sampling.eta)
    )
    found = seeds.scored_run(tmp_path / "last.json", run, "last", SCORING, [], tmp_path / "out", CPU)
    assert loaded == [{"weights": "last"}]
    assert (found.errors.mpjve, found.hypotheses, found.denoising_steps) == (0.5, 3, 4)

    monkeypatch.setattr(seeds, "read_record", lambda _: record)
    monkeypatch.setattr(
        seeds.Options, "scored", lambda *_: SimpleNamespace(clips=[], identity="clips", motions=[])
    )
    monkeypatch.setattr(seeds, "scored_run", note)
    words = ["--eta", "0.25", "--no-flip", "--every", "3", "--sampling", "2x6", "--no-averaged"]
    with pytest.raises(NotedError) as noted:
        run_command(seeds.main, seeds.Options, [str(tmp_path / "last.json"), *words, "--device", "cpu"])
    _, _, weights, scoring, *_ = noted.value.args[0]
    assert weights == "last"
    assert scoring == Scoring(data="clips", every=3, hypotheses=2, denoising_steps=6, eta=0.25, flip=False)
