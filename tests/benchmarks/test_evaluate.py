import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn
from written import (
    FRAMES,
    TINY,
    mpi_poses,
    write_checkpoints,
    write_h36m,
    write_mpi_test,
    write_npz,
)

import evaluate
import run_diffusion
from htp_diffusion.command import run_command
from htp_diffusion.contender import Pruning, trained_contender, trained_contenders
from htp_diffusion.data import source
from htp_diffusion.data.h36m import H36M_TEST
from htp_diffusion.data.mpi_inf_3dhp_cameras import mpi_test_camera
from htp_diffusion.data.protocol import EVERY_FRAME, cut_clips, protocol_named
from htp_diffusion.data.source import Source
from htp_diffusion.diffusion import cosine_schedule, sample
from htp_diffusion.errors import BenchmarkError
from htp_diffusion.evaluation import evaluate_denoiser
from htp_diffusion.pose.flip import flip_pose
from htp_diffusion.pose.layout import MPI_INF_3DHP_17
from htp_diffusion.pose.space import CAMERA_METRES
from htp_diffusion.report.evaluation import EvaluationResult, action_table, evaluation_table
from htp_diffusion.report.inference import InferenceResult
from htp_diffusion.report.schema import read_json
from htp_diffusion.sampling import Sampling

WAYS = ("mean", "JPMA", "P-Best", "J-Best")
# Left and right joints, and the root, of each layout: the field's lists.
MIRROR = {
    "h36m-17": ([4, 5, 6, 11, 12, 13], [1, 2, 3, 14, 15, 16]),
    "mpi-inf-3dhp-17": ([5, 6, 7, 11, 12, 13], [2, 3, 4, 8, 9, 10]),
}


class Oracle(nn.Module):
    """Knows the pose of every window, and errs by what it is told, joint by joint and frame by frame."""

    def __init__(self, pose_2d, answers, layout="h36m-17"):
        super().__init__()
        self.seen = torch.cat([pose_2d, mirrored(pose_2d, layout)]).flatten(1)
        self.answers = torch.cat([answers, mirrored(answers, layout)])

    def forward(self, pose_2d, noisy, timestep):
        return self.answers[torch.cdist(pose_2d.flatten(1), self.seen).argmin(dim=1)]


def mirrored(pose, layout):
    left, right = MIRROR[layout]
    other = pose.clone()
    other[..., left + right, :] = pose[..., right + left, :]
    other[..., 0] *= -1
    return other


def oracle(found, num_frames, protocol=EVERY_FRAME, err=lambda answers: 0.0):
    windows = [piece for _, piece in cut_clips(found.clips, num_frames, protocol)]
    answers = torch.cat([piece.pose_3d for piece in windows])
    pose_2d = torch.cat([piece.pose_2d for piece in windows])
    return Oracle(pose_2d, answers + err(answers), found.space.layout.name)


def within_bounds(found):
    """The set with poses that the sampler does not clip: those of the fixtures reach beyond its 1.1 m."""
    clips = (
        dataclasses.replace(item, clip=dataclasses.replace(item.clip, pose_3d=item.clip.pose_3d / 2))
        for item in found.clips
    )
    return dataclasses.replace(found, clips=tuple(clips))


