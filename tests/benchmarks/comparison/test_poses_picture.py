"""Models' poses beside the truth."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from htp_diffusion.comparison import poses_picture
from htp_diffusion.comparison.poses_picture import ScoredFrames, draw_poses, scored_frames
from htp_diffusion.data.motion import view, windows
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.pose.cameras import virtual_cameras
from htp_diffusion.pose.layout import MPI_INF_3DHP_17


@pytest.fixture(scope="module")
def clips():
    """Two clips of 20 frames in windows of 8: the last one overlaps the one before it."""
    motions = synthetic_motions(seed=0, count=2, frames=20)
    return [windows(view(motion, virtual_cameras(motion.positions)[0]), 8) for motion in motions]


def test_every_scored_frame_once_with_its_own_error(clips):
    truth = torch.cat([clip.pose_3d for clip in clips])
    off = truth + torch.tensor([0.03, 0.0, 0.04])
    padded = torch.cat([off, off[-1:]])  # a last batch is filled up
    frames = scored_frames(clips, {"exact": truth, "off": padded})
    assert frames.names == tuple(f"{clip.name}, {frame}" for clip in clips for frame in range(20))
    torch.testing.assert_close(frames.errors["off"], torch.full((40,), 50.0))
    assert frames.errors["exact"].abs().max() == 0
    assert torch.equal(frames.predicted["exact"], frames.truth)


@given(
    errors=st.lists(st.floats(0, 1000), min_size=1, max_size=60),
    apart=st.integers(1, 20),
    count=st.integers(1, 8),
)
def test_the_worst_are_the_worst_of_what_is_left(errors, apart, count):
    values = torch.tensor(errors)
    poses = torch.zeros(len(errors), 17, 3)
    frames = ScoredFrames(
        names=tuple(map(str, range(len(errors)))), truth=poses, predicted={"m": poses}, errors={"m": values}
    )
    worst = frames.worst("m", apart, count)
    left = set(range(len(errors)))
    for frame in worst:
        assert values[frame] == max(values[other] for other in left)
        left -= set(range(frame - apart + 1, frame + apart))
    assert len(worst) == count or not left
    chosen = frames.spread_out(count)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(len(errors)))


def test_the_picture_has_a_cell_a_frame_and_model(tmp_path, clips):
    truth = torch.cat([clip.pose_3d for clip in clips])
    means = {"D3DP": truth + 0.05, "HTP": truth - 0.02}
    frames = scored_frames(clips, means)
    draw_poses(tmp_path / "poses.png", frames, frames.spread_out(4), "chosen")
    draw_poses(tmp_path / "one.png", frames, [3], "one")
    with Image.open(tmp_path / "poses.png") as wide, Image.open(tmp_path / "one.png") as narrow:
        assert wide.height == narrow.height
        assert wide.width > 2 * narrow.width
        draw_poses(tmp_path / "both.png", frames, [3], "one", views=("front", "side"))
        with Image.open(tmp_path / "both.png") as both:
            assert both.width == narrow.width
            assert both.height > 1.8 * narrow.height


@pytest.mark.parametrize("views", [("front",), ("front", "side")])
def test_names_are_no_mathematics(tmp_path, clips, views):
    wrong = r"S$\frac$"  # as TeX, an error
    truth = torch.cat([clip.pose_3d for clip in clips])
    frames = scored_frames([replace(clip, name=wrong) for clip in clips], {wrong: truth})
    draw_poses(tmp_path / "poses.png", frames, [3], wrong, views=views)
    with Image.open(tmp_path / "poses.png") as picture:
        assert picture.format == "PNG"


def test_poses_are_shown_as_they_are_scored(clips):
    # In a unit of half a metre, the root subtracted.
    scaled = [replace(clip, scale=torch.full(clip.scored.shape, 0.5)) for clip in clips]
    moved = {"m": torch.cat([clip.pose_3d for clip in scaled]) + 0.2}
    frames = scored_frames(scaled, moved, root="subtracted")
    torch.testing.assert_close(frames.truth, scored_frames(clips, {}).truth / 2)
    assert frames.errors["m"].max() < 1e-3
    plain = scored_frames(scaled, moved).errors["m"]
    torch.testing.assert_close(plain, torch.full((40,), 100.0 * 3**0.5))


def test_bones_are_those_of_the_layout(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(poses_picture, "draw_bones", lambda *_, layout, **__: drawn.append(layout))
    poses = torch.rand(1, MPI_INF_3DHP_17.num_joints, 3)
    frames = ScoredFrames(
        names=("a",), truth=poses, predicted={"m": poses}, errors={"m": torch.ones(1)}, layout=MPI_INF_3DHP_17
    )
    draw_poses(tmp_path / "one.png", frames, [0], "one")
    assert drawn == [MPI_INF_3DHP_17] * 3
