import dataclasses

import pytest
from written import FRAMES, write_checkpoints, write_h36m, write_motionbert, write_mpi_test, write_npz

import evaluate
import run_diffusion
from htp_diffusion.base.command import run_command
from htp_diffusion.base.computing import Computing
from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.results import read_json
from htp_diffusion.comparison.result import ComparisonResult, EvaluationResult
from htp_diffusion.data import source
from htp_diffusion.data.formats.h36m import H36M_TEST
from htp_diffusion.data.protocol import Selection
from htp_diffusion.data.source import Source
from htp_diffusion.diffusion.options import SweepOptions
from htp_diffusion.models.contender import Pruning, trained_contender, trained_contenders
from htp_diffusion.models.public_weights import PublicWeights
from htp_diffusion.pose.layout import MPI_INF_3DHP_17
from htp_diffusion.pose.space import CAMERA_METRES, MOTIONBERT_IMAGE


def run(*arguments) -> None:
    run_command(evaluate.main, evaluate.Options, [str(argument) for argument in arguments])


@pytest.fixture
def small(folder, tmp_path):
    """Arguments of a run that takes a moment, but for the checkpoints."""
    return ["--device", "cpu", "--out", tmp_path / "out"]


def test_a_sweep_over_checkpoints_hypotheses_and_steps(small, folder, tmp_path, capsys):
    write_npz(tmp_path / "own.npz", ["A/one", "A/two", "B/one"], frames=FRAMES + 5)
    write_checkpoints(tmp_path / "trained", motions=["B/one"], htp={"num_frames": 9})
    run(
        folder / "d3dp-tiny.json", tmp_path / "trained" / "htp-tiny.json", *small,
        "--data", tmp_path / "own.npz", "--hypotheses", 1, 2, "--steps", 1, 2, "--every", 2,
        "--num-keep", 5, "--protocol", "d3dp",
    )  # fmt: skip
    results = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult).rows
    rows = [model for result in results for model in result.models]
    swept = [(row.name, result.sampling) for row, result in zip(rows, results, strict=True)]
    expected = [(name, h, k) for name in ("d3dp-tiny", "htp-tiny") for h in (1, 2) for k in (1, 2)]
    assert [(name, drawn.hypotheses, drawn.steps) for name, drawn in swept] == expected
    for row, result in zip(rows, results, strict=True):
        assert [(score.action, score.clips) for score in row.scores.actions] == [("one", 8), ("two", 4)]
        # Every second window: the first of each clip.
        assert (result.windows, result.frames) == (12, 12 * row.denoiser.num_frames)
        assert row.trained_steps == 7
        assert (result.every, result.protocol.name, result.protocol.tail) == (2, "d3dp", "both")
        assert result.space == {"layout": "h36m-17", "unit": "metre", "frame": "camera, root-relative"}
        # No clock: nothing is told of speed and cost.
        assert (row.seconds, row.speed_up, row.true_macs_per_frame) == ([], None, None)
    assert [row.denoiser.num_frames for row in rows] == [12] * 4 + [9] * 4
    assert [result.trained_on for result in results[::4]] == [[], ["B/one"]]
    assert rows[4].denoiser.htp.num_keep == 5

    printed = capsys.readouterr()
    assert "d3dp-tiny, H=2, K=1" in printed.err
    for shown in (
        "htp-tiny: T=9, H=2, K=2, eta 1, flip", "average over actions", "average over frames",
        "P-MPJPE, mm: JPMA (not free of ground truth)", "MPJPE, mm: J-Best (oracle)",
        "MPJPE, mm: one hypothesis", "A sample, not the whole set: one window in 2",
        "Not a test: 1 of the motions", "JPMA needs camera and true root trajectory", "Cameras: virtual",
        "Root: pelvis; the predicted root: at zero", "each of the 2 actions counts the same",
        "htp-tiny: htp-tiny.json, 7 training steps; n=", "evaluation.json",
        f"{rows[-1].scores.over_actions['mean'].mpjpe:.2f}",
    ):  # fmt: skip
        assert shown in printed.out, shown
    assert "PCK" not in printed.out


def test_checkpoints_of_one_name_are_called_after_their_folders(folder, tmp_path):
    write_checkpoints(tmp_path / "second")
    paths = (folder / "htp-tiny.json", tmp_path / "second" / "htp-tiny.json")
    names = [one.name for one in evaluate._contenders(evaluate.Options(checkpoints=paths))]
    assert names == [f"{folder.name}/htp-tiny", "second/htp-tiny"]

    for name in ("A", "B"):
        (tmp_path / name / "x").mkdir(parents=True)
        for file in folder.glob("htp-tiny*"):
            (tmp_path / name / "x" / file.name).write_bytes(file.read_bytes())
    paths = tuple(tmp_path / name / "x" / "htp-tiny.json" for name in ("A", "B"))
    names = [one.name for one in evaluate._contenders(evaluate.Options(checkpoints=paths))]
    assert names == ["A/x/htp-tiny", "B/x/htp-tiny"]
    for path in paths:
        path.rename(path.with_name("last.json"))
    folders = tuple(path.parent for path in paths)
    names = [one.name for one in evaluate._contenders(evaluate.Options(checkpoints=folders))]
    assert names == ["A/x/last", "B/x/last"]
    with pytest.raises(BenchmarkError, match="the same checkpoint was named twice"):
        evaluate._contenders(evaluate.Options(checkpoints=(folders[0], folders[0] / "last.json")))