def h36m(folder, frames=10, trials=("Walking", "Walking 1", "Photo")):
    path_3d, path_2d, *_ = write_h36m(folder, trials, H36M_TEST, frames=frames)
    found = source.test_clips(Source(dataset="h36m", data=path_3d, keypoints=path_2d), 9)
    # The files repeat the 2D poses from subject to subject: tell the subjects apart.
    for item in found.clips[len(found.clips) // 2 :]:
        item.clip.pose_2d.add_(0.5)
    return within_bounds(found)


def mpi(folder, frames=4, valid=(1, 0, 1, 1)):
    tables = {
        f"TS{i}": mpi_poses(mpi_test_camera(f"TS{i}"), frames, i) | {"valid": np.array(valid)}
        for i in range(1, 7)
    }
    path = write_mpi_test(folder / "data_test_3dhp.npz", **tables)
    return within_bounds(source.test_clips(Source(dataset="3dhp", data=path, annotation="annot3"), 9))


def sampling(hypotheses=2, steps=2, **changes):
    options = {"eta": 1.0, "flip": True, "seed": 3, "batch_size": 5} | changes
    return Sampling(hypotheses=hypotheses, steps=steps, **options)


def config(num_frames, kind="d3dp"):
    return dataclasses.replace(TINY.denoiser(kind), num_frames=num_frames)


@pytest.mark.parametrize("protocol", ["every-frame", "d3dp", "motionbert", "paper"])
@pytest.mark.parametrize(("make", "frames", "num_frames"), [(h36m, 10, 4), (h36m, 3, 5), (mpi, 4, 3)])
def test_a_perfect_denoiser_has_no_error(tmp_path, make, frames, num_frames, protocol):
    found = make(tmp_path, frames)
    named = protocol_named(protocol, found)
    scores = evaluate_denoiser(
        oracle(found, num_frames, named), config(num_frames), found, sampling(), protocol=named
    )
    parts = [scores.over_actions, scores.over_frames, *(score.errors for score in scores.actions)]
    for errors in parts:
        assert tuple(errors) == WAYS
        for one in errors.values():
            assert one.mpjpe == pytest.approx(0.0, abs=1e-3)
            assert one.p_mpjpe == pytest.approx(0.0, abs=1e-2)
            if make is mpi:
                # No error is below 0 mm, the first of the 31 thresholds.
                assert (one.pck, one.auc) == (pytest.approx(100.0), pytest.approx(100 * 30 / 31))
            else:
                assert (one.pck, one.auc) == (None, None)
    assert scores.padded == (len(found.clips) if frames < num_frames else 0)
    assert [score.action for score in scores.actions] == list(found.actions)


def test_a_long_clip(tmp_path):
    found = h36m(tmp_path, 500, ("Photo",))
    scores = evaluate_denoiser(oracle(found, 9), config(9), found, sampling(1, 1, batch_size=64))
    assert (scores.windows, scores.frames) == (8 * 56, 8 * 500)
    assert scores.over_actions["mean"].mpjpe == pytest.approx(0.0, abs=1e-3)


def test_hand_computed_pck_and_auc(tmp_path):
    """TS1: every joint 62 mm off. TS2: 200 mm. TS3: the wrists alone, 150 mm. The rest: perfect."""
    found = mpi(tmp_path)
    off = torch.zeros(6, 17)
    off[0], off[1], off[2, [4, 7]] = 0.062, 0.2, 0.150001
    windows = [piece for _, piece in cut_clips(found.clips, 4, EVERY_FRAME)]

    def err(answers):
        shift = torch.zeros_like(answers)
        shift[..., 0] = off[:, None]
        # The second frame is not valid: whatever is predicted there does not count.
        shift[:, 1] += 0.5
        return shift

    d3dp = protocol_named("d3dp", found)
    assert [piece.scored.tolist() for piece in windows] == [[[True, False, True, True]]] * 6
    scores = evaluate_denoiser(
        oracle(found, 4, d3dp, err), config(4), found, sampling(1, 1, flip=False), protocol=d3dp
    )
    by_name = {score.action: score.errors["mean"] for score in scores.actions}
    # MPJPE is of 17 joints, of which the root is put at 0; PCK and AUC of 14, the root not among them.
    assert by_name["TS1"].mpjpe == pytest.approx(62 * 16 / 17, rel=1e-4)
    assert by_name["TS2"].mpjpe == pytest.approx(200 * 16 / 17, rel=1e-4)
    assert by_name["TS3"].mpjpe == pytest.approx(150 * 2 / 17, rel=1e-4)
    # 62 mm is below 65, 70, ..., 150: 18 of the 31 thresholds. Two of 14 joints are not below 150 mm.
    assert by_name["TS1"].pck == pytest.approx(100.0)
    assert by_name["TS1"].auc == pytest.approx(100 * 18 / 31)
    assert (by_name["TS2"].pck, by_name["TS2"].auc) == (0.0, 0.0)
    assert by_name["TS3"].pck == pytest.approx(100 * 12 / 14)
    assert by_name["TS3"].auc == pytest.approx(100 * 12 / 14 * 30 / 31)
    average = scores.over_actions["mean"]
    assert average.pck == pytest.approx((100 + 0 + 100 * 12 / 14 + 300) / 6)
    assert average.auc == pytest.approx((18 + 0 + 30 * 12 / 14 + 90) / 31 * 100 / 6)
    assert average.mpjpe == pytest.approx((62 * 16 + 200 * 16 + 300) / 17 / 6, rel=1e-4)
    # Left as predicted, the root counts like any other joint.
    raw = evaluate_denoiser(oracle(found, 4, d3dp, err), config(4), found, sampling(1, 1, flip=False))
    assert raw.actions[0].errors["mean"].mpjpe == pytest.approx(62.0, rel=1e-4)
    assert raw.actions[0].errors["mean"].pck == pytest.approx(100.0)
    # Moved to its root, a pose that is off as a whole is right.
    moved = evaluate_denoiser(
        oracle(found, 4, d3dp, err), config(4), found, sampling(1, 1, flip=False),
        protocol=protocol_named("motionbert", found),
    )  # fmt: skip
    assert moved.actions[1].errors["mean"].mpjpe == pytest.approx(0.0, abs=1e-3)


def test_frames_of_two_windows_count_as_the_protocol_says(tmp_path):
    """Ten frames in windows 0-3, 4-7 and 6-9, whose poses are off by 10, 20 and 40 mm."""
    found = h36m(tmp_path, 10, ("Photo",))

    def err(answers):
        off = torch.tensor([0.01, 0.02, 0.04]).repeat(len(answers) // 3)
        return torch.stack([off, off * 0, off * 0], dim=-1)[:, None, None]

    expected = {
        "every-frame": (4 * 10 + 4 * 20 + 2 * 40) / 10,
        "d3dp": (4 * 10 + 4 * 20 + 4 * 40) / 12 * 16 / 17,  # the root is at 0
        "paper": (4 * 10 + 4 * 20 + 4 * 40) / 12 * 16 / 17,
        "motionbert": 0.0,  # moved to the root
    }
    model = oracle(found, 4, EVERY_FRAME, err)
    for name, value in expected.items():
        scores = evaluate_denoiser(
            model, config(4), found, sampling(1, 1, flip=False), protocol=protocol_named(name, found)
        )
        assert scores.over_actions["mean"].mpjpe == pytest.approx(value, rel=1e-4, abs=1e-3), name
    assert scores.frames == 8 * 8


def horn(predicted, target):
    """MPJPE after alignment by Horn's quaternion: another way than the singular value decomposition."""
    p, q = predicted - predicted.mean(0), target - target.mean(0)
    s = p.T @ q
    antisymmetric = np.array([s[1, 2] - s[2, 1], s[2, 0] - s[0, 2], s[0, 1] - s[1, 0]])
    n = np.block([
        [np.array([[np.trace(s)]]), antisymmetric[None]],
        [antisymmetric[:, None], s + s.T - np.trace(s) * np.eye(3)],
    ])  # fmt: skip
    w, x, y, z = np.linalg.eigh(n)[1][:, -1]
    rotation = np.array([
        [w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z],
    ])  # fmt: skip
    turned = p @ rotation.T
    scale = (turned * q).sum() / (turned * turned).sum()
    return np.linalg.norm(scale * turned - q, axis=1).mean() * 1000


def test_averages_are_those_of_loops_over_frames(tmp_path):
    """Walking has twice the frames of Photo: the two averages differ."""
    found = h36m(tmp_path, 7)
    torch.manual_seed(1)
    model = config(5).build().eval()
    scores = evaluate_denoiser(model, config(5), found, sampling(), protocol=protocol_named("d3dp", found))

    pieces = []
    for item in found.clips:
        for start in (0, 2):
            pieces.append((item, slice(start, start + 5)))
    batches = [pieces[i : i + 5] for i in range(0, len(pieces), 5)]
    batches[-1] += [batches[-1][-1]] * (5 - len(batches[-1]))
    per_action = {
        action: {(way, p): [] for way in ("mean", "P-Best") for p in (1, 2)} for action in found.actions
    }
    left = len(pieces)
    for number, batch in enumerate(batches):
        drawn = sample(
            model, torch.stack([item.clip.pose_2d[cut] for item, cut in batch]), schedule=cosine_schedule(),
            steps=2, hypotheses=2, eta=1.0, flip=flip_pose,
            generator=torch.Generator().manual_seed(3 * 2**20 + number),
        ).double().numpy()  # fmt: skip
        drawn[..., 0, :] = 0.0
        for (item, cut), hypotheses in zip(batch[:left], drawn, strict=False):
            for frame, truth in enumerate(item.clip.pose_3d[cut].double().numpy()):
                one = [hypothesis[frame] for hypothesis in hypotheses]
                error = [np.mean([np.linalg.norm(a - b) for a, b in zip(h, truth, strict=True)]) for h in one]
                poses = {"mean": (one[0] + one[1]) / 2, "P-Best": one[int(np.argmin(error))]}
                for way, pose in poses.items():
                    per_action[item.action][way, 1].append(np.linalg.norm(pose - truth, axis=1).mean() * 1000)
                    per_action[item.action][way, 2].append(horn(pose, truth))
        left -= len(batch)

    assert {score.action: score.frames for score in scores.actions} == {"Photo": 80, "Walking": 160}
    for way in ("mean", "P-Best"):
        for p, name in ((1, "mpjpe"), (2, "p_mpjpe")):
            means = {action: np.mean(errors[way, p]) for action, errors in per_action.items()}
            for score in scores.actions:
                assert getattr(score.errors[way], name) == pytest.approx(means[score.action], rel=1e-4)
            assert getattr(scores.over_actions[way], name) == pytest.approx(
                np.mean(list(means.values())), rel=1e-4
            )
            everything = list(itertools.chain(*(errors[way, p] for errors in per_action.values())))
            assert getattr(scores.over_frames[way], name) == pytest.approx(np.mean(everything), rel=1e-4)


def test_progress_counts_batches_and_none_is_larger_than_the_set(tmp_path):
    found = h36m(tmp_path, 7, ("Photo",))  # 8 clips of 2 windows
    told = []
    scores = evaluate_denoiser(
        oracle(found, 5), config(5), found, sampling(1, 1), progress=lambda *counts: told.append(counts)
    )
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    large = evaluate_denoiser(oracle(found, 5), config(5), found, sampling(1, 1, batch_size=99))
    assert (large.sampling.batch_size, large.sampling.max_batch) == (16, 32)
    assert large.over_frames["mean"].mpjpe == pytest.approx(scores.over_frames["mean"].mpjpe, abs=1e-3)


def run(*arguments) -> None:
    run_command(evaluate.main, evaluate.Options, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoints")
    write_checkpoints(path)
    return path


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
    result = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult)
    swept = [(row.name, row.evaluation.sampling) for row in result.rows]
    expected = [(name, h, k) for name in ("d3dp-tiny", "htp-tiny") for h in (1, 2) for k in (1, 2)]
    assert [(name, drawn.hypotheses, drawn.steps) for name, drawn in swept] == expected
    for row in result.rows:
        assert [(score.action, score.clips) for score in row.evaluation.actions] == [("one", 8), ("two", 4)]
        # Every second window: the first of each clip.
        assert (row.evaluation.windows, row.evaluation.frames) == (12, 12 * row.denoiser.num_frames)
        assert row.trained_steps == 7
    assert [row.denoiser.num_frames for row in result.rows] == [12] * 4 + [9] * 4
    assert [row.trained_on for row in result.rows[::4]] == [[], ["B/one"]]
    assert result.rows[4].denoiser.htp.num_keep == 5
    assert (result.every, result.protocol.name, result.protocol.tail) == (2, "d3dp", "both")
    assert result.space == {"layout": "h36m-17", "unit": "metre", "frame": "camera, root-relative"}

    printed = capsys.readouterr()
    assert "d3dp-tiny, H=2, K=1" in printed.err
    for shown in (
        "htp-tiny: T=9, H=2, K=2, eta 1, flip", "average over actions", "average over frames",
        "P-MPJPE, mm: JPMA (not free of ground truth)", "MPJPE, mm: J-Best (oracle)",
        "MPJPE, mm: one hypothesis", "A sample, not the whole set: one window in 2",
        "Not a test: 1 of the motions", "JPMA needs camera and true root trajectory", "Cameras: virtual",
        "Root: pelvis; the predicted root: at zero", "each of the 2 actions counts the same",
        "htp-tiny: htp-tiny.json, 7 training steps; n=", "evaluation.json",
        f"{result.rows[-1].evaluation.over_actions['mean'].mpjpe:.2f}",
    ):  # fmt: skip
        assert shown in printed.out, shown
    assert "PCK" not in printed.out


def test_checkpoints_of_one_name_are_called_after_their_folders(folder, tmp_path):
    write_checkpoints(tmp_path / "second")
    paths = (folder / "htp-tiny.json", tmp_path / "second" / "htp-tiny.json")
    names = [one.name for one in evaluate._contenders(evaluate.Options(checkpoints=paths))]
    assert names == [f"{folder.name}/htp-tiny", "second/htp-tiny"]


def test_the_default_protocol_scores_as_the_main_job(small, folder, tmp_path):
    write_npz(tmp_path / "own.npz", ["A/one"], frames=FRAMES + 5)
    common = [*small, "--data", tmp_path / "own.npz", "--batch-size", 3, "--hypotheses", 2, "--steps", 1]
    run(folder / "htp-tiny.json", *common)
    words = ["--preset", "tiny", "--checkpoint-folder", folder, *common]
    run_command(run_diffusion.main, run_diffusion.Options, [str(word) for word in words])
    [row] = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult).rows
    theirs = read_json(tmp_path / "out" / "result.json", InferenceResult).models[1].scores.over_frames
    for way in WAYS:
        ours = row.evaluation.over_frames[way]
        assert (ours.mpjpe, ours.p_mpjpe) == (theirs[way].mpjpe, theirs[way].p_mpjpe)


def test_mpi_inf_3dhp_by_command(small, folder, tmp_path, capsys):
    path = write_mpi_test(tmp_path / "test.npz")
    run(
        folder / "htp-tiny.json", *small, "--dataset", "3dhp", "--data", path, "--annotation", "univ_annot3",
        "--conversion", "by-place", "--hypotheses", 1, "--steps", 1, "--actions", "TS1", "TS5",
    )  # fmt: skip
    result = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult)
    assert [score.action for score in result.rows[0].evaluation.actions] == ["TS1", "TS5"]
    assert 0 <= result.rows[0].evaluation.over_actions["mean"].auc <= 100
    assert result.rows[0].evaluation.padded == 2
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
    result = read_json(tmp_path / "out" / "evaluation.json", EvaluationResult)
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
    places = {"HTP": folder / "htp-tiny.json", "MPI": tmp_path / "mpi.npz", "OTHER": tmp_path / "other.json"}
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
        evaluate._require_space(other, found)
    evaluate._require_space(record, found)


