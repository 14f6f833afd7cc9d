import dataclasses
import itertools

import numpy as np
import pytest
import torch
from drawing import drawn
from torch import nn
from written import (
    TINY,
    mpi_poses,
    write_h36m,
    write_mpi_test,
)

from htp_diffusion.comparison.action_table import action_tables, evaluation_table
from htp_diffusion.comparison.comparison import compare
from htp_diffusion.comparison.result import EvaluationResult
from htp_diffusion.data import source
from htp_diffusion.data.formats.h36m import H36M_TEST
from htp_diffusion.data.formats.mpi_inf_3dhp_cameras import mpi_test_camera
from htp_diffusion.data.protocol import EVERY_FRAME, cut_clips, cut_set, protocol_named
from htp_diffusion.data.source import Source
from htp_diffusion.diffusion.sampling import Sampling
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.models.contender import Contender
from htp_diffusion.pose.flip import flip_pose

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


def evaluated(model, config, found, sampling, protocol=EVERY_FRAME, **options):
    """What one model scores, without a clock."""
    cut = cut_set(found, config.num_frames, protocol)
    contender = Contender(name="m", config=config, denoiser=model)
    return compare([contender], cut, sampling, device=torch.device("cpu"), clock=False, **options)


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
    result = evaluated(
        oracle(found, num_frames, named), config(num_frames), found, sampling(), protocol=named
    )
    scores = result.models[0].scores
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
    assert result.padded == (len(found.clips) if frames < num_frames else 0)
    assert [score.action for score in scores.actions] == list(found.actions)


def test_a_long_clip(tmp_path):
    found = h36m(tmp_path, 500, ("Photo",))
    result = evaluated(oracle(found, 9), config(9), found, sampling(1, 1, batch_size=64))
    scores = result.models[0].scores
    assert (result.windows, result.frames) == (8 * 56, 8 * 500)
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
    result = evaluated(
        oracle(found, 4, d3dp, err), config(4), found, sampling(1, 1, flip=False), protocol=d3dp
    )
    scores = result.models[0].scores
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
    raw_result = evaluated(oracle(found, 4, d3dp, err), config(4), found, sampling(1, 1, flip=False))
    raw = raw_result.models[0].scores
    assert raw.actions[0].errors["mean"].mpjpe == pytest.approx(62.0, rel=1e-4)
    assert raw.actions[0].errors["mean"].pck == pytest.approx(100.0)
    # Moved to its root, a pose that is off as a whole is right.
    moved_result = evaluated(
        oracle(found, 4, d3dp, err), config(4), found, sampling(1, 1, flip=False),
        protocol=protocol_named("motionbert", found),
    )  # fmt: skip
    moved = moved_result.models[0].scores
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
        result = evaluated(
            model, config(4), found, sampling(1, 1, flip=False), protocol=protocol_named(name, found)
        )
        scores = result.models[0].scores
        assert scores.over_actions["mean"].mpjpe == pytest.approx(value, rel=1e-4, abs=1e-3), name
    assert result.frames == 8 * 8


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
    result = evaluated(model, config(5), found, sampling(), protocol=protocol_named("d3dp", found))
    scores = result.models[0].scores

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
        poses = drawn(
            model, torch.stack([item.clip.pose_2d[cut] for item, cut in batch]), schedule=cosine_schedule(),
            steps=2, hypotheses=2, eta=1.0, flip=flip_pose,
            generator=[torch.Generator().manual_seed(3 * 2**20 + 5 * number + window) for window in range(5)],
        ).double().numpy()  # fmt: skip
        poses[..., 0, :] = 0.0
        for (item, cut), hypotheses in zip(batch[:left], poses, strict=False):
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
    result = evaluated(
        oracle(found, 5), config(5), found, sampling(1, 1), progress=lambda *counts: told.append(counts)
    )
    scores = result.models[0].scores
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    large_result = evaluated(oracle(found, 5), config(5), found, sampling(1, 1, batch_size=99))
    large = large_result.models[0].scores
    assert (large_result.sampling.batch_size, large_result.sampling.max_batch) == (16, 32)
    assert large.over_frames["mean"].mpjpe == pytest.approx(scores.over_frames["mean"].mpjpe, abs=1e-3)


def test_tables_hold_a_row_an_action_and_a_column_a_way(tmp_path):
    found = h36m(tmp_path, 6)
    model = oracle(found, 4)
    results = [evaluated(model, config(4), found, sampling(h, 1)) for h in (1, 2)]
    [single], [several] = (action_tables(result) for result in results)
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
    table = evaluation_table(
        EvaluationResult(rows=[dataclasses.replace(result, notes=["n"]) for result in results])
    )
    assert [row[3] for row in table.rows] == [
        "one hypothesis", "mean", "JPMA (not free of ground truth)", "P-Best (oracle)", "J-Best (oracle)",
    ]  # fmt: skip
    assert "n" in table.notes
