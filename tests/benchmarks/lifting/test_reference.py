"""Poses against a triangulated reference."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.base.provenance import provenance
from htp_diffusion.lifting.reference import (
    LIMB_JOINTS,
    Score,
    read_reference,
    score,
    sound_frames,
)
from htp_diffusion.lifting.scores import VideoScores, cameras_table, score_table
from htp_diffusion.pose.layout import H36M_17

FRAMES = 8


@pytest.fixture
def written(tmp_path):
    """A reference of a body that turns, and its own poses in the frame of a camera."""
    rng = np.random.default_rng(0)
    body = rng.normal(0, 0.4, (33, 3))
    angle = np.linspace(0, 1, FRAMES)
    turn = np.zeros((FRAMES, 3, 3))
    turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
    turn[:, 1, 0], turn[:, 0, 1], turn[:, 2, 2] = np.sin(angle), -np.sin(angle), 1.0
    points = body @ turn.swapaxes(1, 2) + [1.0, 2.0, 1.0]
    rotation = np.linalg.qr(rng.normal(size=(2, 3, 3)))[0]
    rotation[np.linalg.det(rotation) < 0] *= -1
    path = tmp_path / "reference.npz"
    np.savez(path, points=points.astype("float32"), rotation=rotation)
    return path, points, torch.from_numpy(rotation).float()


def test_the_references_own_poses_have_no_error(written):
    path, _, rotation = written
    reference = read_reference(path, "cmu")
    relative = reference.positions - reference.positions[:, :1]
    got = score("own", relative @ rotation[1].T, torch.arange(FRAMES), reference, camera=2)
    assert (got.frames, got.sound_frames) == (FRAMES, FRAMES)
    for value in (got.p_mpjpe, got.limbs, got.mpjpe, got.sound_p_mpjpe, got.sound_limbs, got.sound_mpjpe):
        assert value == pytest.approx(0, abs=1e-2)
    scaled = score("scaled", 1.7 * relative, torch.arange(FRAMES), reference)
    assert scaled.p_mpjpe == pytest.approx(0, abs=1e-2)
    assert scaled.mpjpe is None


@pytest.mark.parametrize(("first", "rows"), [(0, range(8)), (1, range(8)), (3, range(3, 8)), (-2, range(6))])
def test_frames_are_matched_by_their_numbers(written, first, rows):
    path, _, _ = written
    reference = read_reference(path, "cmu")
    rows = list(rows)
    poses = torch.randn(FRAMES, 17, 3)
    frames = torch.arange(first, first + FRAMES)
    known = {int(frame) - (1 if first == 1 else 0): i for i, frame in enumerate(frames)}
    for row in rows:
        poses[known[row]] = reference.positions[row]
    got = score("model", poses, frames, reference)
    assert got.frames == len(rows)
    assert got.p_mpjpe == pytest.approx(0, abs=1e-2)


def test_a_bone_of_another_length_makes_a_frame_unsound(written):
    path, _, _ = written
    positions = read_reference(path, "motionbert").positions.clone()
    assert sound_frames(positions).all()
    knee, hip = H36M_17.index("left_knee"), H36M_17.index("left_hip")
    positions[2, knee] = positions[2, hip] + 1.3 * (positions[2, knee] - positions[2, hip])
    assert sound_frames(positions).logical_not().nonzero().flatten().tolist() == [2]


def test_the_limb_joints_are_those_that_detectors_see():
    assert len(LIMB_JOINTS) == 12
    assert {H36M_17.joints[j] for j in range(17)} - {H36M_17.joints[j] for j in LIMB_JOINTS} == {
        "pelvis", "spine", "thorax", "neck", "head",
    }  # fmt: skip


def test_the_real_reference_is_sound_but_where_it_is_triangulated_from_swapped_sides(video_path):
    reference = read_reference(video_path / "reference.npz", "cmu")
    unsound = reference.sound.logical_not().nonzero().flatten().tolist()
    assert unsound == [36, *range(41, 62), 63, 65, *range(67, 75), 81]


def test_bad_references(tmp_path, written):
    path, points, _ = written
    reference = read_reference(path, "cmu")
    poses = torch.zeros(3, 17, 3)
    with pytest.raises(BenchmarkError, match="frames 0 to 7, the poses 50 and on"):
        score("model", poses, torch.arange(50, 53), reference)
    with pytest.raises(BenchmarkError, match="the reference has cameras 1 to 2, got 3"):
        score("model", poses, torch.arange(3), reference, camera=3)
    np.savez(tmp_path / "b.npz", points=points[:, :20])
    with pytest.raises(BenchmarkError, match=r"points expects numbers of shape \(rows, 33, 3\)"):
        read_reference(tmp_path / "b.npz", "cmu")
    np.savez(tmp_path / "c.npz", other=points)
    with pytest.raises(BenchmarkError, match="no key points"):
        read_reference(tmp_path / "c.npz", "cmu")
    for value in (1e30, 2e4):
        far = points.copy()
        far[3, 11, 1] = value
        np.savez(tmp_path / "far.npz", points=far)
        with pytest.raises(BenchmarkError, match=r"far\.npz: points expects numbers up to 10,000, got"):
            read_reference(tmp_path / "far.npz", "cmu")
    for rotation in (np.zeros((1, 3, 3)), 1.1 * np.eye(3)[None], np.full((1, 3, 3), 1e30)):
        np.savez(tmp_path / "turned.npz", points=points, rotation=rotation)
        with pytest.raises(BenchmarkError, match=r"turned\.npz: rotation expects"):
            read_reference(tmp_path / "turned.npz", "cmu")
    points[0, 0, 0] = np.nan
    np.savez(tmp_path / "d.npz", points=points)
    with pytest.raises(BenchmarkError, match="a value that is not finite"):
        read_reference(tmp_path / "d.npz", "cmu")


def test_sound_errors_are_those_of_the_sound_frames_alone(written):
    path, _, _ = written
    reference = read_reference(path, "cmu")
    sound = torch.ones(FRAMES, dtype=torch.bool)
    sound[[1, 4]] = False
    reference = replace(reference, sound=sound)
    noise = torch.randn(FRAMES, 17, 3, generator=torch.Generator().manual_seed(6))
    poses, frames = reference.positions + 0.1 * noise, torch.arange(FRAMES)
    whole = score("whole", poses, frames, reference, camera=1)
    rest = score("rest", poses[sound], frames[sound], reference, camera=1)
    assert (whole.frames, whole.sound_frames, rest.frames) == (FRAMES, FRAMES - 2, FRAMES - 2)
    assert (whole.sound_p_mpjpe, whole.sound_limbs, whole.sound_mpjpe) == pytest.approx(
        (rest.p_mpjpe, rest.limbs, rest.mpjpe)
    )
    assert whole.sound_limbs != pytest.approx(whole.limbs)


def test_each_number_of_the_table_stands_in_its_column():
    row = Score(
        name="HTP", frames=9, p_mpjpe=1.0, limbs=2.0, mpjpe=3.0, sound_frames=8, sound_p_mpjpe=4.0,
        sound_limbs=5.0, sound_mpjpe=6.0,
    )  # fmt: skip
    table = score_table([row])
    [cells] = table.rows
    assert dict(zip((column.name for column in table.columns), cells, strict=True)) == {
        "model": "HTP", "frames": 9, "P-MPJPE, 17 joints": 1.0, "12 limb joints": 2.0, "MPJPE": 3.0,
        "sound frames": 8, "P-MPJPE, sound frames": 4.0, "12 limb joints, sound frames": 5.0,
        "MPJPE there": 6.0,
    }  # fmt: skip


def test_the_table_has_a_row_a_model(written):
    path, _, _ = written
    reference = read_reference(path, "cmu")
    rows = [score(name, reference.positions, torch.arange(8), reference) for name in ("D3DP", "HTP")]
    text = score_table(rows).to_markdown()
    assert "| D3DP | 8 |" in text
    assert "| HTP | 8 |" in text


def test_a_row_a_model_and_camera_from_runs_against_both_references(written):
    path, _, _ = written
    reference = read_reference(path, "cmu")
    generator = torch.Generator().manual_seed(3)

    def run(camera, views):
        poses = reference.positions + 0.1 * torch.randn(FRAMES, 17, 3, generator=generator)
        scores = [score(name, poses, torch.arange(FRAMES), reference, camera) for name in ("HTP", "D3DP")]
        return VideoScores(
            source="c", camera=camera, views=views, sampling="H=5", scores=scores, provenance=provenance()
        )

    runs = [run(1, 3), run(2, 3), run(2, 0), run(1, 0)]
    rows = {row[:2]: row[2:] for row in cameras_table(runs).rows}
    assert list(rows) == [("HTP", 1), ("D3DP", 1), ("HTP", 2), ("D3DP", 2)]
    for anew, given in ((runs[0], runs[3]), (runs[1], runs[2])):
        for number, name in enumerate(("HTP", "D3DP")):
            against = given.scores[number]
            expected = (anew.scores[number].p_mpjpe, against.p_mpjpe, against.sound_p_mpjpe)
            assert rows[name, anew.camera] == expected
