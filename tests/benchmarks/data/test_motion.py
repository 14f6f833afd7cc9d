from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from htp_diffusion.base.errors import BenchmarkError
from htp_diffusion.data.mocap.cmu import CMU_TEST, CMU_TRAIN, cmu_split
from htp_diffusion.data.motion import Motion, view, windows
from htp_diffusion.pose.cameras import camera_at, detector_noise


def motion(frames=10, name="S01/01_01"):
    positions = torch.randn(frames, 17, 3, generator=torch.Generator().manual_seed(0)) * 0.3
    return Motion(name=name, positions=positions + torch.tensor([0.0, 0.0, 1.0]), fps=60.0)


CAMERA = camera_at(torch.tensor([0.0, 0.0, 1.0]), 45.0)


def test_a_clip_holds_what_the_camera_sees():
    seen = motion()
    clip = view(seen, CAMERA)
    assert clip.name == "S01/01_01@az045"
    assert view(replace(seen, fps=50.0), CAMERA).fps == 50.0
    assert torch.equal(clip.pose_3d[:, 0], torch.zeros(10, 3))
    world = CAMERA.to_world(clip.pose_3d + clip.root[:, None])
    torch.testing.assert_close(world, seen.positions, atol=1e-5, rtol=0)
    pixels = CAMERA.denormalise_screen(clip.pose_2d)
    for frame, joint in ((0, 0), (3, 5), (9, 16)):
        point = (CAMERA.rotation @ (seen.positions[frame, joint] - CAMERA.translation)).tolist()
        expected = [1145 * point[0] / point[2] + 500, 1145 * point[1] / point[2] + 501]
        assert pixels[frame, joint].tolist() == pytest.approx(expected, abs=0.01)


def test_noise_is_added_in_pixels_and_to_the_2d_pose_alone():
    clean = view(motion(), CAMERA)
    noisy = view(motion(), CAMERA, torch.Generator().manual_seed(5))
    difference = CAMERA.denormalise_screen(noisy.pose_2d) - CAMERA.denormalise_screen(clean.pose_2d)
    torch.testing.assert_close(
        difference, detector_noise(torch.Generator().manual_seed(5), 10), atol=1e-2, rtol=0
    )
    assert torch.equal(clean.pose_3d, noisy.pose_3d)
    assert torch.equal(clean.root, noisy.root)


@given(st.integers(1, 40), st.integers(1, 40))
def test_windows_score_every_frame_exactly_once(length, num_frames):
    clip = view(motion(length), CAMERA)
    if num_frames > length:
        short = windows(clip, num_frames)
        assert short.scored.tolist() == [[frame < length for frame in range(num_frames)]]
        assert torch.equal(short.pose_2d[0, :length], clip.pose_2d)
        assert (short.pose_2d[0, length:] == clip.pose_2d[-1]).all()
        return
    cut = windows(clip, num_frames)
    counted = [0] * length
    for window, start in enumerate(cut.start.tolist()):
        assert torch.equal(cut.pose_2d[window], clip.pose_2d[start : start + num_frames])
        assert torch.equal(cut.pose_3d[window], clip.pose_3d[start : start + num_frames])
        assert torch.equal(cut.root[window], clip.root[start : start + num_frames])
        for frame in range(num_frames):
            counted[start + frame] += bool(cut.scored[window, frame])
    assert counted == [1] * length


def test_windows_of_no_frames_are_refused():
    with pytest.raises(BenchmarkError, match="windows of 0 frames"):
        windows(view(motion(), CAMERA), 0)


def test_the_cmu_split_is_the_fixed_one():
    motions = [motion(name=name) for name in sorted(CMU_TRAIN + CMU_TEST)]
    train, test = cmu_split(motions)
    names = ["01_05", "01_12", "02_02", "02_04", "02_06", "02_09", "03_02"]
    assert [m.name.split("/")[1] for m in test] == names
    assert len(train) == 21
    assert not {m.name for m in train} & {m.name for m in test}
    assert [m.name for m in train] == list(CMU_TRAIN)
    more, same = cmu_split([motion(name="S09/09_01"), *motions[1:]])
    assert [m.name for m in more] == [*CMU_TRAIN[1:], "S09/09_01"]
    assert [m.name for m in same] == [m.name for m in test]
