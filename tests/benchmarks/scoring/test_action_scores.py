import dataclasses
import itertools

import numpy as np
import pytest
import torch
from action_oracles import config, evaluated, h36m, mpi, oracle, sampling
from drawing import drawn

from htp_diffusion.comparison.action_table import action_tables, evaluation_table
from htp_diffusion.comparison.result import EvaluationResult
from htp_diffusion.data.protocol import EVERY_FRAME, cut_clips, protocol_named
from htp_diffusion.diffusion.schedule import cosine_schedule
from htp_diffusion.pose.flip import flip_pose

WAYS = ("mean", "JPMA", "P-Best", "J-Best")


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
