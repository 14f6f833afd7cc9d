from dataclasses import replace

import torch
from written import write_npz

from htp_diffusion.data.mocap.cmu import CMU_TEST, CMU_TRAIN
from htp_diffusion.data.motion import view, windows
from htp_diffusion.data.synthetic import synthetic_motions
from htp_diffusion.data.virtual_views import embedded_set, file_set, virtual_views
from htp_diffusion.pose.cameras import camera_at


def test_the_cmu_clips_are_split(tmp_path):
    write_npz(tmp_path / "cmu.npz", CMU_TRAIN + CMU_TEST)
    found = file_set(tmp_path / "cmu.npz")
    assert found.motions == CMU_TEST
    assert found.description.startswith("cmu.npz, the fixed CMU test split: 7 motions, 4 virtual cameras")
    assert len(found.clips) == 28
    again = file_set(tmp_path / "cmu.npz")
    assert all(torch.equal(a.pose_2d, b.pose_2d) for a, b in zip(found.clips, again.clips, strict=True))


def test_cameras_stand_evenly_around_and_draw_their_noise_one_after_the_other():
    motions = synthetic_motions(seed=3, count=2, frames=9)
    for cameras, degrees in ((1, [45]), (2, [45, 225]), (4, [45, 135, 225, 315])):
        generator = torch.Generator().manual_seed(8)
        clips = iter(virtual_views(motions, cameras, seed=8))
        for motion in motions:
            for azimuth in degrees:
                camera = camera_at(motion.positions[:, 0].mean(dim=0), azimuth)
                expected, clip = view(motion, camera, generator), next(clips)
                assert clip.name == f"{motion.name}@az{azimuth:03d}"
                torch.testing.assert_close(clip.pose_2d, expected.pose_2d, atol=1e-5, rtol=0)
        assert not list(clips)


def test_the_real_motion_is_split(cmu_path):
    found = file_set(cmu_path / "data_3d_cmu.npz")
    assert found.motions == CMU_TEST
    assert {clip.name.split("@")[0] for clip in found.clips} == set(CMU_TEST)


def test_the_embedded_motion_is_of_whole_windows():
    found = embedded_set(9)
    assert [name.partition("_")[0] for name in found.motions] == [
        f"synthetic/{action}" for action in ("walking", "sitting", "reaching")
    ]
    assert len(found.clips) == 3 * 2
    for clip in found.clips:
        cut = windows(clip, 9)
        assert cut.start.tolist() == [0, 9]
        assert cut.scored.all()


def test_a_set_is_another_one_where_a_number_of_any_clip_differs():
    found = embedded_set(4)
    known = {found.identity, embedded_set(4).identity}
    assert len(known) == 1
    for number, clip in enumerate(found.clips):
        for name in ("pose_2d", "pose_3d"):
            poses = getattr(clip, name).clone()
            poses[-1, -1, -1] += 1e-3
            clips = (*found.clips[:number], replace(clip, **{name: poses}), *found.clips[number + 1 :])
            known.add(replace(found, clips=clips).identity)
    assert len(known) == 1 + 2 * len(found.clips)