def test_the_default_protocol_scores_as_the_main_job(small, folder, tmp_path):
    write_npz(tmp_path / "own.npz", ["A/one"], frames=FRAMES + 5)
    common = [*small, "--data", tmp_path / "own.npz", "--batch-size", 3, "--hypotheses", 2, "--steps", 1]
    run(folder / "htp-tiny.json", *common)
    words = ["--preset", "tiny", "--checkpoint-folder", folder, *common]
    run_command(run_diffusion.main, run_diffusion.Options, [str(word) for word in words])
    [result] = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult).rows
    theirs = read_json(tmp_path / "out" / "result.json", ComparisonResult).models[1]
    assert result.models[0].scores == theirs.scores


def test_mpi_inf_3dhp_by_command(small, folder, tmp_path, capsys):
    path = write_mpi_test(tmp_path / "test.npz")
    run(
        folder / "htp-tiny.json", *small, "--dataset", "3dhp", "--data", path, "--annotation", "univ_annot3",
        "--conversion", "by-place", "--hypotheses", 1, "--steps", 1, "--actions", "TS1", "TS5",
    )  # fmt: skip
    [result] = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult).rows
    scores = result.models[0].scores
    assert [score.action for score in scores.actions] == ["TS1", "TS5"]
    assert 0 <= scores.over_actions["mean"].auc <= 100
    assert result.padded == 2
    printed = capsys.readouterr().out
    for shown in (
        "test.npz (univ_annot3)", "PCK, %: one hypothesis", "AUC, %: actions", "of 14 joints",
        "2 clips are shorter than a window: padded", "JPMA projects poses that were scaled", "rule by-place",
    ):  # fmt: skip
        assert shown in printed, shown


def test_a_checkpoint_scores_motion_of_its_own_layout_alone(small, tmp_path, capsys):
    space = dataclasses.replace(CAMERA_METRES, layout=MPI_INF_3DHP_17)
    write_checkpoints(tmp_path / "mpi", space=space)
    write_npz(tmp_path / "own.npz", ["A/one"])
    checkpoint, swept = tmp_path / "mpi" / "htp-tiny.json", ("--hypotheses", 1, "--steps", 1)
    path = write_mpi_test(tmp_path / "test.npz")
    run(checkpoint, *small, *swept, "--dataset", "3dhp", "--data", path, "--annotation", "annot3")
    [result] = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult).rows
    assert result.space == space.to_json()
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        run(checkpoint, *small, *swept, "--data", tmp_path / "own.npz")
    assert left.value.code == 2
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith("error: htp-tiny.json is not made for own.npz")
    assert told.endswith("layout h36m-17, expected mpi-inf-3dhp-17")
    with pytest.raises(BenchmarkError, match="layout mpi-inf-3dhp-17, expected h36m-17"):
        trained_contenders(tmp_path / "mpi", "tiny", ("htp",), Pruning())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name one checkpoint or several"),
        (["nowhere.json"], "cannot read nowhere.json: No such file"),
        (["HTP", "--data", "nowhere.npz"], "nowhere.npz: no such file"),
        (["HTP", "--dataset", "h36m"], "dataset h36m needs --data"),
        (["HTP", "--dataset", "3dhp", "--data", "MPI"], "dataset 3dhp needs --annotation"),
        (
            ["HTP", "--dataset", "3dhp", "--data", "MPI", "--annotation", "annot3"],
            "htp-tiny.json is not made for MPI-INF-3DHP mpi.npz (annot3), ground-truth 2D: layout "
            "mpi-inf-3dhp-17, expected h36m-17",
        ),
        (["OTHER"], "other.json: result: the checkpoint does not state the unit and the frame of its poses"),
        (["HTP", "--actions", "flying"], "no action flying in embedded synthetic motion"),
        (["HTP", "--every", "0"], "every expects at least 1, got 0"),
        (["HTP", "--hypotheses"], "hypotheses and steps expect at least one number each"),
        (["HTP", "--hypotheses", "0"], "batch size and hypotheses expect at least 1"),
        (["HTP", "--steps", "0"], "expected 1 to 1000 sampling steps, got 0"),
        (["HTP", "--eta", "2"], "expected eta from 0"),
        (["HTP", "--precision", "tf32"], "precision tf32 needs a CUDA device"),
        (["HTP", "--num-keep", "0"], "num_keep"),
        (["HTP", "--memory-budget", "0"], "memory budget expects GiB above 0"),
        (["HTP", "--prune"], "--prune is for --weights"),
        (
            ["D3DP", "--num-keep", "3", "--num-neighbors", "5"],
            "--num-keep, --num-neighbors: an option of HTP",
        ),
        (["HTP", "--out", "HTP"], "cannot make the folder"),
    ],
)
def test_what_cannot_be_done_ends_with_one_line(small, folder, tmp_path, capsys, arguments, message):
    write_mpi_test(tmp_path / "mpi.npz")
    text = (folder / "htp-tiny.json").read_text().replace('"unit"', '"units"').replace('"frame"', '"frames"')
    (tmp_path / "other.json").write_text(text)
    (tmp_path / "htp-tiny-000007.safetensors").write_bytes(
        (folder / "htp-tiny-000007.safetensors").read_bytes()
    )
    places = {
        "HTP": folder / "htp-tiny.json",
        "D3DP": folder / "d3dp-tiny.json",
        "MPI": tmp_path / "mpi.npz",
        "OTHER": tmp_path / "other.json",
    }
    arguments = [str(places.get(argument, argument)) for argument in arguments]
    with pytest.raises(SystemExit) as left:
        run(*small, *arguments)
    told = [line for line in capsys.readouterr().err.splitlines() if line and "batches" not in line]
    assert left.value.code == 2
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]