def test_tables_hold_a_row_an_action_and_a_column_a_way(tmp_path):
    found = h36m(tmp_path, 6)
    model = oracle(found, 4)
    rows = [
        evaluate.EvaluationRow(
            name="m", denoiser=config(4), checkpoint="m.json", trained_steps=1, trained_on=[],
            evaluation=evaluate_denoiser(model, config(4), found, sampling(h, 1)),
        )
        for h in (1, 2)
    ]  # fmt: skip
    single, several = (action_table(row) for row in rows)
    assert [row[0] for row in several.rows] == [
        "Photo",
        "Walking",
        "average over actions",
        "average over frames",
    ]
    assert [row[1] for row in several.rows] == [48, 96, 144, 144]
    assert [column.name for column in single.columns[2:]] == [
        "MPJPE, mm: one hypothesis",
        "P-MPJPE, mm: one hypothesis",
    ]
    assert len(several.columns) == 2 + 2 * len(WAYS)
    result = EvaluationResult(
        data="d", camera="c", space=found.space.to_json(), notes=["n"], protocol=EVERY_FRAME, every=1,
        device="cpu", precision="fp32", rows=rows, provenance=evaluate.provenance(),
    )  # fmt: skip
    table = evaluation_table(result)
    assert [row[3] for row in table.rows] == [
        "one hypothesis", "mean", "JPMA (not free of ground truth)", "P-Best (oracle)", "J-Best (oracle)",
    ]  # fmt: skip
    assert table.notes[-1] == "n"


def test_help_names_every_option_without_a_prefix(capsys):
    with pytest.raises(SystemExit) as left:
        run("--help")
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for option in (*dataclasses.fields(evaluate.Options), *dataclasses.fields(Source)):
        if option.name not in ("checkpoints", "source"):
            assert f" --{option.name.replace('_', '-')}" in text
    assert "--source" not in text
    assert "CHECKPOINT" in text