def test_a_checkpoint_of_another_unit_is_refused(small, folder, tmp_path, capsys):
    record = trained_contender(folder / "htp-tiny.json", Pruning())
    found = source.test_clips(Source(), 9)
    space = record.checkpoint.space | {"unit": "millimetre"}
    other = dataclasses.replace(record, checkpoint=dataclasses.replace(record.checkpoint, space=space))
    with pytest.raises(ValueError, match=r"htp-tiny.json is not made for .*: unit metre, expected milli"):
        other.require_space(found.space, found.description)
    record.require_space(found.space, found.description)


def test_help_names_every_option_without_a_prefix(capsys):
    with pytest.raises(SystemExit) as left:
        run("--help")
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    groups = {
        "public": PublicWeights,
        "source": Source,
        "selection": Selection,
        "sampling": SweepOptions,
        "pruning": Pruning,
    }
    for group in (evaluate.Options, *groups.values(), Computing):
        for option in dataclasses.fields(group):
            if option.name not in ("checkpoints", "computing", *groups):
                assert f" --{option.name.replace('_', '-')}" in text
    assert not any(f"--{name}" in text for name in (*groups, "computing"))
    assert "CHECKPOINT" in text


def test_the_main_job_reads_every_data_set_that_evaluate_reads(folder, tmp_path, capsys):
    """Both score the same poses with the same errors, whatever the data set."""
    h36m = write_h36m(tmp_path, ("Walking", "Photo"), H36M_TEST, frames=FRAMES)
    mpi = write_mpi_test(tmp_path / "test.npz")
    sources = {
        "h36m": ["--dataset", "h36m", "--data", h36m[0], "--keypoints", h36m[1]],
        "3dhp": ["--dataset", "3dhp", "--data", mpi, "--annotation", "annot3", "--conversion", "by-place"],
    }
    common = ["--device", "cpu", "--hypotheses", 2, "--steps", 1, "--protocol", "d3dp"]
    for name, source_options in sources.items():
        words = [*common, *source_options, "--out", tmp_path / name]
        run(folder / "htp-tiny.json", *words)
        main_words = ["--preset", "tiny", "--checkpoint-folder", folder, *words]
        run_command(run_diffusion.main, run_diffusion.Options, [str(word) for word in main_words])
        [evaluated] = read_json(tmp_path / name / "evaluation.json", EvaluationResult).rows
        result = read_json(tmp_path / name / "result.json", ComparisonResult)
        assert result.models[1].scores == evaluated.models[0].scores
        assert (result.data, result.camera, result.protocol) == (
            evaluated.data,
            evaluated.camera,
            evaluated.protocol,
        )
        assert (tmp_path / name / "kept_frames.png").exists()
    assert "PCK, %: mean" in capsys.readouterr().out


def test_the_main_job_takes_poses_in_the_image(tmp_path, capsys):
    path = write_motionbert(tmp_path / "motionbert.pkl", frames=FRAMES)
    write_checkpoints(tmp_path / "image", space=MOTIONBERT_IMAGE)
    words = [
        "--preset", "tiny", "--checkpoint-folder", tmp_path / "image", "--dataset", "motionbert",
        "--data", path,
        "--device", "cpu", "--hypotheses", 1, "--steps", 1, "--out", tmp_path / "out",
    ]  # fmt: skip
    run_command(run_diffusion.main, run_diffusion.Options, [str(word) for word in words])
    result = read_json(tmp_path / "out" / "result.json", ComparisonResult)
    assert result.space == MOTIONBERT_IMAGE.to_json()
    assert "scored in millimetres" in capsys.readouterr().out


def test_the_main_job_refuses_motion_of_another_space(folder, tmp_path, capsys):
    path = write_motionbert(tmp_path / "motionbert.pkl", frames=FRAMES)
    words = ["--preset", "tiny", "--checkpoint-folder", folder, "--dataset", "motionbert", "--data", path,
             "--device", "cpu", "--out", tmp_path / "out"]  # fmt: skip
    with pytest.raises(SystemExit) as left:
        run_command(run_diffusion.main, run_diffusion.Options, [str(word) for word in words])
    assert left.value.code == 2
    assert "d3dp-tiny.json is not made for Human3.6M" in capsys.readouterr().err
